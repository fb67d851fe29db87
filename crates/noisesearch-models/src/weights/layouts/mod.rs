//! Files in the layouts of the models' own authors, read as the components of diffusers.
//!
//! Every difference is one of names, of rows (several matrices kept as one, or halves in another
//! order) or of form (a 1x1 convolution for a matrix, a matrix transposed). So a tensor of the
//! one layout is a list of byte ranges of the other, and nothing is converted on disk.

mod autoencoder;
mod flux;
mod open_clip;
mod stable_diffusion;

use super::WeightsError;
use super::header::Entry;
use super::store::Store;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

/// The layout of a model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One component, under the names of diffusers.
    Diffusers,
    /// The transformer of FLUX as Black Forest Labs published it.
    Flux,
    /// Stable Diffusion 1 in one file: network, autoencoder and text encoder.
    StableDiffusion,
    /// Stable Diffusion XL in one file: network, autoencoder and two text encoders.
    StableDiffusionXl,
    /// The autoencoder of latent diffusion alone, such as FLUX's `ae.safetensors`.
    Autoencoder,
    /// Both towers of a CLIP of OpenCLIP, such as HPSv2.
    OpenClip,
}

/// What a file holds, as far as its header tells.
#[derive(Clone, Debug)]
pub struct Contents {
    /// Its layout.
    pub layout: Layout,
    /// Shapes of its tensors by name.
    pub tensors: BTreeMap<String, Vec<u64>>,
}

impl Contents {
    /// Reads the header of a file and nothing else.
    pub fn of(path: &Path) -> Result<Self, WeightsError> {
        let entries = Store::look(path).map_err(|fault| WeightsError {
            file: path.display().to_string(),
            fault,
        })?;
        let shape = |(name, entry): (String, Entry)| (name, entry.shape);
        let tensors: BTreeMap<_, _> = entries.into_iter().map(shape).collect();
        Ok(Self {
            layout: Layout::of(tensors.keys().map(String::as_str)),
            tensors,
        })
    }

    /// Whether a tensor's name has this part.
    pub fn has(&self, part: &str) -> bool {
        self.tensors.keys().any(|name| name.contains(part))
    }

    /// The components it holds; none are known of a file of a single one.
    pub fn components(&self) -> BTreeSet<&'static str> {
        let tensors = self.tensors.iter();
        let parts = tensors.filter_map(|(name, shape)| self.layout.parts(name, shape));
        parts.flatten().map(|part| part.component).collect()
    }

    /// How many numbers a component has: all of the file, if it holds a single one.
    pub fn parameters(&self, component: &str) -> u64 {
        let mine = |name: &str, shape: &[u64]| {
            let parts = self.layout.parts(name, shape).unwrap_or_default();
            self.layout == Layout::Diffusers || parts.iter().any(|p| p.component == component)
        };
        let tensors = self
            .tensors
            .iter()
            .filter(|(name, shape)| mine(name, shape));
        // The header was checked: no shape has more numbers than its file has bits.
        tensors
            .map(|(_, shape)| shape.iter().product::<u64>())
            .sum()
    }
}

/// A tensor of a component inside a tensor of a file.
#[derive(Debug)]
struct Part {
    component: &'static str,
    name: String,
    /// Rows in their order; `None` for all.
    rows: Option<Vec<Range<u64>>>,
    form: Form,
}

/// How the numbers of a tensor are arranged in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As in diffusers.
    Same,
    /// A matrix kept as a convolution: trailing dimensions of one are left out.
    Matrix,
    /// Transposed.
    Transposed,
}

impl Part {
    fn new(component: &'static str, name: impl Into<String>) -> Self {
        Self {
            component,
            name: name.into(),
            rows: None,
            form: Form::Same,
        }
    }

    fn rows(self, rows: Vec<Range<u64>>) -> Self {
        let rows = Some(rows);
        Self { rows, ..self }
    }

    fn form(self, form: Form) -> Self {
        Self { form, ..self }
    }
}

