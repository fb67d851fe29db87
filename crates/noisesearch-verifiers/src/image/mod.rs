//! Verifiers of any RGB or grey image with published weights, one file each.
//!
//! The weights lie in a folder in the layout of the Hugging Face hub: `config.json`, a safetensors
//! file, and where it is there `preprocessor_config.json` or `processor_config.json`, whose steps
//! are then followed.

pub mod aesthetic;
pub mod clip_class;
pub mod clipscore;
pub mod dinov2_class;
pub mod hpsv2;
pub mod pickscore;
pub mod self_supervised;
mod space;

use crate::preprocess::Preprocess;
use crate::verifier::{Verifier, VerifierId};
use candle_core::{Result, Tensor, bail};
use noisesearch_models::checkpoint::Checkpoint;
use noisesearch_models::pipeline::OpenError;
use noisesearch_models::task::Task;
use std::path::Path;

/// What opening a verifier gives.
pub type Opened = std::result::Result<Box<dyn Verifier>, OpenError>;

/// A verifier with published weights.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The name typed.
    pub name: &'static str,
    /// What it judges, in one line.
    pub about: &'static str,
    /// The repository on the Hugging Face hub that holds its weights, or an https page.
    pub repository: &'static str,
    /// The file there; another name than `model.safetensors` says that it must be converted.
    pub file: &'static str,
    /// About how many bytes that file has.
    pub bytes: u64,
    /// Under which licence.
    pub licence: &'static str,
    /// Opens it from a folder.
    pub open: fn(&Path) -> Opened,
}

/// Every verifier here. The first is the one to take when none is named.
pub fn all() -> Vec<Entry> {
    vec![
        clipscore::ENTRY,
        pickscore::ENTRY,
        hpsv2::ENTRY,
        crate::reward::ENTRY,
        aesthetic::ENTRY,
        clip_class::ENTRY,
        dinov2_class::ENTRY,
        crate::inception::oracle::ENTRY,
        crate::fid::ENTRY,
        self_supervised::CLIP,
        self_supervised::DINO,
        self_supervised::SIGLIP,
    ]
}

/// Identity of a verifier of these weights.
fn id(name: &str, weights: &str, version: u32) -> VerifierId {
    VerifierId {
        name: name.into(),
        weights: weights.into(),
        version,
    }
}

/// Preprocessing for a tower of images of `side`, as the folder says, else `usual`.
fn preprocess(
    files: &Checkpoint,
    usual: Preprocess,
    side: usize,
) -> std::result::Result<Preprocess, OpenError> {
    let preprocess = Preprocess::of(files, usual)?;
    match preprocess.side == side {
        true => Ok(preprocess),
        false => Err(OpenError::Unsupported {
            what: "size of the image processor".into(),
            found: preprocess.side.to_string(),
            supported: format!("{side}, which the weights are for"),
        }),
    }
}

/// The prompt of a task, which the verifier `name` needs.
fn prompt_of<'a>(task: &'a Task, name: &str) -> Result<&'a str> {
    match task {
        Task::Prompt(prompt) => Ok(prompt),
        Task::Class(class) => bail!(
            "the verifier \"{name}\" judges images of a prompt, and was given the class \
             \"{class}\"; \"clip-class\" and \"dinov2-class\" judge classes"
        ),
    }
}

/// The class of a task, which the verifier `name` needs.
fn class_of<'a>(task: &'a Task, name: &str) -> Result<&'a str> {
    match task {
        Task::Class(class) => Ok(class),
        Task::Prompt(prompt) => bail!(
            "the verifier \"{name}\" judges images of a class, and was given the prompt \
             \"{prompt}\"; \"clipscore\" judges prompts"
        ),
    }
}

/// `scores`, if all are numbers.
pub(crate) fn finite(name: &str, scores: Vec<f64>) -> Result<Vec<f64>> {
    match scores.iter().position(|score| !score.is_finite()) {
        None => Ok(scores),
        Some(row) => bail!(
            "the verifier \"{name}\" computed {} for image {row}: its weights are damaged or too \
             large for f32",
            scores[row]
        ),
    }
}

/// The rows of `x: [b, d]`.
fn rows(x: &Tensor) -> Result<Vec<Vec<f32>>> {
    x.to_dtype(candle_core::DType::F32)?.to_vec2()
}

/// Unit vectors of the rows of `x: [b, d]`; a row of zeros stays.
fn units(x: &Tensor) -> Result<Vec<Vec<f32>>> {
    let mut rows = rows(x)?;
    rows.iter_mut().for_each(|row| normalise(row));
    Ok(rows)
}

/// Divides a vector by its length, if it has one.
fn normalise(x: &mut [f32]) {
    let length = dot(x, x).sqrt().max(1e-12) as f32;
    x.iter_mut().for_each(|v| *v /= length);
}

/// Scalar product, summed in order in f64.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let products = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b));
    products.fold(0.0, |sum, product| sum + product)
}
