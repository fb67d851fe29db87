//! `llm`: a multimodal language model behind an OpenAI-compatible chat endpoint grades each
//! picture, as in Ma et al. 2025 (arXiv 2501.09732, section 4 and table 7).
//!
//! ```text
//! score = one of {accuracy, originality, quality, consistency, emotion, overall}, 0 to 100
//! ```
//!
//! `llm` is the overall score, `llm-accuracy` and so on are the others. All of them are in every
//! answer, so verifiers of one judge ask once about a picture: who comes first asks and pays.
//!
//! A judge can be talked into scores by what is written in a picture, and a search will find such
//! pictures by itself: never let it be the only verifier behind a claim. An answer outside the
//! grammar gives its picture no score; an endpoint that refuses or stays silent ends the run, which
//! can be resumed without paying twice.

mod cache;
mod grade;
mod http;
mod judge;
mod key;
mod left;
mod settings;

pub use cache::Cache;
pub use grade::{Grade, Omitted, PROMPT_VERSION, Question, Unreadable, Usage};
pub use http::{Attempt, HttpError};
pub use judge::{Cost, Judge};
pub use key::Key;
pub use settings::{
    AUTHORITIES, CACHE, CONCURRENT, KEY, MODEL, OMIT, Settings, SettingsError, URL,
};

use crate::aspect::Aspect;
use crate::picture::{Picture, PictureError};
use crate::verifier::{Samples, Verifier, VerifierId};
use candle_core::Result;
use judge::{Bill, Look};
use noisesearch_core::ledger::Fees;
use noisesearch_models::task::Task;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why the judge graded nothing.
#[derive(Debug, thiserror::Error)]
pub enum LlmError {
    /// The endpoint did not answer, or refused.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// An image that is no PNG.
    #[error("cannot show an image to the judge: {0}")]
    Picture(#[from] PictureError),
}

/// A score of a judge.
pub struct Llm {
    id: VerifierId,
    aspect: Aspect,
    judge: Arc<Judge>,
    bill: Bill,
    /// What the cost was when a person was last told.
    told: Mutex<Cost>,
}

impl Llm {
    /// The overall score of a judge that nobody else asks.
    pub fn new(settings: &Settings) -> Self {
        Self::of(Arc::new(Judge::new(settings)), Aspect::Overall)
    }

    /// An aspect, of a judge that others may ask as well.
    pub fn of(judge: Arc<Judge>, aspect: Aspect) -> Self {
        Self {
            id: VerifierId {
                name: aspect.verifier(),
                weights: judge.name().to_owned(),
                version: PROMPT_VERSION,
            },
            aspect,
            judge,
            bill: Bill::default(),
            told: Mutex::default(),
        }
    }

    /// What it spent so far; what other verifiers of its judge asked for is theirs.
    pub fn cost(&self) -> Cost {
        *held(&self.bill.cost)
    }

    /// A grade for each of `pictures`, in their order; `None` where the answer was unreadable.
    /// Equal pictures are graded once.
    pub fn grade(
        &self,
        task: &Task,
        pictures: &[Picture],
    ) -> std::result::Result<Vec<Option<Grade>>, LlmError> {
        self.judge.grade(self.look(false), task, pictures)
    }

    fn look(&self, afresh: bool) -> Look<'_> {
        Look {
            aspect: self.aspect,
            afresh,
            bill: &self.bill,
        }
    }

    /// The aspect of every picture; NaN where the answer was unreadable.
    fn scores(&self, look: Look, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let pictures = Picture::from_images(samples.images)?;
        let grades = self.judge.grade(look, task, &pictures);
        let grades = grades.map_err(candle_core::Error::wrap)?;
        let score = |grade: &Option<Grade>| {
            let grade = grade.as_ref();
            grade.map_or(f64::NAN, |grade| grade.of(self.aspect))
        };
        Ok(grades.iter().map(score).collect())
    }
}

impl Verifier for Llm {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn score(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        self.scores(self.look(false), task, samples)
    }

    fn varies(&self) -> bool {
        true
    }

    fn score_afresh(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        self.scores(self.look(true), task, samples)
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = std::mem::take(&mut *held(&self.bill.notes));
        let cost = self.cost();
        if std::mem::replace(&mut *held(&self.told), cost) != cost {
            notes.push(format!(
                "llm so far: {} requests, {} tokens read and {} written, {} grades from the cache",
                cost.requests, cost.usage.prompt_tokens, cost.usage.completion_tokens, cost.cached
            ));
        }
        notes
    }

    fn fees(&self) -> Fees {
        let Cost {
            requests, usage, ..
        } = self.cost();
        Fees {
            requests,
            tokens_read: usage.prompt_tokens,
            tokens_written: usage.completion_tokens,
        }
    }
}

/// A lock whose holder may have panicked; what it guards is whole at any time.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
