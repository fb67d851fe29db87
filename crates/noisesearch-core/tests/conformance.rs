//! The suite is worth what it catches: searches with one fault each.

use noisesearch_core::budget::Budget;
use noisesearch_core::conformance;
use noisesearch_core::job::{Job, JobId, Outcome};
use noisesearch_core::search::{Search, SearchError, SearchSpec, StopReason, Terms};
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is wrong with a search.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    OverBudget,
    NoReserve,
    NoTarget,
    HiddenState,
    TooManyJobs,
    WindowMatters,
    GoesOnAfterCancel,
    WorstFirst,
    WrongBaseline,
    NoEnd,
    FailsOnFailure,
    SkipsIds,
}

struct Faulty {
    inner: Box<dyn Search>,
    fault: Fault,
    /// Of the first ask.
    room: Option<usize>,
}

static INSTANCES: AtomicU64 = AtomicU64::new(0);

fn make(method: &str, fault: Fault, terms: &Terms) -> Result<Box<dyn Search>, SearchError> {
    let mut terms = terms.clone();
    match (fault, terms.budget) {
        (Fault::OverBudget, Budget::Nfe(n)) if n > 300 => terms.budget = Budget::Nfe(2 * n),
        (Fault::OverBudget, Budget::Evals(n)) if n > 9 => terms.budget = Budget::Evals(2 * n),
        (Fault::NoReserve, _) => terms.final_steps = terms.search_steps,
        (Fault::NoTarget, _) => terms.goal = None,
        (Fault::HiddenState, _) => terms.seed += INSTANCES.fetch_add(1, Ordering::Relaxed),
        (Fault::NoEnd, Budget::Evals(60)) => terms.budget = Budget::Evals(200_000),
        _ => {}
    }
    let inner = SearchSpec::named(method).unwrap().build(&terms)?;
    Ok(Box::new(Faulty {
        inner,
        fault,
        room: None,
    }))
}

impl Search for Faulty {
    fn ask(&mut self, room: usize) -> Vec<Job> {
        let first = *self.room.get_or_insert(room);
        let mut jobs = self
            .inner
            .ask(room + usize::from(self.fault == Fault::TooManyJobs));
        for job in &mut jobs {
            match self.fault {
                Fault::WindowMatters => job.recipe.root ^= first as u64,
                Fault::SkipsIds => job.id.0 *= 2,
                _ => {}
            }
        }
        jobs
    }

    fn tell(&mut self, job: JobId, outcome: &Outcome) {
        if self.fault == Fault::FailsOnFailure && outcome.scores().is_none() {
            return;
        }
        let halve = self.fault == Fault::SkipsIds;
        self.inner
            .tell(if halve { JobId(job.0 / 2) } else { job }, outcome);
    }

    fn stop(&self) -> Option<StopReason> {
        self.inner.stop()
    }

    fn cancel(&mut self) {
        if self.fault != Fault::GoesOnAfterCancel {
            self.inner.cancel();
        }
    }

    fn finalists(&self, keep: usize) -> Vec<JobId> {
        let mut best = self.inner.finalists(keep);
        if self.fault == Fault::WorstFirst {
            best.reverse();
        }
        best
    }

    fn baseline(&self) -> Option<JobId> {
        match self.fault {
            Fault::WrongBaseline => Some(JobId(1)),
            _ => self.inner.baseline(),
        }
    }
}

/// What the suite says about a faulty search.
fn verdict(method: &'static str, fault: Fault) -> String {
    let suite = move || conformance::search(&|terms| make(method, fault, terms));
    let panic = catch_unwind(suite).expect_err(&format!("{fault:?} passed"));
    panic
        .downcast_ref::<String>()
        .expect("a message with the case")
        .clone()
}

#[test]
fn every_fault_is_caught_and_named() {
    for (method, fault, said) in [
        ("random", Fault::OverBudget, "billed of"),
        ("random", Fault::NoReserve, "billed of"),
        ("random", Fault::NoTarget, "past its target"),
        ("random", Fault::HiddenState, "differs"),
        ("random", Fault::TooManyJobs, "for a room of"),
        ("random", Fault::WindowMatters, "differs"),
        ("random", Fault::GoesOnAfterCancel, "cancel"),
        ("random", Fault::WorstFirst, "finalists"),
        ("zero-order", Fault::WrongBaseline, "baseline"),
        ("random", Fault::NoEnd, "did not end"),
        ("random", Fault::FailsOnFailure, "next one in order"),
        ("random", Fault::SkipsIds, "dense"),
    ] {
        let message = verdict(method, fault);
        assert!(message.contains(said), "{fault:?}: {message}");
    }
}
