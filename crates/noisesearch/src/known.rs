//! Published models by name: where they are, under which licence, and what they are asked by
//! default. Sizes are those of the files named, in 10^9 bytes.
//!
//! Steps, solver, guidance and size are those of the paper on search (Ma et al., arXiv 2501.09732,
//! table 5) where it has the model; a Heun solve of `n` steps costs `2n - 1` evaluations.

use crate::registry::TaskKind;
use noisesearch_core::level::Level;
use noisesearch_models::solver::Solver;

/// Candidates of a run on a large model when nothing is said.
pub const CANDIDATES: u64 = 16;

/// How many of them are kept.
pub const KEPT: usize = 4;

/// A published model.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The name typed.
    pub name: &'static str,
    /// What it makes.
    pub about: &'static str,
    /// Where its files come from.
    pub origin: Origin,
    /// Under which licence.
    pub licence: &'static str,
    /// Size of the files, in 10^9 bytes.
    pub gigabytes: f32,
    /// What it is asked by default.
    pub recipe: Recipe,
}

/// Where a model's files come from.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    /// A repository of the Hugging Face hub.
    Hub {
        /// `org/name`.
        repository: &'static str,
        /// The components that are read.
        components: &'static [&'static str],
        /// Whether its page asks to accept the licence first.
        gated: bool,
    },
    /// One component over another model of this list.
    Tuned {
        /// The name of the other model.
        base: &'static str,
        /// The component.
        component: &'static str,
        /// `org/name` of its repository.
        repository: &'static str,
    },
    /// A pickle that is converted once, with this script.
    Converted {
        /// Where the pickle is.
        page: &'static str,
        /// What it is: `sit-xl-2`.
        kind: &'static str,
    },
}

/// What a model is asked by default.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// Prompt or class.
    pub task: TaskKind,
    /// Deterministic solver.
    pub solver: Solver,
    /// Solver steps of the answer.
    pub steps: u16,
    /// Solver steps of a candidate.
    pub search_steps: u16,
    /// Guidance scale.
    pub guidance: f32,
    /// Width and height in pixels.
    pub side: usize,
}

impl Recipe {
    /// Evaluations of a candidate and of the answer.
    pub fn nfe(&self) -> [u64; 2] {
        let rule = self.solver.nfe_rule();
        [self.search_steps, self.steps].map(|steps| rule.nfe(steps, Level::CLEAN))
    }
}

/// The name of a component's files of weights before `.safetensors`.
pub(crate) fn stem(component: &str) -> &'static str {
    match component.starts_with("text_encoder") {
        true => "model",
        false => "diffusion_pytorch_model",
    }
}

/// The files of a component in full precision, whole or in shards, as patterns.
pub(crate) fn files(component: &str) -> Vec<String> {
    let stem = stem(component);
    let names = match component {
        "scheduler" => vec!["scheduler_config.json".to_owned()],
        name if name.starts_with("tokenizer") => vec!["*".to_owned()],
        _ => vec![
            "config.json".to_owned(),
            format!("{stem}.safetensors*"),
            format!("{stem}-*.safetensors"),
        ],
    };
    names
        .iter()
        .map(|name| format!("{component}/{name}"))
        .collect()
}

/// The files of these components of a folder of diffusers, and of no others.
pub(crate) fn folder_files(components: &[&str]) -> Vec<String> {
    let index = ["model_index.json".to_owned()];
    let parts = components.iter().flat_map(|component| files(component));
    index.into_iter().chain(parts).collect()
}

const STABLE_DIFFUSION: &[&str] = &["scheduler", "text_encoder", "tokenizer", "unet", "vae"];

const STABLE_DIFFUSION_XL: &[&str] = &[
    "scheduler",
    "text_encoder",
    "text_encoder_2",
    "tokenizer",
    "tokenizer_2",
    "unet",
    "vae",
];

const TRANSFORMER: &[&str] = &[
    "scheduler",
    "text_encoder",
    "tokenizer",
    "transformer",
    "vae",
];

const TRANSFORMER_OF_TWO_ENCODERS: &[&str] = &[
    "scheduler",
    "text_encoder",
    "text_encoder_2",
    "tokenizer",
    "tokenizer_2",
    "transformer",
    "vae",
];

/// SiT, as the paper has it: 50 evaluations a candidate, 250 for the answer.
const SIT: Recipe = Recipe {
    task: TaskKind::Class,
    solver: Solver::Heun,
    steps: 125,
    search_steps: 25,
    guidance: 1.0,
    side: 256,
};

/// DiT, as its authors sample it for pictures.
const DIT: Recipe = Recipe {
    task: TaskKind::Class,
    solver: Solver::Ddim,
    steps: 50,
    search_steps: 50,
    guidance: 4.0,
    side: 256,
};

