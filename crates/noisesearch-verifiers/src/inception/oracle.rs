//! `inception`: the probability that Inception-v3 gives the class that was asked for, the oracle
//! behind the inception score in Ma et al. 2025 (arXiv 2501.09732, section 3).
//!
//! ```text
//! score = softmax(logits(picture))[class]
//! ```
//!
//! The classes of the checkpoint are in an order of their own, so a file says what each is called.

use super::{CLASSES, Inception};
use crate::verifier::{Samples, Verifier, VerifierId};
use candle_core::{Result, bail};
use noisesearch_models::checkpoint::{Checkpoint, CheckpointError};
use noisesearch_models::layers::{Place, Source};
use noisesearch_models::pipeline::OpenError;
use noisesearch_models::task::Task;
use std::collections::HashMap;
use std::path::PathBuf;

/// The file with the name of a class a line, in the order of the logits; an empty line is a class
/// that is never asked for.
pub const LABELS: &str = "labels.txt";
/// Version of the preprocessing and arithmetic.
const VERSION: u32 = 1;

/// The verifier.
#[derive(Debug)]
pub struct InceptionOracle {
    id: VerifierId,
    network: Inception,
    classes: HashMap<String, usize>,
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
                name: "inception".into(),
                weights: format!("{hash} {}", blake3::hash(&labels).to_hex()),
                version: VERSION,
            },
            network,
            classes,
        })
    }
}

/// Logit of every class by name.
fn classes(labels: &[u8]) -> std::result::Result<HashMap<String, usize>, OpenError> {
    let unsupported = |found: String| OpenError::Unsupported {
        what: LABELS.to_owned(),
        found,
        supported: format!("UTF-8 of {CLASSES} lines, each name once"),
    };
    let text = std::str::from_utf8(labels).map_err(|error| unsupported(error.to_string()))?;
    let count = text.lines().count();
    if count != CLASSES {
        return Err(unsupported(format!("of {count} lines")));
    }
    let mut classes = HashMap::new();
    let names = text.lines().map(str::trim).enumerate();
    for (logit, name) in names.filter(|(_, name)| !name.is_empty()) {
        if classes.insert(name.to_owned(), logit).is_some() {
            let shown: String = name.chars().take(40).collect();
            return Err(unsupported(format!("naming {shown} twice")));
        }
    }
    Ok(classes)
}

impl Verifier for InceptionOracle {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn score(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let class = match task {
            Task::Class(name) => self.classes.get(name.trim()),
            Task::Prompt(_) => bail!("inception judges pictures of a class, not of a prompt"),
        };
        let Some(&class) = class else {
            bail!("{LABELS} of inception has no such class; name one of its lines")
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
    fn labels_are_names_of_logits() {
        let mut lines: Vec<String> = (0..CLASSES).map(|i| format!("c{i}")).collect();
        lines[0].clear();
        lines[7].clear();
        let found = classes(lines.join("\n").as_bytes()).unwrap();
        assert_eq!((found.len(), found["c8"]), (CLASSES - 2, 8));
        lines[9] = "c8".into();
        assert!(classes(lines.join("\n").as_bytes()).is_err());
        assert!(classes(b"c0\nc1\n").is_err());
        assert!(classes(&[0xFF]).is_err());
    }
}
