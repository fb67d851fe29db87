//! The whole loop of a run, around any search, world and disk:
//!
//! ```text
//! replay the journal into a fresh search
//! until the search is over:
//!     submit what it asks for; take what finished
//!     append outcomes in job order, sync, then tell
//! append how it ended
//! ```
//!
//! It checks what must hold in every run and stops with an error where it does not: ids are
//! dense, no more is asked than there is room and budget, recipes are legal and survive their
//! bytes, only what was asked is answered, the answer is a finished candidate that was told.

mod world;

pub use world::{Finished, Lost, News, World};

use crate::budget::Budget;
use crate::job::{Failure, Job, JobId, Outcome, View};
use crate::journal::{Entry, Head, Journal, JournalError, Opened, Told};
use crate::ledger::Ledger;
use crate::level::Level;
use crate::limits::{REASON_MAX, RETRIES_MAX, TELLS_MAX};
use crate::recipe::Recipe;
use crate::search::{Search, StopReason};
use std::collections::VecDeque;

/// What a run must keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// What may be billed. Seconds count from the beginning of the run, earlier processes
    /// included, and end it after at least one candidate.
    pub budget: Budget,
    /// Most jobs outstanding at a time, at least 1.
    pub room: usize,
    /// Scores of a candidate.
    pub verifiers: usize,
    /// Network passes billed an NFE: 2 when guided.
    pub passes_per_nfe: u64,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Why. After [`StopReason::Cancelled`] it can be resumed.
    pub stop: StopReason,
    /// What the search was billed; its seconds are 0.
    pub billed: Ledger,
    /// What was really spent, earlier processes included as far as known.
    pub spent: Ledger,
    /// Jobs told.
    pub told: u64,
    /// How many of them an earlier process made.
    pub replayed: u64,
    /// Checksum of the journal.
    pub head: Head,
}

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriveError<E: std::error::Error> {
    /// The world gave up.
    #[error("{0}")]
    World(E),
    /// The journal or the disk below it.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal was written by another search than the one given.
    #[error(
        "the journal's job {} is not the one that this search asks for; \
         resume with the program that wrote it", .0.0
    )]
    Diverged(JobId),
    /// A fault of the program.
    #[error("fault in the program, please report it: {0}")]
    Broken(#[from] Broken),
}

/// What must hold in every run and did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// Job ids must be dense and in order.
    #[error("the search asked for job {} where {expected} was next", .found.0)]
    Id {
        /// The next id.
        expected: u64,
        /// The one asked.
        found: JobId,
    },
    /// More jobs than there was room for.
    #[error("the search asked for {asked} jobs with room for {room}")]
    Room {
        /// Room given.
        room: usize,
        /// Jobs asked.
        asked: usize,
    },
    /// Nothing to do and not over.
    #[error("the search is not over but asks for nothing")]
    Stuck,
    /// A job that the budget does not pay for.
    #[error("job {} exceeds the budget", .0.0)]
    Budget(JobId),
    /// An illegal recipe, one whose bytes read as another, or one that ends at the wrong level
    /// for its view.
    #[error("the recipe of job {} is not legal", .0.0)]
    Recipe(JobId),
    /// An answer for a job that is not outstanding.
    #[error("job {} was answered but is not outstanding", .0.0)]
    Unasked(JobId),
    /// The answer must be a told, scored, finished candidate.
    #[error("the search's answer, job {}, is no finished candidate", .0.0)]
    Answer(JobId),
}

/// Runs `search`, which must be fresh, to its end or until it is cancelled.
///
/// # Errors
/// Everything but [`DriveError::Diverged`] and [`DriveError::Broken`] leaves a run that a new
/// process can resume from its journal.
pub fn drive<W: World>(
    search: &mut dyn Search,
    opened: Opened,
    rules: Rules,
    world: &mut W,
) -> Result<Verdict, DriveError<W::Error>> {
    let mut drive = Drive {
        search,
        journal: opened.journal,
        rules,
        world,
        flight: VecDeque::new(),
        asked: Asked::default(),
        fit: Vec::new(),
        billed: Ledger::default(),
        spent: Ledger::default(),
        seconds_before: 0.0,
    };
    let ended = drive.replay(opened.entries)?;
    let replayed = drive.fit.len() as u64;
    let stop = match ended {
        Some(reason) => reason,
        None => drive.live()?,
    };
    drive.verdict(stop, replayed)
}

struct Drive<'a, W: World> {
    search: &'a mut dyn Search,
    journal: Journal<'a>,
    rules: Rules,
    world: &'a mut W,
    /// Jobs asked but not told, in job order.
    flight: VecDeque<Flight>,
    asked: Asked,
    /// For every job told, whether it may be the answer.
    fit: Vec<bool>,
    billed: Ledger,
    spent: Ledger,
    /// Spent by earlier processes.
    seconds_before: f64,
}