/// FLUX.1 [dev], as the paper has it.
const FLUX: Recipe = Recipe {
    task: TaskKind::Prompt,
    solver: Solver::Euler,
    steps: 30,
    search_steps: 30,
    guidance: 3.5,
    side: 1024,
};

/// PixArt-Sigma, as the paper has it.
const PIXART: Recipe = Recipe {
    solver: Solver::Ddim,
    guidance: 4.5,
    ..FLUX
};

/// SDXL: the paper's 40 evaluations; solver, guidance and size are its authors' usual ones.
const SDXL: Recipe = Recipe {
    solver: Solver::Ddim,
    steps: 40,
    search_steps: 40,
    guidance: 5.0,
    ..FLUX
};

/// Stable Diffusion 1: its authors' usual settings.
const SD15: Recipe = Recipe {
    solver: Solver::Ddim,
    steps: 50,
    search_steps: 50,
    guidance: 7.5,
    side: 512,
    ..FLUX
};

/// A recipe for larger pictures.
const fn at(side: usize, recipe: Recipe) -> Recipe {
    Recipe { side, ..recipe }
}

const fn sit(name: &'static str, kind: &'static str, gigabytes: f32, side: usize) -> Known {
    Known {
        name,
        about: "one of 1000 classes of ImageNet (SiT, arXiv 2401.08740)",
        origin: Origin::Converted {
            page: "https://github.com/willisma/SiT",
            kind,
        },
        licence: "MIT",
        gigabytes,
        recipe: at(side, SIT),
    }
}

const fn dit(name: &'static str, side: usize) -> Known {
    Known {
        name,
        about: "one of 1000 classes of ImageNet (DiT, arXiv 2212.09748)",
        origin: Origin::Converted {
            page: "https://github.com/facebookresearch/DiT",
            kind: "dit-xl-2",
        },
        licence: "CC BY-NC 4.0, not for commercial use",
        gigabytes: 3.0,
        recipe: at(side, DIT),
    }
}

const fn hub(repository: &'static str, components: &'static [&'static str]) -> Origin {
    Origin::Hub {
        repository,
        components,
        gated: false,
    }
}

/// A model of Black Forest Labs, whose page asks to accept the licence.
const fn flux(repository: &'static str) -> Origin {
    Origin::Hub {
        repository,
        components: TRANSFORMER_OF_TWO_ENCODERS,
        gated: true,
    }
}

/// Every published model, in the order in which they are listed.
pub static KNOWN: [Known; 14] = [
    sit("sit-b-2-256", "sit-b-2", 0.6, 256),
    sit("sit-l-2-256", "sit-l-2", 1.9, 256),
    sit("sit-xl-2-256", "sit-xl-2", 2.8, 256),
    sit("sit-b-2-512", "sit-b-2", 0.6, 512),
    sit("sit-l-2-512", "sit-l-2", 1.9, 512),
    sit("sit-xl-2-512", "sit-xl-2", 2.8, 512),
    dit("dit-xl-2-256", 256),
    dit("dit-xl-2-512", 512),
    Known {
        name: "flux.1-dev",
        about: "text to picture (FLUX.1 [dev], 12 billion parameters)",
        origin: flux("black-forest-labs/FLUX.1-dev"),
        licence: "FLUX.1 [dev] Non-Commercial License",
        gigabytes: 33.7,
        recipe: FLUX,
    },
    Known {
        name: "flux.1-schnell",
        about: "text to picture in four steps (FLUX.1 [schnell], 12 billion parameters)",
        origin: flux("black-forest-labs/FLUX.1-schnell"),
        licence: "Apache 2.0",
        gigabytes: 33.7,
        recipe: Recipe {
            steps: 4,
            search_steps: 4,
            guidance: 1.0,
            ..FLUX
        },
    },
    Known {
        name: "pixart-sigma",
        about: "text to picture (PixArt-Sigma XL/2 1024, arXiv 2403.04692)",
        origin: hub("PixArt-alpha/PixArt-Sigma-XL-2-1024-MS", TRANSFORMER),
        licence: "CreativeML OpenRAIL++-M",
        gigabytes: 21.8,
        recipe: PIXART,
    },
    Known {
        name: "sdxl",
        about: "text to picture (Stable Diffusion XL base 1.0, arXiv 2307.01952)",
        origin: hub(
            "stabilityai/stable-diffusion-xl-base-1.0",
            STABLE_DIFFUSION_XL,
        ),
        licence: "CreativeML OpenRAIL++-M",
        gigabytes: 13.9,
        recipe: SDXL,
    },
    Known {
        name: "sdxl-dpo",
        about: "text to picture (SDXL tuned by Diffusion-DPO, arXiv 2311.12908)",
        origin: Origin::Tuned {
            base: "sdxl",
            component: "unet",
            repository: "mhdang/dpo-sdxl-text2image-v1",
        },
        licence: "CreativeML OpenRAIL++-M",
        gigabytes: 10.3,
        recipe: SDXL,
    },
    Known {
        name: "sd1.5",
        about: "text to picture (Stable Diffusion 1.5, arXiv 2112.10752)",
        origin: hub(
            "stable-diffusion-v1-5/stable-diffusion-v1-5",
            STABLE_DIFFUSION,
        ),
        licence: "CreativeML OpenRAIL-M",
        gigabytes: 4.3,
        recipe: SD15,
    },
];

impl Known {
    /// The model of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        KNOWN.iter().find(|known| known.name == name)
    }

    /// The model of this repository.
    pub fn of_repository(repository: &str) -> Option<&'static Self> {
        KNOWN.iter().find(|known| match known.origin {
            Origin::Hub { repository: r, .. } | Origin::Tuned { repository: r, .. } => {
                r.eq_ignore_ascii_case(repository)
            }
            Origin::Converted { .. } => false,
        })
    }

    /// How to get it, as lines that can be typed.
    pub fn fetch(&self) -> Vec<String> {
        match self.origin {
            Origin::Hub {
                repository,
                components,
                gated,
            } => {
                let mut lines = Vec::new();
                if gated {
                    let page = format!("https://huggingface.co/{repository}");
                    lines.push(format!("# accept the licence at {page} first"));
                    lines.push("hf auth login".to_owned());
                }
                lines.push(download(repository, &folder_files(components)));
                lines
            }
            Origin::Tuned {
                base,
                component,
                repository,
            } => {
                let mut lines = Self::named(base).map_or_else(Vec::new, Self::fetch);
                lines.push(download(repository, &files(component)));
                lines
            }
            Origin::Converted { page, kind } => vec![
                format!("# take the .pt file that {page} links to"),
                "hf download stabilityai/sd-vae-ft-ema config.json \
                 diffusion_pytorch_model.safetensors --local-dir sd-vae"
                    .to_owned(),
                format!(
                    "python scripts/convert_sit.py FILE.pt {} --kind {kind} --pixels {} \
                     --vae sd-vae",
                    self.name, self.recipe.side
                ),
                format!(
                    "# then: --model ./{0}, or move it to NOISESEARCH_MODELS/{0}",
                    self.name
                ),
            ],
        }
    }
}

