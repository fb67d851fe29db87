//! From recipe to sample: the interpreter of moves.
//!
//! Rows that stand before the same stretch of solving go through the denoiser together. A row's
//! arithmetic never meets another's, and its noise is addressed by its own recipe, so neither
//! batch nor neighbours change it.

use crate::denoiser::{Conditioning, Denoiser};
use crate::elementwise::{STRETCH, all_finite};
use crate::gradient::Slope;
use crate::path::NoisePath;
use crate::schedule::Schedule;
use crate::solver::{Route, Solver, Tape, diffuse};
use candle_core::{Device, Tensor};
use noisesearch_core::job::Failure;
use noisesearch_core::level::Level;
use noisesearch_core::noise::{Stream, ascend, nudge};
use noisesearch_core::recipe::{Move, Recipe, RecipeError, VerifierName};
use rayon::prelude::*;

/// A sample under way.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The latent, `[c, h, w]` row-major.
    pub x: Vec<f32>,
    /// Its noise level.
    pub level: Level,
    /// Denoiser evaluations along the recipe so far.
    pub evaluations: u32,
}

/// A recipe and how far it has been replayed.
#[derive(Clone, Debug)]
pub struct Row {
    recipe: Recipe,
    done: usize,
    state: State,
    failure: Option<Failure>,
}

/// One evaluation of one row, as a [`Watch`] sees it.
#[derive(Clone, Copy, Debug)]
pub struct Evaluation<'a> {
    /// Position of the row in the slice that was given.
    pub row: usize,
    /// 1-based count of evaluations along the whole recipe.
    pub evaluation: u32,
    /// Noise level of the evaluation.
    pub level: Level,
    /// The clean-sample prediction, `[c, h, w]` row-major; finite.
    pub x0: &'a [f32],
}

/// Sees every finite evaluation: within a row in order, across rows in any.
pub type Watch<'a> = dyn FnMut(Evaluation<'_>) + 'a;

/// Why a replay stopped as a whole. A row that stops being finite only fails itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// A recipe that is not legal.
    #[error("recipe cannot be replayed: {0}")]
    Recipe(#[from] RecipeError),
    /// A state that does not belong to the recipe's prefix.
    #[error("the state at level {level} does not follow move {done} of the recipe")]
    Prefix {
        /// Moves that are said to be done.
        done: usize,
        /// The state's level.
        level: f32,
    },
    /// A state or prediction of another shape than the model's.
    #[error("found a latent of shape {found:?}, and the model has {wanted:?}")]
    Shape {
        /// What came.
        found: Vec<usize>,
        /// What the model has.
        wanted: Vec<usize>,
    },
    /// A recipe that climbs a score whose gradient is not to be had.
    #[error(
        "the recipe climbs verifier {0}, and the gradient of its score through this model is not \
         known here"
    )]
    NoGradient(VerifierName),
    /// The denoiser failed.
    #[error("the denoiser failed: {0}")]
    Denoiser(#[from] candle_core::Error),
}

/// An ascent: the fields of [`Move::Ascend`].
#[derive(Clone, Copy)]
struct Climb {
    verifier: VerifierName,
    rate: f32,
    steps: u16,
}

/// A stretch of solving; equal for rows that can share it.
#[derive(Clone, Copy, PartialEq)]
struct Leg {
    from: Level,
    to: Level,
    steps: u16,
    stochastic: bool,
}

