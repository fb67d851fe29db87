//! A set of pictures against another: Fréchet distance, inception score, precision and recall.

use super::MeasureError;
use super::pictures::{Found, images, in_groups, judge_error};
use crate::registry::OpenError;
use crate::spec::SpecError;
use noisesearch_models::checkpoint::Checkpoint;
use noisesearch_models::layers::Place;
use noisesearch_models::weights::Weights;
use noisesearch_verifiers::glyphs::judge::Judge;
use noisesearch_verifiers::glyphs::oracle::Oracle;
use noisesearch_verifiers::inception::describer::InceptionDescriber;
use noisesearch_verifiers::metrics::describe::Describer;
use noisesearch_verifiers::metrics::frechet::{Frechet, Gaussian};
use noisesearch_verifiers::metrics::inception_score::InceptionScore;
use noisesearch_verifiers::metrics::precision_recall::{K, PrecisionRecall};
use noisesearch_verifiers::metrics::statistics::Statistics;
use noisesearch_verifiers::metrics::{Caution, Features, MetricError};
use std::path::{Path, PathBuf};

/// Names of the describers.
pub const DESCRIBERS: [&str; 2] = ["inception", "glyphs"];

/// A set of pictures and what a message calls it.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    /// Its folder or file.
    pub name: String,
    /// What the metrics need of it.
    pub statistics: Statistics,
}

/// How a set of generated pictures compares with a reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Of both sets.
    pub frechet: Frechet,
    /// Of the generated set, in one split; needs its features.
    pub inception_score: Option<InceptionScore>,
    /// With the paper's three neighbours; needs the features of both sets.
    pub precision_recall: Option<PrecisionRecall>,
}

impl Comparison {
    /// Why which of the values should be read with care.
    pub fn cautions(&self) -> impl Iterator<Item = Caution> {
        let score = self.inception_score.and_then(|score| score.caution);
        let neighbours = self.precision_recall.and_then(|both| both.caution);
        [self.frechet.caution, score, neighbours]
            .into_iter()
            .flatten()
    }
}

/// Opens a describer by name; `network` is the file or folder of Inception-v3.
pub fn describer(name: &str, network: Option<&Path>) -> Result<Box<dyn Describer>, MeasureError> {
    match (name, network) {
        ("glyphs", None) => Ok(Box::new(Oracle::new(Judge::oracle()?))),
        ("glyphs", Some(_)) => Err(unused().into()),
        ("inception", None) => Err(MeasureError::NoNetwork { name: "inception" }),
        ("inception", Some(path)) => {
            let weights = match path.is_dir() {
                true => Checkpoint::of_network(path)
                    .weights("")
                    .map_err(|error| OpenError::new(name, error))?,
                false => Weights::open(path)?,
            };
            Ok(Box::new(InceptionDescriber::load(weights, &Place::cpu())?))
        }
        (other, _) => Err(SpecError::Unknown {
            what: "features",
            name: other.chars().take(80).collect(),
            known: DESCRIBERS.join(", "),
        }
        .into()),
    }
}

/// The refusal of a network beside a describer that is part of the program.
fn unused() -> SpecError {
    SpecError::Fixed {
        key: "weights".into(),
        model: "glyphs".into(),
    }
}

/// Describes the pictures of `files`, in order; `told` hears how many are done.
pub fn describe(
    describer: &dyn Describer,
    name: &str,
    files: &[PathBuf],
    told: &mut dyn FnMut(usize),
) -> Result<Set, MeasureError> {
    let (label, hash) = describer.id();
    let failed = |source| metric_error(name, source);
    let mut features: Option<Features> = None;
    let one_key = |_: &Found| Ok(());
    in_groups(files, one_key, |(), group| {
        let more = images(&group).and_then(|images| describer.features(&images));
        let more = more.map_err(|source| judge_error(label, &group, source))?;
        match &mut features {
            Some(features) => features.append(&more).map_err(failed)?,
            None => features = Some(more),
        }
        told(features.as_ref().map_or(0, Features::len));
        Ok(true)
    })?;
    let none = MetricError::TooFew {
        metric: "a covariance",
        found: 0,
        least: 2,
    };
    let features = features.ok_or_else(|| failed(none))?;
    Ok(Set {
        name: name.to_owned(),
        statistics: Statistics {
            described_by: Some(hash.to_owned()),
            gaussian: Gaussian::of(&features).map_err(failed)?,
            features: Some(features),
        },
    })
}

/// Measures `generated` against `reference`. What needs features that are not kept is left out.
pub fn compare(
    describer: &dyn Describer,
    generated: &Set,
    reference: &Set,
) -> Result<Comparison, MeasureError> {
    let (left, right) = (&generated.statistics, &reference.statistics);
    let ids = left.described_by.as_ref().zip(right.described_by.as_ref());
    if ids.is_some_and(|(left, right)| left != right) {
        let [left, right] = [generated, reference].map(|set| set.name.clone());
        return Err(MeasureError::Describers { left, right });
    }
    let both = format!("{} and {}", generated.name, reference.name);
    let failed = |source| metric_error(&both, source);
    let frechet = Frechet::of(&left.gaussian, &right.gaussian).map_err(failed)?;
    let classified = left.features.as_ref().map(|features| {
        let shares = describer.probabilities(features);
        let shares = shares.map_err(|source| judge_error(describer.id().0, &[], source))?;
        InceptionScore::of(&shares, 1).map_err(failed)
    });
    let neighbours = match (&left.features, &right.features) {
        (Some(generated), Some(real)) if generated.len().min(real.len()) > K => {
            Some(PrecisionRecall::of(real, generated, K).map_err(failed)?)
        }
        _ => None,
    };
    Ok(Comparison {
        frechet,
        inception_score: classified.transpose()?,
        precision_recall: neighbours,
    })
}

pub(super) fn metric_error(name: &str, source: MetricError) -> MeasureError {
    let name = name.to_owned();
    MeasureError::Metric { name, source }
}