/// The command that fetches some files of a repository.
pub fn download(repository: &str, files: &[impl AsRef<str>]) -> String {
    let pattern = |file: &str| match file.contains('*') {
        true => format!(" \"{file}\""),
        false => format!(" {file}"),
    };
    let files: String = files.iter().map(|file| pattern(file.as_ref())).collect();
    format!("hf download {repository} --include{files}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use noisesearch_models::checkpoint::hub::is_repository;

    #[test]
    fn every_model_says_where_it_is() {
        for known in &KNOWN {
            assert!(std::ptr::eq(Known::named(known.name).unwrap(), known));
            let lines = known.fetch().join("\n");
            assert!(lines.contains("hf download "), "{lines}");
            assert!(!known.licence.is_empty() && known.gigabytes > 0.1);
            match known.origin {
                Origin::Hub { repository, .. } | Origin::Tuned { repository, .. } => {
                    assert!(is_repository(repository), "{repository}");
                    assert!(lines.contains(repository), "{lines}");
                }
                Origin::Converted { kind, .. } => assert!(lines.contains(kind), "{lines}"),
            }
        }
        let tuned = Known::named("sdxl-dpo").unwrap().fetch();
        assert!(
            tuned[0].contains("stable-diffusion-xl-base-1.0"),
            "{tuned:?}"
        );
        assert!(
            tuned[1].ends_with(
                "--include unet/config.json \"unet/diffusion_pytorch_model.safetensors*\" \
                 \"unet/diffusion_pytorch_model-*.safetensors\""
            ),
            "{tuned:?}"
        );
    }

    /// Table 5 of the paper on search, and the 40 evaluations of SDXL of its table 3. Heun's last
    /// step is one evaluation, so that its 250 and 50 are 249 and 49.
    #[test]
    fn presets_are_those_of_the_paper() {
        let table = [
            ("sit-b-2-256", Solver::Heun, [49, 249], 1.0, 256),
            ("sit-l-2-256", Solver::Heun, [49, 249], 1.0, 256),
            ("sit-xl-2-256", Solver::Heun, [49, 249], 1.0, 256),
            ("flux.1-dev", Solver::Euler, [30, 30], 3.5, 1024),
            ("pixart-sigma", Solver::Ddim, [30, 30], 4.5, 1024),
        ];
        for (name, solver, nfe, guidance, side) in table {
            let recipe = Known::named(name).unwrap().recipe;
            let found = (recipe.solver, recipe.nfe(), recipe.guidance, recipe.side);
            assert_eq!(found, (solver, nfe, guidance, side), "{name}");
        }
        for name in ["sdxl", "sdxl-dpo"] {
            assert_eq!(Known::named(name).unwrap().recipe.nfe(), [40, 40], "{name}");
        }
    }
}
