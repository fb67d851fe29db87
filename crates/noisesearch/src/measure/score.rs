//! Verifiers on pictures.

use super::MeasureError;
use super::pictures::{Found, images, in_groups, judge_error};
use super::tasks::Tasks;
use crate::files::Files;
use crate::registry::Registry;
use crate::spec::SpecError;
use noisesearch_models::task::Task;
use noisesearch_verifiers::metrics::scores::{Mean, PassRate};
use noisesearch_verifiers::verifier::{Samples, Verifier};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A picture with its scores.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// The file.
    pub path: PathBuf,
    /// What it shall show.
    pub task: Task,
    /// The category that the list of prompts gives it.
    pub category: Option<String>,
    /// A score a verifier, in order; NaN where it could not judge.
    pub scores: Vec<f64>,
    /// Whether that is a pass, for verifiers that grade exactly.
    pub passes: Vec<Option<bool>>,
}

/// What a verifier made of all pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Totals {
    /// Of its scores.
    pub mean: Mean,
    /// How many passed, if it grades exactly.
    pub passed: Option<PassRate>,
    /// The same for each category there is.
    pub categories: BTreeMap<String, PassRate>,
}

/// Opens verifiers by name, none of them twice.
pub fn open(
    registry: &Registry,
    names: &[String],
    files: &Files,
) -> Result<Vec<Box<dyn Verifier>>, MeasureError> {
    if names.is_empty() {
        return Err(SpecError::NoVerifier.into());
    }
    if let Some(name) = files.weights.keys().find(|name| !names.contains(name)) {
        let (name, used) = (name.chars().take(80).collect(), names.join(", "));
        return Err(SpecError::Unused { name, used }.into());
    }
    let mut verifiers = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            return Err(SpecError::Twice(name.clone()).into());
        }
        let verifier = (registry.verifier_named(name, files)?.open)()?;
        if verifier.early_level().is_some() {
            let name = name.clone();
            return Err(MeasureError::Early { name });
        }
        verifiers.push(verifier);
    }
    Ok(verifiers)
}

/// Scores the files in order; `told` hears of each picture as soon as it is scored, and says
/// whether to go on.
pub fn score(
    verifiers: &[Box<dyn Verifier>],
    files: &[PathBuf],
    tasks: &Tasks,
    told: &mut dyn FnMut(&Scored) -> bool,
) -> Result<Vec<Scored>, MeasureError> {
    let mut all = Vec::with_capacity(files.len());
    let key = |found: &Found| tasks.of(found);
    in_groups(files, key, |(task, category), group| {
        let columns = columns(verifiers, &task, &group)?;
        for (row, found) in group.into_iter().enumerate() {
            let scores: Vec<f64> = columns.iter().map(|column| column[row]).collect();
            let judged = verifiers.iter().zip(&scores);
            let passes = judged.map(|(verifier, &score)| verifier.passes(score));
            let scored = Scored {
                path: found.path,
                task: task.clone(),
                category: category.clone(),
                passes: passes.collect(),
                scores,
            };
            let on = told(&scored);
            all.push(scored);
            if !on {
                return Ok(false);
            }
        }
        Ok(true)
    })?;
    Ok(all)
}

/// Scores of a group, one list a verifier.
fn columns(
    verifiers: &[Box<dyn Verifier>],
    task: &Task,
    group: &[Found],
) -> Result<Vec<Vec<f64>>, MeasureError> {
    let images = images(group).map_err(|source| judge_error("reading", group, source))?;
    let samples = Samples {
        images: &images,
        early: None,
    };
    let column = |verifier: &dyn Verifier| {
        let name = &verifier.id().name;
        let scores = verifier.score(task, &samples);
        let scores = scores.map_err(|source| judge_error(name, group, source))?;
        match scores.len() == group.len() {
            true => Ok(scores),
            false => Err(MeasureError::Scores {
                name: name.clone(),
                given: scores.len(),
                pictures: group.len(),
            }),
        }
    };
    verifiers
        .iter()
        .map(|verifier| column(&**verifier))
        .collect()
}

/// What verifier number `verifier` made of all pictures.
pub fn totals(scored: &[Scored], verifier: usize) -> Totals {
    let scores: Vec<f64> = scored.iter().map(|s| s.scores[verifier]).collect();
    let graded = || {
        let graded = scored.iter().filter(|s| !s.scores[verifier].is_nan());
        graded.filter_map(move |s| Some((&s.category, s.passes[verifier]?)))
    };
    let all = PassRate::by_category(graded().map(|(_, passed)| ((), passed)));
    let of_category = graded().filter_map(|(category, passed)| Some((category.clone()?, passed)));
    Totals {
        mean: Mean::of(&scores),
        passed: all.get(&()).copied(),
        categories: PassRate::by_category(of_category),
    }
}
