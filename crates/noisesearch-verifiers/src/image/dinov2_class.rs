//! `dinov2-class`: the logit of the class by DINOv2 and the linear classifier published with it
//! (Oquab et al. 2023, arXiv 2304.07193, section 7.1), for models that are asked for a class. Ma et
//! al. 2025 (arXiv 2501.09732) call it DINO-LinearHead and select by the logit.
//!
//! ```text
//! features = [class tokens of the last 1 or 4 blocks, mean of the last block's patches], normed
//! score    = (head · features + bias)[class]
//! ```
//!
//! Preprocessing is that of transformers' `BitImageProcessor` on Pillow: the shorter side to 256 by
//! a bicubic on bytes, the middle 224x224, ImageNet's means and deviations. Positions are
//! interpolated to 16x16 as transformers does; the authors' own code shifts the grid by a tenth of
//! a patch.

use super::{Entry, Opened, class_of, finite, id};
use crate::preprocess::Preprocess;
use crate::verifier::{Samples, Verifier, VerifierId};
use crate::vision::block::Shape;
use crate::vision::dinov2::{Config, Dinov2, steps};
use candle_core::{Result, bail};
use noisesearch_models::checkpoint::Checkpoint;
use noisesearch_models::layers::{Linear, Loaded, Place, Source};
use noisesearch_models::models::dit::imagenet;
use noisesearch_models::pipeline::OpenError;
use noisesearch_models::task::Task;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What the registry says of it.
pub const ENTRY: Entry = Entry {
    name: "dinov2-class",
    about: "logit of the class by a linear classifier; about 0 to 27",
    repository: "facebook/dinov2-large-imagenet1k-1-layer",
    file: "model.safetensors",
    bytes: 1_226_000_000,
    licence: "Apache-2.0",
    open,
};

/// What a `config.json` of `Dinov2ForImageClassification` says of the head.
#[derive(Deserialize)]
struct Head {
    /// Names of the classes by number.
    #[serde(default)]
    id2label: BTreeMap<usize, String>,
    /// How many blocks' class tokens it is given. Not of transformers: written by
    /// `scripts/convert_verifiers.py` for the published head of four.
    #[serde(default = "one")]
    classifier_layers: usize,
}

fn one() -> usize {
    1
}

/// Opens a folder of transformers' `Dinov2ForImageClassification`.
pub fn open(folder: &Path) -> Opened {
    let files = Checkpoint::of_network(folder);
    let (config, head): (Config, Head) = (files.config("")?, files.config("")?);
    let preprocess = steps(&files, &config)?;
    let last = head.classifier_layers;
    if !(1..=config.num_hidden_layers).contains(&last) || head.id2label.is_empty() {
        return Err(OpenError::Unsupported {
            what: "classifier of config.json".into(),
            found: format!("{last} layers and {} classes", head.id2label.len()),
            supported: "1 up to num_hidden_layers, with names in id2label".into(),
        });
    }
    let mut weights = files.weights("")?;
    let id = id(ENTRY.name, weights.hash(), 1);
    let place = Place::cpu();
    let source = Source::new(&mut weights, &place);
    let sizes = [last, head.id2label.len(), preprocess.side];
    let (backbone, classifier) = load(source, &config, config.shape()?, sizes)?;
    weights.finish()?;
    Ok(Box::new(Dinov2Class {
        id,
        backbone,
        classifier,
        preprocess,
        last,
        labels: head.id2label,
    }))
}

/// `dinov2.*` and `classifier.*`, for the class tokens of `last` blocks.
fn load(
    mut s: Source,
    config: &Config,
    shape: Shape,
    [last, classes, side]: [usize; 3],
) -> Loaded<(Dinov2, Linear)> {
    let backbone = Dinov2::load(s.at("dinov2"), config, shape, side)?;
    let inputs = (last + 1) * shape.width;
    Ok((backbone, Linear::load(s.at("classifier"), inputs, classes)?))
}

struct Dinov2Class {
    id: VerifierId,
    backbone: Dinov2,
    classifier: Linear,
    preprocess: Preprocess,
    last: usize,
    labels: BTreeMap<usize, String>,
}

impl Verifier for Dinov2Class {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn score(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let class = number(&self.labels, class_of(task, ENTRY.name)?)?;
        let images = self.preprocess.apply(samples.images)?;
        let logits = self
            .classifier
            .forward(&self.backbone.features(&images, self.last)?)?;
        let logits = logits.narrow(1, class, 1)?.squeeze(1)?.to_vec1::<f32>()?;
        finite(ENTRY.name, logits.into_iter().map(f64::from).collect())
    }
}

/// The number of a class: of ImageNet's as class-conditional models take them, else one named by
/// its number, its label or one of the label's synonyms, which commas separate.
fn number(labels: &BTreeMap<usize, String>, class: &str) -> Result<usize> {
    if labels.len() == imagenet::CLASSES as usize {
        let class = imagenet::class(class).map_err(candle_core::Error::wrap)?;
        return Ok(class as usize);
    }
    let known = |number: &usize| *number < labels.len();
    if let Some(number) = class.trim().parse().ok().filter(known) {
        return Ok(number);
    }
    let wanted = class.trim().to_lowercase();
    let is_it = |label: &str| {
        let label = label.to_lowercase();
        label == wanted || label.split(',').any(|name| name.trim() == wanted)
    };
    let found = labels.iter().filter(|(_, label)| is_it(label));
    let found: Vec<_> = found.map(|(number, _)| *number).collect();
    match found.as_slice() {
        [one] if known(one) => Ok(*one),
        [] | [_] => bail!(
            "the verifier \"{}\" does not know the class \"{class}\"; name it by a label of its \
             config.json or by its number",
            ENTRY.name
        ),
        several => bail!(
            "the verifier \"{}\" knows several classes \"{class}\"; name one by its number: \
             {several:?}",
            ENTRY.name
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use noisesearch_models::parity::Manifest;

    #[test]
    fn published_layouts_are_asked_for_exactly() {
        let published = [
            include_str!("../../../../parity/manifests/dinov2-b-14-class.json"),
            include_str!("../../../../parity/manifests/dinov2-l-14-class.json"),
        ];
        for text in published {
            let manifest = Manifest::parse(text).unwrap();
            let config: Config = serde_json::from_value(manifest.config.clone()).unwrap();
            let (shape, labels) = (config.shape().unwrap(), 1000);
            let load = |s: Source| load(s, &config, shape, [1, labels, 224]);
            manifest.check(load).unwrap();
        }
    }

    #[test]
    fn a_class_goes_by_number_label_or_synonym() {
        let labels = ["tench, Tinca tinca", "crane", "Crane"].map(str::to_owned);
        let labels: BTreeMap<usize, String> = labels.into_iter().enumerate().collect();
        for name in ["0", "Tench", "tinca tinca", "tench, Tinca tinca"] {
            assert_eq!(number(&labels, name).unwrap(), 0, "{name}");
        }
        let error = number(&labels, "crane").unwrap_err().to_string();
        assert!(error.contains("[1, 2]"), "{error}");
        assert!(number(&labels, "3").is_err());
        let numbered: BTreeMap<usize, String> = (0..1000).map(|i| (i, format!("{i}"))).collect();
        assert_eq!(number(&numbered, "red panda").unwrap(), 387);
        assert!(number(&numbered, "1000").is_err());
        assert!(number(&labels, "").is_err());
    }
}