struct Flight {
    job: Job,
    /// Attempts that were lost.
    lost: u32,
    outcome: Option<Outcome>,
}

/// Sums over the jobs asked.
#[derive(Default)]
struct Asked {
    jobs: u64,
    nfe: u64,
}

impl<W: World> Drive<'_, W> {
    /// Tells the search what earlier processes told it. Returns how the run ended, if it did.
    fn replay(&mut self, entries: Vec<Entry>) -> Result<Option<StopReason>, DriveError<W::Error>> {
        let mut ended = None;
        for entry in entries {
            self.spent = entry.spent;
            for told in &entry.told {
                if ended.is_some() {
                    return Err(DriveError::Diverged(told.job));
                }
                self.retell(told)?;
            }
            ended = ended.or(entry.ended);
        }
        self.seconds_before = self.spent.seconds;
        let timed = matches!(self.rules.budget, Budget::Seconds(_));
        if let Some(reason) = ended {
            if !self.search.stop().map_or(timed, |own| own == reason) {
                return Err(DriveError::Diverged(JobId(self.asked.jobs)));
            }
            self.search.cancel();
        }
        Ok(ended)
    }

    fn retell(&mut self, told: &Told) -> Result<(), DriveError<W::Error>> {
        if self.search.stop().is_some() {
            return Ok(()); // was outstanding when the search ended
        }
        self.ask(1)?;
        let diverged = || DriveError::Diverged(told.job);
        let Flight { job, .. } = self.flight.pop_front().ok_or_else(diverged)?;
        let scores = told
            .outcome
            .scores()
            .map_or(self.rules.verifiers, |s| s.values().len());
        let same = (job.id, job.nfe, job.recipe.id()) == (told.job, told.nfe, told.recipe);
        if !same || scores != self.rules.verifiers {
            return Err(diverged());
        }
        self.tell(&job, &told.outcome, true)
    }

    fn live(&mut self) -> Result<StopReason, DriveError<W::Error>> {
        loop {
            if let Some(reason) = self.search.stop() {
                return self.end(reason);
            }
            if self.world.cancelled() {
                self.search.cancel();
                return Ok(StopReason::Cancelled);
            }
            if self.time_is_up() {
                self.search.cancel();
                return self.end(StopReason::Budget);
            }
            let first = self.flight.len();
            self.ask(self.rules.room.saturating_sub(first))?;
            let jobs: Vec<Job> = self.flight.range(first..).map(|f| f.job.clone()).collect();
            self.submit(&jobs)?;
            for finished in self.world.poll().map_err(DriveError::World)? {
                self.take(finished)?;
            }
            self.settle()?;
        }
    }

    /// Asks for at most `room` jobs and checks them.
    fn ask(&mut self, room: usize) -> Result<(), Broken> {
        let jobs = self.search.ask(room);
        if jobs.len() > room {
            let asked = jobs.len();
            return Err(Broken::Room { room, asked });
        }
        if jobs.is_empty() && self.flight.is_empty() {
            return Err(Broken::Stuck);
        }
        for job in jobs {
            self.check(&job)?;
            self.flight.push_back(Flight {
                job,
                lost: 0,
                outcome: None,
            });
        }
        Ok(())
    }

    fn check(&mut self, job: &Job) -> Result<(), Broken> {
        if job.id.0 != self.asked.jobs {
            return Err(Broken::Id {
                expected: self.asked.jobs,
                found: job.id,
            });
        }
        self.asked.jobs += 1;
        self.asked.nfe = self.asked.nfe.saturating_add(job.nfe);
        let paid = match self.rules.budget {
            Budget::Nfe(most) => self.asked.nfe <= most,
            Budget::Evals(most) => self.asked.jobs <= most,
            Budget::Seconds(_) => true,
        };
        if !paid {
            return Err(Broken::Budget(job.id));
        }
        let same = Recipe::from_bytes(&job.recipe.bytes()).as_ref() == Ok(&job.recipe);
        let finished = job.recipe.level() == Level::CLEAN;
        if !same || finished != (job.view == View::Final) {
            return Err(Broken::Recipe(job.id));
        }
        Ok(())
    }

    fn submit(&mut self, jobs: &[Job]) -> Result<(), DriveError<W::Error>> {
        if jobs.is_empty() {
            return Ok(());
        }
        self.world.submit(jobs).map_err(DriveError::World)
    }

    /// Notes an outcome, or tries a lost job again.
    fn take(&mut self, finished: Finished) -> Result<(), DriveError<W::Error>> {
        let seconds = self.spent.seconds;
        self.spent += finished.spent;
        self.spent.seconds = seconds;
        let unasked = Broken::Unasked(finished.job);
        let front = self.flight.front().ok_or(unasked)?.job.id.0;
        let place = finished.job.0.checked_sub(front).ok_or(unasked)? as usize;
        let waiting = |flight: &&mut Flight| flight.outcome.is_none();
        let flight = self.flight.get_mut(place).filter(waiting).ok_or(unasked)?;
        match checked(finished.result, self.rules.verifiers) {
            Ok(outcome) => flight.outcome = Some(outcome),
            Err(_) if flight.lost < RETRIES_MAX => {
                flight.lost += 1;
                let job = flight.job.clone();
                self.submit(&[job])?;
            }
            Err(Lost(reason)) => {
                flight.outcome = Some(Outcome::Failed(Failure::Worker { reason }));
            }
        }
        Ok(())
    }

    /// Makes the next outcomes in job order durable, then tells them.
    fn settle(&mut self) -> Result<(), DriveError<W::Error>> {
        loop {
            let known = |flight: &&Flight| flight.outcome.is_some();
            let ready = self.flight.iter().take_while(known).take(TELLS_MAX).count();
            if ready == 0 || self.search.stop().is_some() {
                return Ok(());
            }
            let done: Vec<_> = self.flight.drain(..ready).collect();
            let done = done.into_iter().filter_map(|f| Some((f.job, f.outcome?)));
            let done: Vec<(Job, Outcome)> = done.collect();
            let told = done.iter().map(|(job, outcome)| Told {
                job: job.id,
                recipe: job.recipe.id(),
                nfe: job.nfe,
                outcome: outcome.clone(),
            });
            let told = told.collect();
            self.append(told, None)?;
            for (job, outcome) in &done {
                self.tell(job, outcome, false)?;
            }
        }
    }

    /// Tells the search and bills the job, unless the search is over and it no longer counts.
    fn tell(
        &mut self,
        job: &Job,
        outcome: &Outcome,
        replayed: bool,
    ) -> Result<(), DriveError<W::Error>> {
        if self.search.stop().is_some() {
            return Ok(());
        }
        self.billed += Ledger {
            search_nfe: job.nfe,
            passes: job.nfe.saturating_mul(self.rules.passes_per_nfe),
            verifier_calls: self.rules.verifiers as u64,
            ..Ledger::default()
        };
        self.search.tell(job.id, outcome);
        self.fit
            .push(job.view == View::Final && outcome.scores().is_some());
        let news = News {
            job,
            outcome,
            billed: &self.billed,
            spent: &self.spent,
            search: &*self.search,
            replayed,
        };
        self.world.told(&news).map_err(DriveError::World)
    }

    fn time_is_up(&mut self) -> bool {
        self.spent.seconds = self.seconds_before + self.world.seconds();
        let Budget::Seconds(most) = self.rules.budget else {
            return false;
        };
        !self.fit.is_empty() && self.spent.seconds >= most
    }

    fn end(&mut self, reason: StopReason) -> Result<StopReason, DriveError<W::Error>> {
        self.append(Vec::new(), Some(reason))?;
        Ok(reason)
    }

    fn append(&mut self, told: Vec<Told>, ended: Option<StopReason>) -> Result<(), JournalError> {
        self.spent.seconds = self.seconds_before + self.world.seconds();
        let spent = self.spent;
        self.journal.append(&Entry { told, spent, ended })
    }

    fn verdict(self, stop: StopReason, replayed: u64) -> Result<Verdict, DriveError<W::Error>> {
        if let Some(&best) = self.search.finalists(1).first() {
            let fit = usize::try_from(best.0).ok().and_then(|at| self.fit.get(at));
            if fit != Some(&true) {
                return Err(Broken::Answer(best).into());
            }
        }
        Ok(Verdict {
            stop,
            billed: self.billed,
            spent: self.spent,
            told: self.fit.len() as u64,
            replayed,
            head: self.journal.head(),
        })
    }
}

/// What an attempt came to, with one score a verifier and last words of bounded length.
fn checked(result: Result<Outcome, Lost>, verifiers: usize) -> Result<Outcome, Lost> {
    let clip = |reason: String| reason.chars().take(REASON_MAX).collect::<String>();
    match result {
        Ok(Outcome::Scored(scores)) if scores.values().len() != verifiers => {
            let given = scores.values().len();
            Err(Lost(format!("{given} scores for {verifiers} verifiers")))
        }
        Ok(Outcome::Failed(Failure::Worker { reason })) => {
            let reason = clip(reason);
            Ok(Outcome::Failed(Failure::Worker { reason }))
        }
        Ok(outcome) => Ok(outcome),
        Err(Lost(reason)) => Err(Lost(clip(reason))),
    }
}
