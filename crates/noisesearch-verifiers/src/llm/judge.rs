//! Who is asked: an endpoint, what it answered before, and how many questions at a time.

use super::cache::Cache;
use super::grade::{Grade, Omitted, Question, Unreadable, Usage};
use super::http::{Client, HttpError};
use super::left::{About, Left};
use super::settings::Settings;
use super::{LlmError, held};
use crate::aspect::Aspect;
use crate::picture::Picture;
use noisesearch_models::task::Task;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// What a verifier caused at its judge since it was opened.
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

/// Who pays, and hears of what went wrong.
#[derive(Default)]
pub struct Bill {
    /// So far.
    pub cost: Mutex<Cost>,
    /// What a person should know.
    pub notes: Mutex<Vec<String>>,
}

/// How a verifier looks at pictures.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    /// What it wants to know.
    pub aspect: Aspect,
    /// Whether nothing kept of earlier answers may be used.
    pub afresh: bool,
    /// Its own.
    pub bill: &'a Bill,
}

/// A judge behind an endpoint, for all verifiers that are its scores.
pub struct Judge {
    name: String,
    client: Client,
    cache: Option<Cache>,
    model: String,
    omitted: Omitted,
    concurrent: usize,
    /// Held while a batch is asked about: the next verifier waits for the answers that it needs.
    left: Mutex<Left>,
}

/// A picture: the name of its content, the key of its grade, its PNG.
struct Shown {
    name: String,
    key: String,
    png: Vec<u8>,
}

/// The grade of each picture, by the name of its content; none where the answer was unreadable.
type Graded = BTreeMap<String, Option<Grade>>;

impl Judge {
    /// The judge of these settings. Nothing is sent before the first picture.
    pub fn new(settings: &Settings) -> Self {
        Self {
            name: settings.judge(),
            client: Client::new(settings),
            cache: settings.cache.clone().map(Cache::new),
            model: settings.model.clone(),
            omitted: settings.omitted,
            concurrent: settings.concurrent.max(1),
            left: Mutex::default(),
        }
    }

    /// Which judge it is: there are no weights to hash, the name is all that is known of them.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A grade for each of `pictures`, in their order; `None` where the answer was unreadable.
    /// Equal pictures are graded once.
    pub(super) fn grade(
        &self,
        look: Look,
        task: &Task,
        pictures: &[Picture],
    ) -> Result<Vec<Option<Grade>>, LlmError> {
        let names: Vec<String> = pictures.iter().map(name).collect();
        let mut left = held(&self.left);
        let mut graded = Graded::new();
        let mut open: Vec<Shown> = Vec::new();
        for (name, picture) in names.iter().zip(pictures) {
            if graded.contains_key(name) || open.iter().any(|other| other.name == *name) {
                continue;
            }
            let key = Cache::key(name, task, &self.name);
            if let Some(grade) = self.known(look, &mut left, &key) {
                graded.insert(name.clone(), grade);
                continue;
            }
            open.push(Shown {
                name: name.clone(),
                key,
                png: picture.to_png(&[])?,
            });
        }
        let mut asked = self.ask_all(look, task, &open)?;
        for Shown { name, key, .. } in open {
            let grade = asked.remove(&name).flatten();
            left.put(look.about(&key), look.aspect, grade.clone());
            graded.insert(name, grade);
        }
        let of = |name: &String| graded.get(name)?.clone();
        Ok(names.iter().map(of).collect())
    }

    /// The answer that another verifier asked for, or the grade on the disk.
    fn known(&self, look: Look, left: &mut Left, key: &str) -> Option<Option<Grade>> {
        let about = look.about(key);
        if let Some(grade) = left.take(&about, look.aspect) {
            return Some(grade);
        }
        let grade = self.cache_for(look)?.get(key)?;
        held(&look.bill.cost).cached += 1;
        left.put(about, look.aspect, Some(grade.clone()));
        Some(Some(grade))
    }

    fn cache_for(&self, look: Look) -> Option<&Cache> {
        self.cache.as_ref().filter(|_| !look.afresh)
    }

    /// Asks about every picture, several at a time. The first request without a response ends it.
    fn ask_all(&self, look: Look, task: &Task, open: &[Shown]) -> Result<Graded, HttpError> {
        let next = AtomicUsize::new(0);
        let answers = Mutex::new((Graded::new(), None));
        let work = || {
            while let Some(shown) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
                let answer = self.ask(look, task, shown);
                let mut answers = held(&answers);
                match answer {
                    Ok(grade) => drop(answers.0.insert(shown.name.clone(), grade)),
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

    fn ask(&self, look: Look, task: &Task, shown: &Shown) -> Result<Option<Grade>, HttpError> {
        // Enough of the name to tell pictures apart, short enough to be copied without a slip.
        let id = &shown.name[..16];
        let question = Question {
            id,
            task,
            png: &shown.png,
            model: &self.model,
            omitted: self.omitted,
        };
        let (response, attempts) = self.client.post(&question.body());
        let bill = look.bill;
        held(&bill.cost).requests += u64::from(attempts);
        let (grade, usage) = match response {
            Ok(response) => question.read(&response),
            Err(HttpError::TooLarge) => (Err(Unreadable::TooLarge), Usage::default()),
            Err(error) => return Err(error),
        };
        let mut cost = held(&bill.cost);
        cost.usage.prompt_tokens += usage.prompt_tokens;
        cost.usage.completion_tokens += usage.completion_tokens;
        match (&grade, self.cache_for(look)) {
            (Err(problem), _) => {
                cost.failed += 1;
                bill.note(format!("llm gave picture {id} no score: {problem}"));
            }
            (Ok(grade), Some(cache)) => {
                if let Err(error) = cache.put(&shown.key, grade) {
                    bill.note(format!("a grade of llm cannot be kept: {error}"));
                }
            }
            _ => {}
        }
        Ok(grade.ok())
    }
}

impl Bill {
    fn note(&self, text: String) {
        held(&self.notes).push(text);
    }
}

impl Look<'_> {
    fn about(&self, key: &str) -> About {
        About {
            key: key.to_owned(),
            afresh: self.afresh,
        }
    }
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
