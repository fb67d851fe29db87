//! `llm`: a multimodal language model behind an OpenAI-compatible chat endpoint grades each
//! picture, as in Ma et al. 2025 (arXiv 2501.09732, section 4 and table 7).
//!
//! ```text
//! score = overall, 0 to 100, of {accuracy, originality, quality, consistency, emotion, overall}
//! ```
//!
//! A judge can be talked into scores by what is written in a picture, and a search will find such
//! pictures by itself: never let it be the only verifier behind a claim. An answer outside the
//! grammar gives its picture no score; an endpoint that refuses or stays silent ends the run, which
//! can be resumed without paying twice.

mod cache;
mod grade;
mod http;
mod key;
mod settings;

pub use cache::Cache;
pub use grade::{ASPECTS, Grade, Omitted, PROMPT_VERSION, Question, Unreadable, Usage};
pub use http::{Attempt, HttpError};
pub use key::Key;
pub use settings::{
    AUTHORITIES, CACHE, CONCURRENT, KEY, MODEL, OMIT, Settings, SettingsError, URL,
};

use crate::picture::{Picture, PictureError};
use crate::verifier::{Samples, Verifier, VerifierId};
use candle_core::Result;
use http::Client;
use noisesearch_core::ledger::Fees;
use noisesearch_models::task::Task;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// What the judge cost since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Requests sent, repeated ones included.
    pub requests: u64,
    /// Pictures whose grade was known.
    pub cached: u64,
    /// Pictures that got no grade.
    pub failed: u64,
    /// Tokens, as the endpoint counts them.
    pub usage: Usage,
}

/// A judge behind an endpoint.
pub struct Llm {
    id: VerifierId,
    client: Client,
    cache: Option<Cache>,
    model: String,
    omitted: Omitted,
    concurrent: usize,
    cost: Mutex<Cost>,
    /// What the cost was when a person was last told.
    told: Mutex<Cost>,
    notes: Mutex<Vec<String>>,
}

/// A picture, the name of its content, and its PNG.
type Shown = (String, Vec<u8>);
/// What became of each picture, by the name of its content.
type Graded = BTreeMap<String, std::result::Result<Grade, Unreadable>>;

impl Llm {
    /// The judge of these settings. Nothing is sent before the first picture.
    pub fn new(settings: &Settings) -> Self {
        Self {
            id: VerifierId {
                name: "llm".into(),
                // There are no weights to hash; the name is all that is known of them.
                weights: settings.judge(),
                version: PROMPT_VERSION,
            },
            client: Client::new(settings),
            cache: settings.cache.clone().map(Cache::new),
            model: settings.model.clone(),
            omitted: settings.omitted,
            concurrent: settings.concurrent.max(1),
            cost: Mutex::default(),
            told: Mutex::default(),
            notes: Mutex::default(),
        }
    }

    /// What was spent so far.
    pub fn cost(&self) -> Cost {
        *held(&self.cost)
    }

    /// A grade for each of `pictures`, in their order; `None` where the answer was unreadable.
    /// Equal pictures are graded once.
    pub fn grade(
        &self,
        task: &Task,
        pictures: &[Picture],
    ) -> std::result::Result<Vec<Option<Grade>>, LlmError> {
        self.grade_with(self.cache.as_ref(), task, pictures)
    }

    /// The same with another cache, or none.
    fn grade_with(
        &self,
        cache: Option<&Cache>,
        task: &Task,
        pictures: &[Picture],
    ) -> std::result::Result<Vec<Option<Grade>>, LlmError> {
        let names: Vec<String> = pictures.iter().map(name).collect();
        let mut graded = Graded::new();
        let mut open: Vec<Shown> = Vec::new();
        for (name, picture) in names.iter().zip(pictures) {
            if graded.contains_key(name) || open.iter().any(|(other, _)| other == name) {
                continue;
            }
            let key = Cache::key(name, task, &self.id.weights);
            match cache.and_then(|cache| cache.get(&key)) {
                Some(grade) => {
                    held(&self.cost).cached += 1;
                    graded.insert(name.clone(), Ok(grade));
                }
                None => open.push((name.clone(), picture.to_png(&[])?)),
            }
        }
        graded.extend(self.ask_all(cache, task, &open)?);
        let of = |name: &String| graded.get(name)?.as_ref().ok().cloned();
        Ok(names.iter().map(of).collect())
    }

