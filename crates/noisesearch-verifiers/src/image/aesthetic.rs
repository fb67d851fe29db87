//! `aesthetic`: how much people like the look of an image, whatever it shows: a regression on
//! CLIP ViT-L/14's embedding (Schuhmann et al. 2022, arXiv 2210.08402, section 3.2).
//!
//! ```text
//! score = head(i / |i|)
//! ```
//!
//! Two heads are published: LAION's linear layer, and the improved predictor
//! (sac+logos+ava1-l14-linearMSE), five linear layers 768-1024-128-64-16-1 without anything
//! between them. Preprocessing is that of OpenAI's CLIP on torchvision and Pillow: the shorter side
//! to 224 by a bicubic on bytes, the middle 224x224, an odd border split to the even side.

use super::{Entry, Opened, finite, id, preprocess, units};
use crate::preprocess::{Fit, Middle, Preprocess};
use crate::verifier::{Samples, Verifier, VerifierId};
use crate::vision::clip::{ClipVision, Config};
use candle_core::{Result, Tensor};
use noisesearch_models::checkpoint::Checkpoint;
use noisesearch_models::layers::{Linear, Loaded, Place, Source};
use noisesearch_models::task::Task;
use std::path::Path;

/// What the registry says of it.
pub const ENTRY: Entry = Entry {
    name: "aesthetic",
    about: "how much people like the look; about 3 to 8",
    repository: "shunk031/aesthetics-predictor-v2-sac-logos-ava1-l14-linearMSE",
    file: "model.safetensors",
    bytes: 1_220_000_000,
    licence: "Apache-2.0",
    open,
};

/// Opens a folder with `vision_model.*`, `visual_projection.weight`, and the head under
/// `predictor.*` or `layers.*`.
pub fn open(folder: &Path) -> Opened {
    let files = Checkpoint::of_network(folder);
    let size = files.config::<Config>("")?.size()?;
    let usual = Preprocess {
        fit: Fit::Shorter {
            to: size.side,
            middle: Middle::Even,
        },
        ..Preprocess::clip(size.side)
    };
    let preprocess = preprocess(&files, usual, size.side)?;
    let mut weights = files.weights("")?;
    let id = id(ENTRY.name, weights.hash(), 1);
    let place = Place::cpu();
    let mut source = Source::new(&mut weights, &place);
    let vision = ClipVision::load(source.lend(), size)?;
    let head = head(source, size.dimensions)?;
    weights.finish()?;
    Ok(Box::new(Aesthetic {
        id,
        vision,
        preprocess,
        head,
    }))
}

/// The layers of the head.
fn head(mut s: Source, dimensions: usize) -> Loaded<Vec<Linear>> {
    if s.has("predictor.weight") {
        return Ok(vec![Linear::load(s.at("predictor"), dimensions, 1)?]);
    }
    // Between them are dropouts, which have numbers but no tensors.
    let plan = [(0, 1024), (2, 128), (4, 64), (6, 16), (7, 1)];
    let mut s = s.at("layers");
    let mut inputs = dimensions;
    let layers = plan.into_iter().map(|(number, outputs)| {
        let layer = Linear::load(s.at(number), inputs, outputs);
        inputs = outputs;
        layer
    });
    layers.collect()
}

struct Aesthetic {
    id: VerifierId,
    vision: ClipVision,
    preprocess: Preprocess,
    head: Vec<Linear>,
}

impl Verifier for Aesthetic {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn score(&self, _task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let x = self
            .vision
            .forward(&self.preprocess.apply(samples.images)?)?;
        let shape = x.shape().clone();
        let units: Vec<f32> = units(&x)?.into_iter().flatten().collect();
        let mut x = Tensor::from_vec(units, shape, x.device())?;
        for layer in &self.head {
            x = layer.forward(&x)?;
        }
        let scores = x.squeeze(1)?.to_vec1::<f32>()?;
        finite(ENTRY.name, scores.into_iter().map(f64::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use noisesearch_models::parity::Manifest;

    #[test]
    fn published_layouts_are_asked_for_exactly() {
        let published = [
            include_str!("../../../../parity/manifests/aesthetic-linear.json"),
            include_str!("../../../../parity/manifests/aesthetic-mlp.json"),
        ];
        for text in published {
            let manifest = Manifest::parse(text).unwrap();
            let config: Config = serde_json::from_value(manifest.config.clone()).unwrap();
            let size = config.size().unwrap();
            let load = |mut s: Source| {
                ClipVision::load(s.lend(), size)?;
                head(s, size.dimensions)
            };
            manifest.check(load).unwrap();
        }
    }
}
