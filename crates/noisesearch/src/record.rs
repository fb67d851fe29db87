//! What an image file says about itself: PNG text chunks.
//!
//! `parameters` is the form that common viewers read; `noisesearch` is JSON from which the image
//! can be made again.

use crate::picture::{Picture, PictureError, Text};
use crate::spec::Checked;
use noisesearch_core::job::{JobId, Scores};
use noisesearch_core::journal::Fingerprint;
use noisesearch_core::recipe::Recipe;
use noisesearch_models::task::Task;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The chunk that holds a [`Record`].
const KEY: &str = "noisesearch";

/// From what and with which scores an image was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The candidate; none for what is handed out in the format and steps of the answer: the
    /// baseline and what was made again.
    pub job: Option<JobId>,
    /// How to make it, in the human form.
    #[serde(with = "crate::summary::as_text")]
    pub recipe: Recipe,
    /// Score by verifier.
    pub scores: BTreeMap<String, f64>,
    /// What decides the result besides the recipe.
    pub fingerprint: Fingerprint,
}

/// Makes records for one run.
pub struct Recorder<'a> {
    /// What is run.
    pub spec: &'a Checked,
    /// Its fingerprint.
    pub fingerprint: &'a Fingerprint,
}

impl Recorder<'_> {
    /// Scores by name.
    pub fn named(&self, scores: &Scores) -> BTreeMap<String, f64> {
        self.spec
            .scored()
            .into_iter()
            .zip(scores.values().iter().copied())
            .collect()
    }

    /// The PNG of a picture that says how it was made.
    pub fn png(
        &self,
        picture: &Picture,
        job: Option<JobId>,
        recipe: &Recipe,
        scores: &Scores,
    ) -> Result<Vec<u8>, PictureError> {
        let record = Record {
            job,
            recipe: recipe.clone(),
            scores: self.named(scores),
            fingerprint: self.fingerprint.clone(),
        };
        // A record has string keys and finite numbers only, which always is JSON.
        let json = serde_json::to_string(&record).unwrap_or_default();
        let parameters = self.parameters(picture, recipe);
        picture.to_png(&[
            ("parameters".to_owned(), parameters),
            (KEY.to_owned(), json),
        ])
    }

    fn parameters(&self, picture: &Picture, recipe: &Recipe) -> String {
        let spec = self.spec;
        let hash = self
            .fingerprint
            .get("weights")
            .and_then(|value| value.as_str());
        let hash: String = hash.unwrap_or_default().chars().take(10).collect();
        let steps = if spec.steps == spec.search_steps {
            spec.steps
        } else {
            final_steps(recipe)
        };
        format!(
            "{}\nNegative prompt: \nSteps: {steps}, Sampler: {}, CFG scale: {}, Seed: {}, \
             Size: {}x{}, Model hash: {hash}, Model: {}, Recipe: \"{recipe}\", \
             Version: noisesearch {}",
            spec.subject(),
            spec.solver,
            spec.guidance,
            spec.seed,
            picture.width,
            picture.height,
            spec.model,
            env!("CARGO_PKG_VERSION"),
        )
    }
}

/// Steps of the last solver of a recipe.
fn final_steps(recipe: &Recipe) -> u16 {
    use noisesearch_core::recipe::Move;
    let steps = recipe.moves.iter().rev().find_map(|step| match step {
        Move::Denoise { steps, .. } | Move::Diffuse { steps, .. } => Some(*steps),
        Move::Nudge { .. } | Move::Renoise { .. } | Move::Ascend { .. } => None,
    });
    steps.unwrap_or(0)
}

impl Record {
    /// Reads a PNG that [`Recorder::png`] wrote; `None` when it is damaged or another's.
    pub fn read(bytes: &[u8]) -> Option<(Picture, Self)> {
        let (picture, texts) = Picture::from_png(bytes).ok()?;
        Some((picture, Self::of(&texts)?))
    }

    /// The record among the texts of a picture.
    pub fn of(texts: &[Text]) -> Option<Self> {
        let of = |(key, text): &Text| (key == KEY).then(|| serde_json::from_str(text).ok())?;
        texts.iter().find_map(of)
    }

    /// What the image was to show.
    pub fn task(&self) -> Option<Task> {
        let spec = self.fingerprint.get("spec")?;
        let text = |key: &str| Some(spec.get(key)?.as_str()?.to_owned());
        let prompt = text("prompt").map(Task::Prompt);
        prompt.or_else(|| text("class").map(Task::Class))
    }

    /// The scores in the order of `names`; `None` when one is missing.
    pub fn scores(&self, names: &[String]) -> Option<Scores> {
        let values = names.iter().map(|name| self.scores.get(name).copied());
        Scores::new(values.collect::<Option<_>>()?).ok()
    }
}
