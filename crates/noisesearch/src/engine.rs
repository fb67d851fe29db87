//! From recipes to scores, in this process.
//!
//! Rows that are solved alike run in one batch, and what several recipes begin with is solved
//! once (their *stem*). A row's numbers depend neither on its neighbours nor on the batch, so
//! neither does its outcome.

use crate::cache::Cache;
use crate::error::Error;
use crate::gradient;
use crate::identity;
use crate::limits::CACHE_BYTES_MAX;
use crate::meter::Meter;
use crate::picture::Picture;
use crate::registry::Registry;
use crate::spec::Checked;
use candle_core::{Device, Tensor};
use noisesearch_core::drive::Lost;
use noisesearch_core::job::{Outcome, Scores, View};
use noisesearch_core::journal::Fingerprint;
use noisesearch_core::ledger::Ledger;
use noisesearch_core::level::Level;
use noisesearch_core::recipe::{Move, Recipe, RecipeId, VerifierName};
use noisesearch_models::denoiser::{Conditioner, Conditioning, Decoder, Denoiser};
use noisesearch_models::gradient::Slope;
use noisesearch_models::path::NoisePath;
use noisesearch_models::replay::{Evaluation, Row, Sampler};
use noisesearch_models::schedule::Schedule;
use noisesearch_models::solver::Solver;
use noisesearch_models::task::Task;
use noisesearch_verifiers::verifier::{Samples, Verifier, VerifierId};
use std::collections::BTreeMap;

/// A model, verifiers and a task: makes and scores recipes.
pub struct Engine {
    conditioner: Box<dyn Conditioner>,
    denoiser: Meter,
    decoder: Box<dyn Decoder>,
    path: NoisePath,
    schedule: Schedule,
    weights: String,
    verifiers: Vec<Box<dyn Verifier>>,
    task: Task,
    cond: Conditioning,
    solver: Solver,
    batch: usize,
    cache: Cache,
    /// The different early levels that verifiers want.
    early: Vec<Level>,
    verifier_calls: u64,
}

/// What became of one recipe.
#[derive(Clone)]
pub struct Made {
    /// Its scores, its failure, or why it must be tried again.
    pub result: Result<Outcome, Lost>,
    /// What was scored; `None` when there is nothing to see.
    pub picture: Option<Picture>,
}

/// A finite sample: what is decoded.
struct Sample {
    /// Position among what is wanted.
    place: usize,
    /// The latent, `[c, h, w]` row-major.
    x: Vec<f32>,
    /// Per early level, the prediction nearest to it.
    early: Vec<Vec<f32>>,
}

/// Per early level: how near the nearest prediction so far was, and that prediction.
type Early = Vec<Option<(f32, Vec<f32>)>>;

impl Engine {
    /// Opens the model and the verifiers of a spec and encodes its task. Refuses a search that
    /// follows a gradient where there is none.
    pub fn open(registry: &Registry, spec: &Checked) -> Result<Self, Error> {
        Self::open_with(registry, spec, &spec.scored())
    }

    /// The same with other verifiers than those of the spec, in this order.
    pub fn open_with(
        registry: &Registry,
        spec: &Checked,
        verifiers: &[String],
    ) -> Result<Self, Error> {
        let entry = registry.model_for(&spec.task, Some(&spec.model), &spec.files)?;
        let model = (entry.open)()?;
        let cond = model.conditioner.encode(&spec.task, spec.guidance)?;
        let open = |name: &String| -> Result<Box<dyn Verifier>, Error> {
            Ok((registry.verifier_for(&entry, name, &spec.files)?.open)()?)
        };
        let verifiers: Vec<_> = verifiers.iter().map(open).collect::<Result<_, _>>()?;
        if let Some(name) = spec.search.followed() {
            gradient::check(registry, &entry, &model, &verifiers, name)?;
        }
        let mut early: Vec<Level> = Vec::new();
        for level in verifiers
            .iter()
            .filter_map(|verifier| verifier.early_level())
        {
            if !early.contains(&level) {
                early.push(level);
            }
        }
        Ok(Self {
            conditioner: model.conditioner,
            denoiser: Meter::new(model.denoiser),
            decoder: model.decoder,
            path: model.path,
            schedule: model.schedule,
            weights: model.weights,
            verifiers,
            task: spec.task.clone(),
            cond,
            solver: spec.solver,
            batch: spec.batch,
            cache: Cache::new(CACHE_BYTES_MAX),
            early,
            verifier_calls: 0,
        })
    }