impl Row {
    /// Continues `recipe` from the state that its first `done` moves have led to.
    pub fn resume(recipe: Recipe, done: usize, state: State) -> Result<Self, ReplayError> {
        recipe.check()?;
        let before = recipe.moves.iter().take(done).rev().find_map(Move::to);
        if done > recipe.moves.len() || state.level != before.unwrap_or(Level::NOISE) {
            let level = state.level.get();
            return Err(ReplayError::Prefix { done, level });
        }
        Ok(Self {
            recipe,
            done,
            state,
            failure: None,
        })
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The state reached, or why the row failed.
    pub fn state(&self) -> Result<&State, &Failure> {
        self.failure.as_ref().map_or(Ok(&self.state), Err)
    }

    /// The noise of the next move.
    fn stream(&self, draw: u32) -> Stream {
        Stream::of_move(self.recipe.root, self.done as u32, draw)
    }

    /// The next move, unless the row has ended or failed.
    fn next(&self) -> Option<Move> {
        let healthy = self.failure.is_none();
        healthy.then(|| self.recipe.moves.get(self.done).copied())?
    }

    /// The next move if it is a solver's.
    fn leg(&self) -> Option<Leg> {
        let (to, steps, stochastic) = match self.next()? {
            Move::Denoise { to, steps } => (to, steps, false),
            Move::Diffuse { to, steps, .. } => (to, steps, true),
            Move::Nudge { .. } | Move::Renoise { .. } | Move::Ascend { .. } => return None,
        };
        let from = self.state.level;
        Some(Leg {
            from,
            to,
            steps,
            stochastic,
        })
    }

    /// The next move if it is an ascent.
    fn climb(&self) -> Option<Climb> {
        match self.next()? {
            Move::Ascend {
                verifier,
                rate,
                steps,
            } => Some(Climb {
                verifier,
                rate,
                steps,
            }),
            _ => None,
        }
    }

    /// Makes the moves that need no network, up to one that does.
    fn advance(&mut self, path: &NoisePath) {
        while let Some(step) = self.next() {
            match step {
                Move::Nudge { draw, cosine } => {
                    self.state.x = nudge(&self.state.x, cosine, self.stream(draw));
                }
                Move::Renoise { draw, to } => {
                    let (keep, spread) = path.forward(self.state.level, to);
                    let noise = self.stream(draw).normals(self.state.x.len());
                    for (x, e) in self.state.x.iter_mut().zip(noise) {
                        *x = (keep * f64::from(*x) + spread * f64::from(e)) as f32;
                    }
                    self.state.level = to;
                }
                Move::Ascend { .. } | Move::Denoise { .. } | Move::Diffuse { .. } => return,
            }
            self.done += 1;
        }
    }

    /// Notes an evaluation of `x`; the first value that is not finite fails the row, at the
    /// evaluation that made it.
    fn evaluated(&mut self, x: &[f32], x0: &[f32]) {
        self.check(x);
        self.state.evaluations = self.state.evaluations.saturating_add(1);
        self.check(x0);
    }

    fn check(&mut self, values: &[f32]) {
        if self.failure.is_none() && !all_finite(values) {
            let evaluation = self.state.evaluations;
            self.failure = Some(Failure::NonFinite { evaluation });
        }
    }

    /// Ends a solver's move.
    fn arrive(&mut self, x: &[f32], to: Level) {
        self.check(x);
        self.state.x.copy_from_slice(x);
        self.state.level = to;
        self.done += 1;
    }
}

/// Replays recipes for one task.
#[derive(Clone, Copy)]
pub struct Sampler<'a> {
    /// Predicts clean samples.
    pub denoiser: &'a dyn Denoiser,
    /// The task.
    pub conditioning: &'a Conditioning,
    /// The denoiser's path.
    pub path: &'a NoisePath,
    /// How `Denoise` is solved.
    pub solver: Solver,
    /// Which levels solvers visit.
    pub schedule: Schedule,
    /// Rows in one call of the denoiser, at most; 0 counts as 1.
    pub batch: usize,
    /// What `Ascend` climbs; without it such a recipe is refused.
    pub slope: Option<&'a dyn Slope>,
}

