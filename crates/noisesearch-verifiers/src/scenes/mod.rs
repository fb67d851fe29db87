//! Verifiers of the scenes model: 64x64 RGB pictures of coloured shapes.

pub mod clip;
pub mod grader;
pub mod looks;
mod outline;
mod paint;
pub mod see;
mod self_supervised;
mod slope;
mod tower;

pub use self_supervised::self_supervised;

use crate::verifier::Verifier;
use candle_core::{Result, Tensor};
use noisesearch_models::models::scenes::grammar::Scene;
use noisesearch_models::task::Task;
use noisesearch_models::weights::WeightsError;

/// A verifier that can be opened.
pub struct Entry {
    /// The name typed.
    pub name: &'static str,
    /// What it judges, in one line.
    pub about: &'static str,
    /// Opens it with the embedded weights.
    pub open: fn() -> std::result::Result<Box<dyn Verifier>, WeightsError>,
}

/// Every verifier of the scenes model.
pub fn all() -> [Entry; 4] {
    [
        Entry {
            name: "grader",
            about: "reads the picture: share of the prompt's constraints that hold; 1 passes",
            open: || Ok(Box::new(grader::Grader::default())),
        },
        Entry {
            name: "clip",
            about: "learned similarity of picture and prompt, -1 to 1",
            open: || Ok(Box::new(clip::Clip::new()?)),
        },
        Entry {
            name: "looks",
            about: "learned cleanness of the rendering, whatever it shows",
            open: || Ok(Box::new(looks::Looks::new()?)),
        },
        Entry {
            name: "self",
            about: "self-supervised: is the picture what the x0-prediction at 0.4 promised",
            open: || Ok(Box::new(self_supervised(clip::Clip::new()?))),
        },
    ]
}

/// The scene that `task` asks for.
fn scene_of(task: &Task) -> Result<Scene> {
    match task {
        Task::Prompt(prompt) => Scene::parse(prompt).map_err(candle_core::Error::wrap),
        Task::Class(class) => candle_core::bail!(
            "a scenes verifier judges pictures of a prompt, and was given the class \"{class}\""
        ),
    }
}

/// `images: [b, 3, 64, 64]` f32 as one slice, row by row.
fn pictures(images: &Tensor) -> Result<Vec<f32>> {
    let (_, channels, height, width) = images.dims4()?;
    if (channels, height, width) != (3, see::SIDE, see::SIDE) {
        candle_core::bail!(
            "a scenes verifier judges pictures [b, 3, 64, 64], and was given {:?}",
            images.dims()
        );
    }
    images.flatten_all()?.to_vec1()
}