    /// Turns to the task, guidance and solver of another spec for the same model, without opening
    /// it again.
    ///
    /// # Errors
    /// [`Error::Task`] when the model cannot be asked this; then it is as it was.
    pub fn turn(&mut self, spec: &Checked) -> Result<(), Error> {
        self.cond = self.conditioner.encode(&spec.task, spec.guidance)?;
        self.task = spec.task.clone();
        (self.solver, self.batch) = (spec.solver, spec.batch);
        self.cache = Cache::new(CACHE_BYTES_MAX);
        Ok(())
    }

    /// Whether a search can follow the gradient of this verifier here.
    pub fn follows(&self, name: VerifierName) -> bool {
        let mut named = self
            .verifiers
            .iter()
            .filter(|v| v.id().name == name.as_str());
        let there = self.denoiser.gradient().is_some() && self.decoder.gradient().is_some();
        there && named.any(|verifier| verifier.gradient().is_some())
    }

    /// BLAKE3 of the model's weights in hexadecimal.
    pub fn weights(&self) -> &str {
        &self.weights
    }

    /// Everything that decides what a recipe gives when it is made for `spec`, to which the engine
    /// has turned: neither search, objective, budget nor seed.
    pub fn context(&self, spec: &Checked) -> Result<Fingerprint, serde_json::Error> {
        identity::of_outcome(spec, self)
    }

    /// Who judges, in the order of scores.
    pub fn verifiers(&self) -> Vec<&VerifierId> {
        self.verifiers
            .iter()
            .map(|verifier| verifier.id())
            .collect()
    }

    /// Whether a score means "pass", for a verifier that grades exactly.
    pub fn passes(&self, verifier: usize, score: f64) -> Option<bool> {
        self.verifiers.get(verifier)?.passes(score)
    }

    /// Network passes of one evaluation: 2 when guided.
    pub fn passes_per_nfe(&self) -> u64 {
        self.denoiser.passes_per_row(&self.cond)
    }

    /// What was really spent since the engine was opened, all NFE as search; no seconds.
    pub fn spent(&self) -> Ledger {
        let search_nfe = self.denoiser.nfe();
        let passes = search_nfe * self.passes_per_nfe();
        let verifier_calls = self.verifier_calls;
        Ledger {
            search_nfe,
            passes,
            verifier_calls,
            ..Ledger::default()
        }
    }

    /// What the verifiers have to say to a person since this was last asked.
    pub fn notes(&self) -> Vec<String> {
        self.verifiers.iter().flat_map(|v| v.notes()).collect()
    }

    /// Tells the verifiers which picture was chosen.
    pub fn accept(&self, picture: &Picture) -> Result<(), Error> {
        let image = picture.to_image()?;
        for verifier in &self.verifiers {
            let told = verifier.accept(&self.task, &image);
            told.map_err(|source| failed(&**verifier, source))?;
        }
        Ok(())
    }

