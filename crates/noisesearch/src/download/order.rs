//! Which files of which repositories a name stands for.

use super::DownloadError;
use crate::judges;
use crate::known::{Known, Origin, files, folder_files, stem};
use noisesearch_models::checkpoint::COMPONENTS;
use noisesearch_models::checkpoint::hub::is_repository;

/// Files that are wanted of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// `org/name`.
    pub repository: String,
    /// Patterns of paths, in which `*` stands for any letters.
    pub patterns: Vec<String>,
    /// Under which licence, where this program knows it.
    pub licence: Option<&'static str>,
}

impl Order {
    /// Whether a path is wanted.
    pub fn wants(&self, path: &str) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern, path))
    }
}

/// What a model, a verifier or a repository `org/name` needs.
pub fn orders(name: &str) -> Result<Vec<Order>, DownloadError> {
    if let Some(known) = Known::named(name).or_else(|| Known::of_repository(name)) {
        return of_model(known);
    }
    if let Some(order) = judges::order(name)? {
        return Ok(vec![order]);
    }
    if is_repository(name) {
        return Ok(vec![order(name, of_any(), None)]);
    }
    let name = name.chars().take(80).collect();
    Err(DownloadError::Unknown { name })
}

/// Files of a repository of which nothing is known: in half precision, too, which is read where it
/// is alone.
fn of_any() -> Vec<String> {
    let half = |component: &&str| format!("{component}/{}.fp16*.safetensors", stem(component));
    let halves = COMPONENTS.iter().map(half);
    folder_files(&COMPONENTS)
        .into_iter()
        .chain(halves)
        .collect()
}

fn of_model(known: &Known) -> Result<Vec<Order>, DownloadError> {
    match known.origin {
        Origin::Hub {
            repository,
            components,
            ..
        } => {
            let files = folder_files(components);
            Ok(vec![order(repository, files, Some(known.licence))])
        }
        Origin::Tuned {
            base,
            component,
            repository,
        } => {
            let mut orders = Known::named(base).map_or(Ok(vec![]), of_model)?;
            orders.push(order(repository, files(component), Some(known.licence)));
            Ok(orders)
        }
        Origin::Converted { .. } => Err(DownloadError::ByHand {
            name: known.name.to_owned(),
            help: known.fetch().join("\n  "),
        }),
    }
}

fn order(repository: &str, patterns: Vec<String>, licence: Option<&'static str>) -> Order {
    Order {
        repository: repository.to_owned(),
        patterns,
        licence,
    }
}

/// Whether `path` is `pattern`, in which `*` stands for any letters.
fn matches(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = path.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_letters() {
        for (pattern, path, is) in [
            ("model_index.json", "model_index.json", true),
            ("model_index.json", "model_index.json5", false),
            ("scheduler/*", "scheduler/scheduler_config.json", true),
            ("tokenizer*/*", "tokenizer_2/vocab.json", true),
            ("tokenizer*/*", "tokenizer_2", false),
            (
                "*/model*.safetensors*",
                "text_encoder/model.safetensors",
                true,
            ),
            ("*/model*.safetensors*", "model.safetensors", false),
            ("*.json", "a.json.bak", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, path), is, "{pattern} {path}");
        }
    }

    /// Once the safety checker, a second autoencoder and half precision came, too: gigabytes.
    #[test]
    fn nothing_that_is_not_read_is_fetched() {
        let wanted = |name: &str, paths: &[&str]| -> Vec<bool> {
            let orders = orders(name).unwrap();
            paths.iter().map(|path| orders[0].wants(path)).collect()
        };
        let needed = [
            "model_index.json",
            "scheduler/scheduler_config.json",
            "text_encoder/config.json",
            "text_encoder/model.safetensors",
            "tokenizer/merges.txt",
            "unet/diffusion_pytorch_model.safetensors",
            "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
            "unet/diffusion_pytorch_model.safetensors.index.json",
            "vae/config.json",
        ];
        let spare = [
            "README.md",
            "feature_extractor/preprocessor_config.json",
            "safety_checker/config.json",
            "safety_checker/model.safetensors",
            "sd_xl_base_1.0.safetensors",
            "text_encoder/flax_model.msgpack",
            "text_encoder/pytorch_model.bin",
            "unet/diffusion_pytorch_model.non_ema.safetensors",
            "vae_1_0/config.json",
            "vae_1_0/diffusion_pytorch_model.safetensors",
        ];
        let half = [
            "text_encoder/model.fp16.safetensors",
            "unet/diffusion_pytorch_model.fp16.safetensors",
        ];
        for name in ["sd1.5", "sdxl", "some/model"] {
            assert!(!wanted(name, &needed).contains(&false), "{name}");
            assert!(!wanted(name, &spare).contains(&true), "{name}");
        }
        assert_eq!(wanted("sdxl", &half), [false, false]);
        assert_eq!(wanted("some/model", &half), [true, true]);
    }

    #[test]
    fn names_stand_for_repositories() {
        let repositories = |name: &str| -> Vec<String> {
            let orders = orders(name).unwrap();
            orders.into_iter().map(|order| order.repository).collect()
        };
        let sdxl = "stabilityai/stable-diffusion-xl-base-1.0";
        assert_eq!(repositories("sdxl"), [sdxl]);
        assert_eq!(
            repositories("sdxl-dpo"),
            [sdxl, "mhdang/dpo-sdxl-text2image-v1"]
        );
        assert_eq!(repositories("clipscore"), ["openai/clip-vit-large-patch14"]);
        assert_eq!(repositories("some/model"), ["some/model"]);
        let refused = |name: &str| orders(name).unwrap_err().to_string();
        assert!(refused("sit-xl-2-256").contains("convert_sit.py"));
        assert!(refused("imagereward").contains("convert_image_reward.py"));
        assert!(refused("scenes").contains("no published model"));
        assert!(refused("../x/y").contains("no published model"));
    }
}