impl Sampler<'_> {
    /// The pure noise of a legal recipe.
    pub fn start(&self, recipe: Recipe) -> Result<Row, ReplayError> {
        let x = Stream::initial(recipe.root).normals(self.elements());
        let state = State {
            x,
            level: Level::NOISE,
            evaluations: 0,
        };
        Row::resume(recipe, 0, state)
    }

    /// The pure noises of legal recipes, in the same order, drawn side by side.
    pub fn start_all(&self, recipes: Vec<Recipe>) -> Result<Vec<Row>, ReplayError> {
        recipes
            .into_par_iter()
            .map(|recipe| self.start(recipe))
            .collect()
    }

    /// Makes every remaining move of every row. A row that fails stops and stays so; after an
    /// error, rows are to be started anew.
    pub fn replay(&self, rows: &mut [Row], watch: &mut Watch<'_>) -> Result<(), ReplayError> {
        self.check_shapes(rows)?;
        loop {
            rows.par_iter_mut().try_for_each(|row| self.climb(row))?;
            let Some(leg) = rows.iter().find_map(Row::leg) else {
                return Ok(());
            };
            let mut group = select(rows, |row| row.leg() == Some(leg));
            for chunk in group.chunks_mut(self.batch.max(1)) {
                self.solve(leg, chunk, watch)?;
            }
        }
    }

    /// The clean-sample prediction, `[c, h, w]` row-major, at the level where each row stands;
    /// `None` for a row that has failed, now or before. One evaluation a row, none at level 0.
    pub fn preview(
        &self,
        rows: &mut [Row],
        watch: &mut Watch<'_>,
    ) -> Result<Vec<Option<Vec<f32>>>, ReplayError> {
        self.check_shapes(rows)?;
        let clean = |row: &Row| row.state.level == Level::CLEAN;
        let mut views: Vec<Option<Vec<f32>>> = vec![None; rows.len()];
        let mut waiting: Vec<bool> = rows.iter().map(|row| !clean(row)).collect();
        while let Some(first) = waiting.iter().position(|w| *w) {
            let level = rows[first].state.level;
            let mut group = select(rows, |row| row.state.level == level);
            for (row, _) in &group {
                waiting[*row] = false;
            }
            group.retain(|(_, row)| row.failure.is_none());
            for chunk in group.chunks_mut(self.batch.max(1)) {
                let x = gather(chunk);
                let x0 = self.evaluate(chunk, &x, level, watch)?;
                for ((row, _), x0) in chunk.iter().zip(x0.chunks(self.elements())) {
                    views[*row] = Some(x0.to_vec());
                }
            }
        }
        for (view, row) in views.iter_mut().zip(rows) {
            match row.state() {
                Err(_) => *view = None,
                Ok(state) if clean(row) => *view = Some(state.x.clone()),
                Ok(_) => {}
            }
        }
        Ok(views)
    }

    /// Makes a row's moves before the next solver's; ascents one row at a time.
    fn climb(&self, row: &mut Row) -> Result<(), ReplayError> {
        row.advance(self.path);
        while let Some(climb) = row.climb() {
            self.ascend(row, climb)?;
            row.advance(self.path);
        }
        Ok(())
    }

    /// One ascent: a solve that is remembered, the score's slope at its end, and the way back.
    fn ascend(&self, row: &mut Row, climb: Climb) -> Result<(), ReplayError> {
        let refuse = || ReplayError::NoGradient(climb.verifier);
        let gradient = self.denoiser.gradient().ok_or_else(refuse)?;
        let slope = self.slope.ok_or_else(refuse)?;
        let levels = self
            .schedule
            .levels(row.state.level, Level::CLEAN, climb.steps);
        let route = Route {
            path: self.path,
            levels: &levels,
        };
        let mut x = row.state.x.clone();
        let tape = Tape::record(self.solver, route, &mut x, &mut |x: &[f32], at| {
            self.evaluate(&mut [(0, row)], x, at, &mut |_| ())
        })?;
        row.check(&x);
        if row.failure.is_some() {
            return Ok(());
        }
        let end = slope.slope(climb.verifier, &self.tensor(&x)?)?;
        let end = end.ok_or_else(refuse)?.flatten_all()?.to_vec1::<f32>()?;
        let slopes = tape.back(&end, &mut |x: &[f32], at, d: &[f32]| {
            let (x, d) = (self.tensor(x)?, self.tensor(d)?);
            let back = gradient.vjp(&x, at, self.conditioning, &d)?;
            back.flatten_all()?.to_vec1::<f32>()
        })?;
        row.check(&slopes);
        if row.failure.is_none() {
            row.state.x = ascend(&row.state.x, &slopes, climb.rate);
            row.done += 1;
        }
        Ok(())
    }

    /// One row as the denoiser takes it.
    fn tensor(&self, x: &[f32]) -> Result<Tensor, candle_core::Error> {
        let shape = self.denoiser.shape();
        let shape = (1, shape.channels, shape.height, shape.width);
        Tensor::from_slice(x, shape, &Device::Cpu)
    }

    /// One solver's move of rows that share it.
    fn solve(
        &self,
        leg: Leg,
        rows: &mut [(usize, &mut Row)],
        watch: &mut Watch<'_>,
    ) -> Result<(), ReplayError> {
        let levels = self.schedule.levels(leg.from, leg.to, leg.steps);
        let route = Route {
            path: self.path,
            levels: &levels,
        };
        let streams: Vec<Stream> = rows
            .iter()
            .filter_map(|(_, row)| match row.next()? {
                Move::Diffuse { draw, .. } => Some(row.stream(draw)),
                _ => None,
            })
            .collect();
        let mut draw = |step| {
            let noise = |stream: &Stream| stream.at_step(step).normals(self.elements());
            streams.iter().flat_map(noise).collect()
        };
        let mut x = gather(rows);
        let mut predict = |x: &[f32], at| self.evaluate(rows, x, at, watch);
        if leg.stochastic {
            diffuse(route, &mut x, &mut predict, &mut draw)?;
        } else {
            self.solver.solve(route, &mut x, &mut predict)?;
        }
        for ((_, row), x) in rows.iter_mut().zip(x.chunks(self.elements())) {
            row.arrive(x, leg.to);
        }
        Ok(())
    }

    /// One evaluation of every row, whose states `x` holds one after another.
    fn evaluate(
        &self,
        rows: &mut [(usize, &mut Row)],
        x: &[f32],
        at: Level,
        watch: &mut Watch<'_>,
    ) -> Result<Vec<f32>, ReplayError> {
        let shape = self.denoiser.shape();
        let wanted = [rows.len(), shape.channels, shape.height, shape.width];
        let input = Tensor::from_slice(x, &wanted, &Device::Cpu)?;
        let output = self.denoiser.denoise(&input, at, self.conditioning)?;
        if output.dims() != wanted {
            return Err(ReplayError::Shape {
                found: output.dims().to_vec(),
                wanted: wanted.to_vec(),
            });
        }
        let all = output.flatten_all()?.to_vec1::<f32>()?;
        let each = x.par_chunks(self.elements());
        let each = each.zip(all.par_chunks(self.elements()));
        let each = rows.par_iter_mut().zip(each);
        each.with_min_len(STRETCH.div_ceil(self.elements()))
            .for_each(|((_, row), (x, x0))| row.evaluated(x, x0));
        for ((index, row), x0) in rows.iter().zip(all.chunks(self.elements())) {
            if row.failure.is_none() {
                watch(Evaluation {
                    row: *index,
                    evaluation: row.state.evaluations,
                    level: at,
                    x0,
                });
            }
        }
        Ok(all)
    }

    /// Elements of a row.
    fn elements(&self) -> usize {
        let shape = self.denoiser.shape();
        shape.channels * shape.height * shape.width
    }

    fn check_shapes(&self, rows: &[Row]) -> Result<(), ReplayError> {
        match rows.iter().find(|row| row.state.x.len() != self.elements()) {
            Some(row) => Err(ReplayError::Shape {
                found: vec![row.state.x.len()],
                wanted: vec![self.elements()],
            }),
            None => Ok(()),
        }
    }
}

/// The chosen rows with their positions.
fn select(rows: &mut [Row], chosen: impl Fn(&Row) -> bool) -> Vec<(usize, &mut Row)> {
    let all = rows.iter_mut().enumerate();
    all.filter(|(_, row)| chosen(row)).collect()
}

/// The states of rows, one after another.
fn gather(rows: &[(usize, &mut Row)]) -> Vec<f32> {
    rows.iter()
        .flat_map(|(_, row)| row.state.x.iter().copied())
        .collect()
}