    /// Makes and scores `wanted`; one answer each, in the same order. A row that stops being
    /// finite fails alone; an error is one of all.
    pub fn make(&mut self, wanted: &[(&Recipe, View)]) -> Result<Vec<Made>, Error> {
        let mut early: Vec<Early> = vec![vec![None; self.early.len()]; wanted.len()];
        let mut rows = self.start(wanted)?;
        let levels = &self.early;
        let mut watch = |seen: Evaluation| note(&mut early[seen.row], levels, &seen);
        let sampler = self.sampler();
        sampler.replay(&mut rows, &mut watch)?;
        let mut previews = preview(&sampler, wanted, &mut rows, &mut early, levels)?;
        let mut made = Vec::with_capacity(wanted.len());
        let mut samples = Vec::with_capacity(wanted.len());
        for (place, (row, early)) in rows.iter().zip(early).enumerate() {
            let sample = row.state().map(|state| {
                let x = previews[place].take().unwrap_or_else(|| state.x.clone());
                let early = early.into_iter();
                let early = early.map(|seen| seen.map_or_else(|| x.clone(), |(_, x0)| x0));
                Sample {
                    place,
                    early: early.collect(),
                    x,
                }
            });
            let failed = sample.as_ref().err().map(|&failure| failure.clone());
            samples.extend(sample.ok());
            // Overwritten for every sample that is scored.
            let result = failed.map_or_else(
                || Err(Lost("it was not scored".to_owned())),
                |failure| Ok(Outcome::Failed(failure)),
            );
            made.push(Made {
                result,
                picture: None,
            });
        }
        for ((recipe, view), row) in wanted.iter().zip(&rows) {
            if let (View::Preview, Ok(state)) = (view, row.state()) {
                self.cache.put(recipe.id(), state.clone());
            }
        }
        for chunk in samples.chunks(self.batch) {
            self.judge(chunk, &mut made)?;
        }
        Ok(made)
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

    /// Every recipe at the end of its stem. Stems that are not cached are made, each once.
    fn start(&mut self, wanted: &[(&Recipe, View)]) -> Result<Vec<Row>, Error> {
        let mut stems: BTreeMap<RecipeId, Row> = BTreeMap::new();
        for &(recipe, _) in wanted {
            let stem = first(recipe, stem(recipe));
            if let std::collections::btree_map::Entry::Vacant(free) = stems.entry(stem.id()) {
                free.insert(self.nearest(stem)?);
            }
        }
        let (ids, mut rows): (Vec<RecipeId>, Vec<Row>) = stems.into_iter().unzip();
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
        for (id, row) in stems {
            if let (false, Ok(state)) = (row.recipe().moves.is_empty(), row.state()) {
                self.cache.put(id, state.clone());
            }
        }
        Ok(rows)
    }

    /// `recipe` at its longest cached beginning, or at its noise.
    fn nearest(&mut self, recipe: Recipe) -> Result<Row, Error> {
        let mut done = recipe.moves.len();
        while done > 0 {
            if let Some(state) = self.cache.get(&first(&recipe, done).id()) {
                return Ok(Row::resume(recipe, done, state.clone())?);
            }
            done = stem(&first(&recipe, done)).min(done - 1);
        }
        Ok(self.sampler().start(recipe)?)
    }

    /// Decodes and scores the samples of one batch.
    fn judge(&mut self, samples: &[Sample], made: &mut [Made]) -> Result<(), Error> {
        let images = self.decode(samples.iter().map(|sample| &sample.x))?;
        let early = |index: usize| self.decode(samples.iter().map(|sample| &sample.early[index]));
        let early: Vec<Tensor> = (0..self.early.len()).map(early).collect::<Result<_, _>>()?;
        let mut columns = Vec::with_capacity(self.verifiers.len());
        for verifier in &self.verifiers {
            let level = verifier.early_level();
            let level = level.and_then(|level| self.early.iter().position(|l| *l == level));
            let early = level.map(|index| &early[index]);
            let samples = Samples {
                images: &images,
                early,
            };
            let scores = verifier.score(&self.task, &samples);
            columns.push(scores.map_err(|source| failed(&**verifier, source))?);
        }
        self.verifier_calls += (columns.len() * samples.len()) as u64;
        let wrong = columns
            .iter()
            .position(|column| column.len() != samples.len());
        let lost = wrong.map(|verifier| {
            let name = &self.verifiers[verifier].id().name;
            let (given, images) = (columns[verifier].len(), samples.len());
            Lost(format!(
                "verifier {name} gave {given} scores for {images} images"
            ))
        });
        let pictures = Picture::from_images(&images)?;
        for (index, (sample, picture)) in samples.iter().zip(pictures).enumerate() {
            let scores = || Scores::new(columns.iter().map(|column| column[index]).collect());
            let result = match &lost {
                Some(lost) => Err(lost.clone()),
                None => Ok(scores().map_or_else(Outcome::Failed, Outcome::Scored)),
            };
            made[sample.place] = Made {
                result,
                picture: Some(picture),
            };
        }
        Ok(())
    }

    fn decode<'a>(&self, samples: impl Iterator<Item = &'a Vec<f32>>) -> Result<Tensor, Error> {
        let shape = self.denoiser.shape();
        let values: Vec<f32> = samples.flatten().copied().collect();
        let len = shape.channels * shape.height * shape.width;
        let dims = (
            values.len() / len,
            shape.channels,
            shape.height,
            shape.width,
        );
        Ok(self
            .decoder
            .decode(&Tensor::from_vec(values, dims, &Device::Cpu)?)?)
    }
}

impl Slope for Engine {
    fn slope(&self, name: VerifierName, x0: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let mut verifiers = self.verifiers.iter();
        let verifier = verifiers.find(|verifier| verifier.id().name == name.as_str());
        let score = verifier.and_then(|verifier| verifier.gradient());
        let (Some(score), Some(decoder)) = (score, self.decoder.gradient()) else {
            return Ok(None);
        };
        let slope = score.slope(&self.task, &self.decoder.decode(x0)?)?;
        decoder.vjp(x0, &slope).map(Some)
    }
}

fn failed(verifier: &dyn Verifier, source: candle_core::Error) -> Error {
    // A person is told what happened, not through which functions.
    let source = match source {
        candle_core::Error::WithBacktrace { inner, .. } => inner,
        other => Box::new(other),
    };
    Error::Verifier {
        run: None,
        name: verifier.id().name.clone(),
        source,
    }
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