impl Layout {
    /// The layout of a file with these tensors.
    pub fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let names: Vec<&str> = names.collect();
        let any = |part: &str| names.iter().any(|name| name.contains(part));
        let first = |start: &str| names.iter().any(|name| name.starts_with(start));
        if any("double_blocks.") && any("single_blocks.") {
            Self::Flux
        } else if first("conditioner.embedders.") || any("label_emb.0.0.weight") {
            Self::StableDiffusionXl
        } else if first("model.diffusion_model.") {
            Self::StableDiffusion
        } else if any("encoder.mid.attn_1.") || any("decoder.mid.attn_1.") {
            Self::Autoencoder
        } else if names.iter().any(|name| open_clip::is_both(name)) {
            Self::OpenClip
        } else {
            Self::Diffusers
        }
    }

    /// Which tensors of components a tensor holds; `None` if the layout has no such name.
    fn parts(self, name: &str, shape: &[u64]) -> Option<Vec<Part>> {
        match self {
            Self::Diffusers => None,
            Self::Flux => flux::parts(name, shape),
            Self::StableDiffusion | Self::StableDiffusionXl => stable_diffusion::parts(name, shape),
            Self::Autoencoder => autoencoder::part(name).map(|part| vec![part]),
            Self::OpenClip => open_clip::both(name, shape),
        }
    }

    /// The tensors of one component. Names that the layout does not have stay as they are, so
    /// that they are reported as unexpected.
    pub(super) fn component(
        self,
        component: &str,
        entries: BTreeMap<String, Entry>,
    ) -> BTreeMap<String, Entry> {
        let mut found = BTreeMap::new();
        for (name, entry) in entries {
            if is_left_out(&name) {
                continue;
            }
            let cut = |part: &Part| entry.part(part.rows.as_deref(), part.form);
            let parts = self.parts(&name, &entry.shape).unwrap_or_default();
            let cuts: Option<Vec<Entry>> = parts.iter().map(cut).collect();
            match cuts {
                Some(cuts) if !parts.is_empty() => {
                    let pairs = parts.into_iter().zip(cuts);
                    let mine = pairs.filter(|(part, _)| part.component == component);
                    found.extend(mine.map(|(part, entry)| (part.name, entry)));
                }
                _ => {
                    found.insert(name, entry);
                }
            }
        }
        found
    }
}

/// What published files hold beside a model: running averages of training, tables that follow
/// from the settings, and the scale of a contrastive loss.
fn is_left_out(name: &str) -> bool {
    let starts = [
        "model_ema.",
        "alphas_cumprod",
        "betas",
        "sqrt_",
        "log_one_minus_",
        "posterior_",
        "lvlb_weights",
        "logvar",
        "denoiser.sigmas",
    ];
    let ends = ["embeddings.position_ids", "embedders.1.model.logit_scale"];
    starts.iter().any(|start| name.starts_with(start)) || ends.iter().any(|end| name.ends_with(end))
}

/// Renames what older files of diffusers and transformers call otherwise, and leaves out what
/// they hold beside the model: the indices of positions, and a second name of a tied embedding.
pub(super) fn modern(entries: BTreeMap<String, Entry>) -> BTreeMap<String, Entry> {
    let tied = entries.contains_key("shared.weight");
    let is_kept = |name: &str| {
        let second = tied && name == "encoder.embed_tokens.weight";
        !(second || name.ends_with("embeddings.position_ids"))
    };
    let kept = entries.into_iter().filter(|(name, _)| is_kept(name));
    kept.map(|(name, entry)| match autoencoder::modern(&name) {
        Some(new) => match entry.part(None, Form::Matrix) {
            Some(matrix) => (new, matrix),
            None => (name, entry),
        },
        None => (name, entry),
    })
    .collect()
}

impl Entry {
    /// Some rows of this tensor in a form; `None` if it has not such a shape.
    fn part(&self, rows: Option<&[Range<u64>]>, form: Form) -> Option<Self> {
        let [whole] = self.pieces.as_slice() else {
            return None;
        };
        let mut shape = self.shape.clone();
        let mut pieces = vec![whole.clone()];
        if let Some(rows) = rows {
            let all = *shape.first().filter(|all| **all > 0)?;
            let bytes = (whole.end - whole.start) / all;
            let fits = |r: &Range<u64>| r.start <= r.end && r.end <= all;
            if !rows.iter().all(fits) {
                return None;
            }
            let piece = |r: &Range<u64>| whole.start + r.start * bytes..whole.start + r.end * bytes;
            pieces = rows.iter().map(piece).collect();
            shape[0] = rows.iter().map(|r| r.end - r.start).sum();
        }
        let mut turned = false;
        match form {
            Form::Same => {}
            Form::Matrix => {
                while shape.len() > 2 {
                    shape.pop().filter(|last| *last == 1)?;
                }
            }
            Form::Transposed => {
                turned = true;
                (shape.len() == 2).then(|| shape.reverse())?;
            }
        }
        Some(Self {
            dtype: self.dtype,
            shape,
            store: self.store,
            pieces,
            turned,
        })
    }
}

/// `count` equal blocks of the rows of a tensor.
fn blocks(shape: &[u64], count: u64) -> Option<Vec<Range<u64>>> {
    let rows = *shape.first()?;
    let size = rows / count;
    let block = |i: u64| i * size..(i + 1) * size;
    (rows % count == 0).then(|| (0..count).map(block).collect())
}

/// Applies the first rename of which `name` begins with the left side.
fn renamed(name: &str, table: &[(&str, &str)]) -> Option<String> {
    table.iter().find_map(|(old, new)| {
        let rest = name.strip_prefix(old)?;
        Some(format!("{new}{rest}"))
    })
}

/// `12.rest` as number and rest.
fn numbered(name: &str) -> Option<(usize, &str)> {
    let (number, rest) = name.split_once('.')?;
    let short = number.len() <= 4;
    Some((number.parse().ok().filter(|_| short)?, rest))
}
