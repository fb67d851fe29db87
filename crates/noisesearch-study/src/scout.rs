//! Scouts: they run a search ahead of its cell, on what is known, to see what it will ask for.
//!
//! Searches of one task are small and many. Scouts of all of them walk together, so that what
//! they want next is made in full batches, whoever wants it; their cells then find everything
//! known. A scout decides nothing: without it a cell makes what it lacks itself.

use crate::error::StudyError;
use crate::maker::{Maker, Wanted};
use noisesearch_core::budget::Budget;
use noisesearch_core::job::Job;
use noisesearch_core::search::{Search, SearchError, SearchSpec, Terms};
use std::collections::VecDeque;

/// One search that is run ahead.
pub struct Scout {
    search: Box<dyn Search>,
    room: usize,
    flight: VecDeque<Job>,
    /// Candidates told so far.
    pub told: u64,
}

impl Scout {
    /// At the beginning of a search with at most `room` jobs outstanding; `None` for a budget of
    /// seconds, which nobody knows ahead.
    pub fn new(spec: &SearchSpec, terms: &Terms, room: usize) -> Result<Option<Self>, SearchError> {
        if matches!(terms.budget, Budget::Seconds(_)) {
            return Ok(None);
        }
        Ok(Some(Self {
            search: spec.build(terms)?,
            room,
            flight: VecDeque::new(),
            told: 0,
        }))
    }

    /// Goes as far as what is known allows, then says what is wanted; nothing when it is over.
    fn walk(&mut self, maker: &Maker) -> Vec<Wanted> {
        while self.search.stop().is_none() {
            self.flight
                .extend(self.search.ask(self.room - self.flight.len()));
            let before = self.told;
            while let Some(known) = self.flight.front().and_then(|job| maker.outcome(job)) {
                let Some(job) = self.flight.pop_front() else {
                    break;
                };
                self.search.tell(job.id, &known.outcome);
                self.told += 1;
            }
            if self.told == before {
                let lacking = self
                    .flight
                    .iter()
                    .filter(|job| maker.outcome(job).is_none());
                return lacking.map(|job| (job.recipe.clone(), job.view)).collect();
            }
        }
        Vec::new()
    }
}

/// Walks all scouts to their ends. `between` is told before every batch how many candidates were
/// told in all, about, and ends it with `false`.
pub fn walk(
    scouts: &mut [Scout],
    maker: &mut Maker,
    between: &mut dyn FnMut(u64, &Maker) -> bool,
) -> Result<(), StudyError> {
    loop {
        let wanted: Vec<Wanted> = scouts
            .iter_mut()
            .flat_map(|scout| scout.walk(maker))
            .collect();
        let (told, waiting) = (
            scouts.iter().map(|scout| scout.told).sum::<u64>(),
            wanted.len(),
        );
        let fresh = maker.fresh(wanted);
        for (batch, done) in fresh.chunks(maker.batch).zip(0..) {
            let share = waiting * (done * maker.batch) / fresh.len();
            if !between(told + share as u64, maker) {
                return Ok(());
            }
            maker.make(batch)?;
        }
        let all = fresh.len();
        // What cannot be made is left to the cell, which tries again and says so.
        if all == 0 || maker.fresh(fresh).len() == all {
            return Ok(());
        }
    }
}
