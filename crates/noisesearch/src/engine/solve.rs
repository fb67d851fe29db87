//! From recipes to samples.
//!
//! Rows that are solved alike run in one batch, and what several recipes begin with is solved
//! once (their *stem*).

use super::{Engine, Made};
use crate::cache::Cache;
use crate::error::Error;
use noisesearch_core::drive::Lost;
use noisesearch_core::job::{Outcome, View};
use noisesearch_core::level::Level;
use noisesearch_core::recipe::{Move, Recipe, RecipeId};
use noisesearch_models::replay::{Evaluation, Row, Sampler, State};
use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

/// Recipes that were solved and are not judged yet.
pub struct Solved {
    /// An answer each; of those with a sample, the one that holds unless it is judged.
    pub(super) made: Vec<Made>,
    pub(super) samples: Vec<Sample>,
}

/// A finite sample: what is decoded.
pub(super) struct Sample {
    /// Position among what is wanted.
    pub place: usize,
    /// Whether it is an x0-prediction, not a finished sample.
    pub preview: bool,
    /// The latent, `[c, h, w]` row-major.
    pub x: Vec<f32>,
    /// Per early level, the prediction nearest to it.
    pub early: Vec<Vec<f32>>,
}

/// Per early level: how near the nearest prediction so far was, and that prediction.
type Early = Vec<Option<(f32, Vec<f32>)>>;

impl Engine {
    /// Solves `wanted`. A row that stops being finite fails alone; an error is one of all.
    pub fn solve(&self, wanted: &[(&Recipe, View)]) -> Result<Solved, Error> {
        let mut early: Vec<Early> = vec![vec![None; self.early.len()]; wanted.len()];
        let mut rows = self.start(wanted)?;
        let levels = &self.early;
        let mut watch = |seen: Evaluation| note(&mut early[seen.row], levels, &seen);
        let sampler = self.sampler();
        sampler.replay(&mut rows, &mut watch)?;
        let views = preview(&sampler, wanted, &mut rows, &mut early, levels)?;
        let mut cache = self.cached();
        for ((recipe, view), row) in wanted.iter().zip(&rows) {
            if let (View::Preview, Ok(state)) = (view, row.state()) {
                cache.put(recipe.id(), state.clone());
            }
        }
        let (mut made, mut samples) = (Vec::with_capacity(rows.len()), Vec::new());
        for (place, ((row, early), view)) in rows.iter().zip(early).zip(views).enumerate() {
            // Overwritten for every sample that is judged.
            let mut result = Err(Lost("it was not scored".to_owned()));
            match row.state() {
                Err(failure) => result = Ok(Outcome::Failed(failure.clone())),
                Ok(state) => {
                    let preview = view.is_some();
                    let x = view.unwrap_or_else(|| state.x.clone());
                    let nearest = early.into_iter();
                    let early = nearest.map(|seen| seen.map_or_else(|| x.clone(), |(_, x0)| x0));
                    let early = early.collect();
                    samples.push(Sample {
                        place,
                        preview,
                        x,
                        early,
                    });
                }
            }
            let picture = None;
            made.push(Made { result, picture });
        }
        Ok(Solved { made, samples })
    }

