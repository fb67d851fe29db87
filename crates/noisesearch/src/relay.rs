//! A batch is solved while the one before it is judged, and while the one before that is made
//! durable and shown.
//!
//! Each of the three has its own thread, so a judge that waits for a program, an endpoint or
//! another device does not hold up the network. Batches are formed and answered in the order in
//! which they were asked, so nothing depends on who is faster.

use crate::engine::{Engine, Made, Solved};
use crate::error::Error;
use noisesearch_core::job::{Job, JobId, View};
use noisesearch_core::ledger::Ledger;
use noisesearch_core::recipe::Recipe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// Batches that are under way at most: one is solved, one is judged.
pub const BATCHES: usize = 2;

/// Jobs that run together.
pub struct Batch {
    /// What is wanted.
    pub jobs: Vec<Job>,
    /// A job of them that was made before.
    pub known: Option<(JobId, Made)>,
}

/// A batch that was made and scored.
pub struct Done {
    /// An answer a job.
    pub made: Vec<(JobId, Made)>,
    /// What really ran for it; no seconds.
    pub spent: Ledger,
}

/// Between the two steps.
struct Halfway {
    /// Those that were not known.
    jobs: Vec<JobId>,
    solved: Solved,
    done: Done,
}

/// The end of the line at which batches are put in and taken out.
pub struct Relay {
    batches: Sender<Batch>,
    done: Receiver<Result<Option<Done>, Error>>,
    under_way: usize,
}

impl Relay {
    /// Does `work` with an engine that works beside it. What is not solved when it returns is
    /// given up at its next evaluation; batches that have not begun when `cancel` is set are
    /// dropped.
    pub fn with<R>(engine: &Engine, cancel: &AtomicBool, work: impl FnOnce(Self) -> R) -> R {
        let result = thread::scope(|scope| {
            let (batches, taken) = channel();
            let (halfway, solved) = channel();
            let (judged, done) = channel();
            scope.spawn(move || solve(engine, cancel, &taken, &halfway));
            scope.spawn(move || judge(engine, &solved, &judged));
            let result = work(Self {
                batches,
                done,
                under_way: 0,
            });
            engine.give_up(true);
            result
        });
        engine.give_up(false);
        result
    }

    /// Puts in a batch.
    pub fn put(&mut self, batch: Batch) {
        // A line that has ended says why when something is taken out.
        if self.batches.send(batch).is_ok() {
            self.under_way += 1;
        }
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.under_way == 0
    }

    /// Waits for the next batch; `None` when there is none, or when it was dropped.
    pub fn take(&mut self) -> Result<Option<Done>, Error> {
        if self.is_empty() {
            return Ok(None);
        }
        self.under_way -= 1;
        let next = self.done.recv();
        next.expect("a step answers every batch unless it panics, which its scope passes on")
    }
}

fn solve(
    engine: &Engine,
    cancel: &AtomicBool,
    batches: &Receiver<Batch>,
    halfway: &Sender<Result<Option<Halfway>, Error>>,
) {
    for batch in batches {
        let step = match cancel.load(Ordering::Relaxed) {
            true => Ok(None),
            false => solve_batch(engine, batch).map(Some),
        };
        if halfway.send(step).is_err() {
            return;
        }
    }
}

fn solve_batch(engine: &Engine, batch: Batch) -> Result<Halfway, Error> {
    let known = batch.known.as_ref().map(|(job, _)| *job);
    let fresh = batch.jobs.iter().filter(|job| Some(job.id) != known);
    let (jobs, wanted): (Vec<JobId>, Vec<(&Recipe, View)>) =
        fresh.map(|job| (job.id, (&job.recipe, job.view))).unzip();
    let before = engine.spent();
    let solved = engine.solve(&wanted)?;
    let after = engine.spent();
    let spent = Ledger {
        search_nfe: after.search_nfe - before.search_nfe,
        passes: after.passes - before.passes,
        ..Ledger::default()
    };
    let made = batch.known.into_iter().collect();
    let done = Done { made, spent };
    Ok(Halfway { jobs, solved, done })
}

fn judge(
    engine: &Engine,
    halfway: &Receiver<Result<Option<Halfway>, Error>>,
    judged: &Sender<Result<Option<Done>, Error>>,
) {
    for step in halfway {
        let done = step.and_then(|step| step.map(|step| judge_batch(engine, step)).transpose());
        if judged.send(done).is_err() {
            return;
        }
    }
}

fn judge_batch(engine: &Engine, step: Halfway) -> Result<Done, Error> {
    let Halfway {
        jobs,
        solved,
        mut done,
    } = step;
    let before = engine.spent();
    let made = engine.judge(solved)?;
    done.made.extend(jobs.into_iter().zip(made));
    let after = engine.spent();
    done.spent.verifier_calls = after.verifier_calls - before.verifier_calls;
    done.spent.fees = after.fees - before.fees;
    Ok(done)
}
