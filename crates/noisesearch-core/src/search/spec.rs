//! Which algorithm, with which settings: what a user writes and a run records.

use super::{Search, SearchError, Terms, first_order, halving, paths, random, zero_order};
use crate::recipe::VerifierName;
use serde::{Deserialize, Serialize};

/// Which algorithm, with which settings. Unknown settings are errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
pub enum SearchSpec {
    /// Best of n independent noises.
    Random(random::Spec),
    /// Hill climbing among neighbouring noises.
    ZeroOrder(zero_order::Spec),
    /// Renoise and denoise several paths, keeping the best.
    Paths(paths::Spec),
    /// Hill climbing along the gradient of a verifier's score.
    FirstOrder(first_order::Spec),
    /// Many noises, dropped early by their predictions.
    Halving(halving::Spec),
}

impl SearchSpec {
    /// Every algorithm with its defaults, the simplest first.
    pub fn all() -> [Self; 5] {
        [
            Self::Random(random::Spec::default()),
            Self::ZeroOrder(zero_order::Spec::default()),
            Self::Paths(paths::Spec::default()),
            Self::FirstOrder(first_order::Spec::default()),
            Self::Halving(halving::Spec::default()),
        ]
    }

    /// The algorithm of this name with its defaults.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|spec| spec.name() == name)
    }

    /// What the algorithm is called: `random`, `zero-order`, `paths`, `first-order` or `halving`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Random(_) => "random",
            Self::ZeroOrder(_) => "zero-order",
            Self::Paths(_) => "paths",
            Self::FirstOrder(_) => "first-order",
            Self::Halving(_) => "halving",
        }
    }

    /// What it does, in one line.
    pub fn about(&self) -> &'static str {
        match self {
            Self::Random(_) => "best of n independent noises",
            Self::ZeroOrder(_) => "climb from noise to neighbouring noise, keeping each best",
            Self::Halving(_) => "begin with many noises, drop most by their early predictions",
            Self::Paths(_) => "renoise and denoise several paths, keeping the best predictions",
            Self::FirstOrder(_) => "climb along the gradient of a differentiable verifier's score",
        }
    }

    /// The same with every setting explicit that the terms decide.
    pub fn resolve(&self, terms: &Terms) -> Result<Self, SearchError> {
        Ok(match self {
            Self::Paths(spec) => Self::Paths(spec.resolve(terms)?),
            Self::Halving(spec) => Self::Halving(spec.resolve(terms)?),
            other => other.clone(),
        })
    }

    /// The verifier whose gradient is followed, by an algorithm that does so; `None` also while
    /// that is not said.
    pub fn followed(&self) -> Option<VerifierName> {
        match self {
            Self::FirstOrder(spec) => spec.follow,
            _ => None,
        }
    }

    /// The same, following `verifier` where the algorithm follows one and none is said.
    pub fn following(self, verifier: VerifierName) -> Self {
        match self {
            Self::FirstOrder(spec) => Self::FirstOrder(first_order::Spec {
                follow: spec.follow.or(Some(verifier)),
                ..spec
            }),
            other => other,
        }
    }

    /// A fresh search.
    pub fn build(&self, terms: &Terms) -> Result<Box<dyn Search>, SearchError> {
        Ok(match self {
            Self::Random(spec) => Box::new(random::Random::new(terms, spec)?),
            Self::ZeroOrder(spec) => Box::new(zero_order::ZeroOrder::new(terms, spec)?),
            Self::Paths(spec) => paths::search(terms, spec)?,
            Self::FirstOrder(spec) => Box::new(first_order::FirstOrder::new(terms, spec)?),
            Self::Halving(spec) => halving::search(terms, spec)?,
        })
    }
}