    fn sampler(&self) -> Sampler<'_> {
        Sampler {
            denoiser: &self.denoiser,
            conditioning: &self.cond,
            path: &self.path,
            solver: self.solver,
            schedule: self.schedule,
            batch: self.batch,
            slope: Some(self),
        }
    }

    fn cached(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every recipe at the end of its stem. Stems that are not cached are made, each once.
    fn start(&self, wanted: &[(&Recipe, View)]) -> Result<Vec<Row>, Error> {
        let stems = wanted
            .iter()
            .map(|&(recipe, _)| first(recipe, stem(recipe)));
        let stems: BTreeMap<RecipeId, Recipe> = stems.map(|stem| (stem.id(), stem)).collect();
        let (ids, stems): (Vec<RecipeId>, Vec<Recipe>) = stems.into_iter().unzip();
        let mut rows = self.nearest(stems)?;
        self.sampler().replay(&mut rows, &mut |_| ())?;
        let stems: BTreeMap<RecipeId, Row> = ids.into_iter().zip(rows).collect();
        let mut rows = Vec::with_capacity(wanted.len());
        for &(recipe, _) in wanted {
            let done = stem(recipe);
            let id = first(recipe, done).id();
            let row = stems[&id].clone();
            rows.push(match row.state() {
                Ok(state) => Row::resume(recipe.clone(), done, state.clone())?,
                Err(_) => row,
            });
        }
        let mut cache = self.cached();
        for (id, row) in stems {
            if let (false, Ok(state)) = (row.recipe().moves.is_empty(), row.state()) {
                cache.put(id, state.clone());
            }
        }
        Ok(rows)
    }

    /// Every recipe at its longest cached beginning, or at its noise.
    fn nearest(&self, recipes: Vec<Recipe>) -> Result<Vec<Row>, Error> {
        let mut cache = self.cached();
        let mut rows: Vec<Option<Row>> = Vec::with_capacity(recipes.len());
        let mut fresh = Vec::new();
        for recipe in recipes {
            let found = longest(&mut cache, &recipe);
            match found {
                Some((done, state)) => rows.push(Some(Row::resume(recipe, done, state)?)),
                None => {
                    rows.push(None);
                    fresh.push(recipe);
                }
            }
        }
        let mut fresh = self.sampler().start_all(fresh)?.into_iter();
        Ok(rows
            .into_iter()
            .filter_map(|row| row.or_else(|| fresh.next()))
            .collect())
    }
}

/// The longest cached beginning of a recipe: its moves, and the state after them.
fn longest(cache: &mut Cache, recipe: &Recipe) -> Option<(usize, State)> {
    let mut done = recipe.moves.len();
    while done > 0 {
        if let Some(state) = cache.get(&first(recipe, done).id()) {
            return Some((done, state.clone()));
        }
        done = stem(&first(recipe, done)).min(done - 1);
    }
    None
}

/// Predictions of the rows that are wanted as previews, one evaluation each.
fn preview(
    sampler: &Sampler,
    wanted: &[(&Recipe, View)],
    rows: &mut [Row],
    early: &mut [Early],
    levels: &[Level],
) -> Result<Vec<Option<Vec<f32>>>, Error> {
    let chosen = |&place: &usize| wanted[place].1 == View::Preview;
    let places: Vec<usize> = (0..rows.len()).filter(chosen).collect();
    let mut group: Vec<Row> = places.iter().map(|&place| rows[place].clone()).collect();
    let mut watch = |seen: Evaluation| note(&mut early[places[seen.row]], levels, &seen);
    let predictions = sampler.preview(&mut group, &mut watch)?;
    let mut views = vec![None; rows.len()];
    for ((place, prediction), row) in places.iter().zip(predictions).zip(group) {
        views[*place] = prediction;
        // A prediction that is not finite fails its row; the state before it is the same.
        rows[*place] = row;
    }
    Ok(views)
}

/// Notes a prediction where it is nearer to an early level than any before it.
fn note(early: &mut Early, levels: &[Level], seen: &Evaluation) {
    for (wanted, nearest) in levels.iter().zip(early) {
        let distance = (wanted.get() - seen.level.get()).abs();
        if nearest.as_ref().is_none_or(|(best, _)| distance < *best) {
            *nearest = Some((distance, seen.x0.to_vec()));
        }
    }
}

/// How many moves a recipe may share with others: up to the end of its last solve but one, which a
/// preview or a sibling has made, or else up to its last noise, an ascent included.
fn stem(recipe: &Recipe) -> usize {
    let solves = |step: &Move| matches!(step, Move::Denoise { .. } | Move::Diffuse { .. });
    let moves = recipe
        .moves
        .split_last()
        .map_or(&[][..], |(_, before)| before);
    match moves.iter().rposition(solves) {
        Some(last) => last + 1,
        None if matches!(moves.last(), Some(Move::Ascend { .. })) => moves.len(),
        None => moves.len().saturating_sub(1),
    }
}

/// The recipe's first `moves` moves.
fn first(recipe: &Recipe, moves: usize) -> Recipe {
    Recipe {
        root: recipe.root,
        moves: recipe.moves[..moves].to_vec(),
    }
}
