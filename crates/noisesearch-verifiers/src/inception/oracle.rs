//! `inception-class`: the probability that Inception-v3 gives the class that was asked for, the
//! oracle of the inception score in Ma et al. 2025 (arXiv 2501.09732, section 3).
//!
//! ```text
//! score = softmax(logits(picture))[class]
//! ```
//!
//! The classes of the checkpoint are in an order of their own, so a file says which each is.

use super::{CLASSES, Inception};
use crate::image::Entry;
use crate::verifier::{Samples, Verifier, VerifierId};
use candle_core::{Result, bail};
use noisesearch_models::checkpoint::{Checkpoint, CheckpointError};
use noisesearch_models::layers::{Place, Source};
use noisesearch_models::models::dit::imagenet;
use noisesearch_models::pipeline::OpenError;
use noisesearch_models::task::Task;
use std::collections::HashMap;
use std::path::PathBuf;

/// The file with the ImageNet number of a class a line, in the order of the logits; an empty line
/// is a class that is never asked for.
pub const LABELS: &str = "labels.txt";
const NAME: &str = "inception-class";
/// Version of the preprocessing and arithmetic.
const VERSION: u32 = 1;

/// The entry.
pub const ENTRY: Entry = Entry {
    name: NAME,
    about: "Inception-v3's probability of the class, 0 to 1",
    repository: "https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights",
    file: "pt_inception-2015-12-05-6726825d.pth",
    bytes: 95_600_000,
    licence: "Apache-2.0",
    open: |folder| {
        let folder = Checkpoint::of_network(folder);
        Ok(Box::new(InceptionOracle::open(&folder, &Place::cpu())?))
    },
};

/// The verifier.
#[derive(Debug)]
pub struct InceptionOracle {
    id: VerifierId,
    network: Inception,
    /// Logits by ImageNet number.
    classes: HashMap<u32, usize>,
}

impl InceptionOracle {
    /// Opens a folder with `model.safetensors` and `labels.txt`, as
    /// `scripts/convert_inception.py` makes it.
    ///
    /// # Errors
    /// Files that are missing, damaged or another network's.
    pub fn open(folder: &Checkpoint, place: &Place) -> std::result::Result<Self, OpenError> {
        let labels = folder.file("", LABELS)?;
        let labels = labels.ok_or_else(|| CheckpointError::NoFile {
            folder: PathBuf::from(folder.name()),
            name: LABELS.to_owned(),
        })?;
        let classes = classes(&labels)?;
        let mut weights = folder.weights("")?;
        let hash = weights.hash().to_owned();
        let network = Inception::load(Source::new(&mut weights, place))?;
        weights.finish()?;
        Ok(Self {
            id: VerifierId {
                name: NAME.into(),
                weights: format!("{hash} {}", blake3::hash(&labels).to_hex()),
                version: VERSION,
            },
            network,
            classes,
        })
    }
}

/// Logit of every class by its ImageNet number.
fn classes(labels: &[u8]) -> std::result::Result<HashMap<u32, usize>, OpenError> {
    let unsupported = |found: String| OpenError::Unsupported {
        what: LABELS.to_owned(),
        found,
        supported: format!("{CLASSES} lines, each empty or a number from 0 to 999, none twice"),
    };
    let text = std::str::from_utf8(labels).map_err(|error| unsupported(error.to_string()))?;
    let count = text.lines().count();
    if count != CLASSES {
        return Err(unsupported(format!("of {count} lines")));
    }
    let mut classes = HashMap::new();
    let lines = text.lines().map(str::trim).enumerate();
    for (logit, line) in lines.filter(|(_, line)| !line.is_empty()) {
        let number: Option<u32> = line.parse().ok().filter(|&n| n < imagenet::CLASSES);
        let known = number.is_some_and(|number| classes.insert(number, logit).is_none());
        if !known {
            return Err(unsupported(format!("wrong in line {}", logit + 1)));
        }
    }
    Ok(classes)
}

impl Verifier for InceptionOracle {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn score(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let Task::Class(name) = task else {
            bail!("{NAME} judges pictures of a class, not of a prompt")
        };
        let number = imagenet::class(name).map_err(candle_core::Error::wrap)?;
        let Some(&class) = self.classes.get(&number) else {
            bail!("{LABELS} of {NAME} does not name ImageNet class {number}")
        };
        let features = self.network.features(samples.images)?;
        let rows: Vec<Vec<f32>> = self.network.logits(&features)?.to_vec2()?;
        Ok(rows.iter().map(|row| probability(row, class)).collect())
    }
}

/// `exp(row[class]) / sum(exp(row))`.
fn probability(row: &[f32], class: usize) -> f64 {
    let wanted = f64::from(row[class]);
    let others = row.iter().map(|&logit| (f64::from(logit) - wanted).exp());
    1.0 / others.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one_and_never_overflow() {
        let row = [1000.0, 999.0, -1000.0, 998.0];
        let all: Vec<f64> = (0..4).map(|class| probability(&row, class)).collect();
        assert!((all.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((all[0] / all[1] - 1f64.exp()).abs() < 1e-9);
        assert_eq!(all[2], 0.0);
    }

    #[test]
    fn labels_are_numbers_of_logits() {
        let mut lines: Vec<String> = (0..CLASSES).map(|i| (999 - i as i64).to_string()).collect();
        lines[1000..].iter_mut().for_each(String::clear);
        let file = |lines: &[String]| lines.join("\n") + "\n";
        let found = classes(file(&lines).as_bytes()).unwrap();
        assert_eq!((found.len(), found[&0], found[&999]), (1000, 999, 0));
        for wrong in ["5", "1000", "-1", "tench"] {
            lines[7] = wrong.into();
            let error = classes(file(&lines).as_bytes()).unwrap_err().to_string();
            // A number that is there already is wrong where it comes again.
            let line = if wrong == "5" { "line 995" } else { "line 8" };
            assert!(error.contains(line), "{wrong}: {error}");
        }
        assert!(classes(b"0\n1\n").is_err());
        assert!(classes(&[0xFF]).is_err());
    }
}