    /// The overall grade of every picture; NaN where the answer was unreadable.
    fn overall(&self, cache: Option<&Cache>, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let pictures = Picture::from_images(samples.images)?;
        let grades = self.grade_with(cache, task, &pictures);
        let grades = grades.map_err(candle_core::Error::wrap)?;
        let overall = |grade: &Option<Grade>| grade.as_ref().map_or(f64::NAN, Grade::overall);
        Ok(grades.iter().map(overall).collect())
    }

    /// Asks about every picture, several at a time. The first request without a response ends it.
    fn ask_all(
        &self,
        cache: Option<&Cache>,
        task: &Task,
        open: &[Shown],
    ) -> std::result::Result<Graded, HttpError> {
        let next = AtomicUsize::new(0);
        let answers = Mutex::new((Graded::new(), None));
        let work = || {
            while let Some((name, png)) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
                let answer = self.ask(cache, task, (name, png));
                let mut answers = held(&answers);
                match answer {
                    Ok(grade) => drop(answers.0.insert(name.clone(), grade)),
                    Err(error) => {
                        next.store(open.len(), Ordering::Relaxed);
                        answers.1.get_or_insert(error);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.concurrent.min(open.len()) {
                scope.spawn(work);
            }
        });
        let answers = answers.into_inner();
        match answers.unwrap_or_else(PoisonError::into_inner) {
            (_, Some(error)) => Err(error),
            (graded, None) => Ok(graded),
        }
    }

    fn ask(
        &self,
        cache: Option<&Cache>,
        task: &Task,
        (name, png): (&str, &[u8]),
    ) -> std::result::Result<std::result::Result<Grade, Unreadable>, HttpError> {
        // Enough of the name to tell pictures apart, short enough to be copied without a slip.
        let id = &name[..16];
        let question = Question {
            id,
            task,
            png,
            model: &self.model,
            omitted: self.omitted,
        };
        let (response, attempts) = self.client.post(&question.body());
        held(&self.cost).requests += u64::from(attempts);
        let (grade, usage) = match response {
            Ok(response) => question.read(&response),
            Err(HttpError::TooLarge) => (Err(Unreadable::TooLarge), Usage::default()),
            Err(error) => return Err(error),
        };
        let judge = &self.id.weights;
        let mut cost = held(&self.cost);
        cost.usage.prompt_tokens += usage.prompt_tokens;
        cost.usage.completion_tokens += usage.completion_tokens;
        match (&grade, cache) {
            (Err(problem), _) => {
                cost.failed += 1;
                held(&self.notes).push(format!("llm gave picture {id} no score: {problem}"));
            }
            (Ok(grade), Some(cache)) => {
                if let Err(error) = cache.put(&Cache::key(name, task, judge), grade) {
                    held(&self.notes).push(format!("a grade of llm cannot be kept: {error}"));
                }
            }
            _ => {}
        }
        Ok(grade)
    }
}

impl Verifier for Llm {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn score(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        self.overall(self.cache.as_ref(), task, samples)
    }

    fn varies(&self) -> bool {
        true
    }

    fn score_afresh(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        self.overall(None, task, samples)
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = std::mem::take(&mut *held(&self.notes));
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

/// BLAKE3 of a picture's size and pixels in hexadecimal.
fn name(picture: &Picture) -> String {
    let mut hasher = blake3::Hasher::new();
    for number in [picture.width, picture.height, picture.channels] {
        hasher.update(&(number as u64).to_le_bytes());
    }
    hasher.update(&picture.pixels);
    hasher.finalize().to_hex().to_string()
}
