//! One run in the fake world, and what is left of it when processes die.

use super::disk::SimDisk;
use super::landscape::Landscape;
use super::workers::{Weather, Workers};
use crate::disk::{Disk, DiskError};
use crate::drive::{DriveError, Rules, Verdict, drive};
use crate::job::{Job, JobId, Outcome};
use crate::journal::{Fingerprint, Journal, JournalError, Opened};
use crate::ledger::Ledger;
use crate::search::{SearchError, SearchSpec, StopReason, Terms};
use std::cell::Cell;

/// Everything that decides a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// The algorithm.
    pub search: SearchSpec,
    /// What it is given; its budget is the run's.
    pub terms: Terms,
    /// How candidates are scored.
    pub landscape: Landscape,
    /// What workers do.
    pub weather: Weather,
    /// Most jobs outstanding, at least 1.
    pub room: usize,
}

/// What a run shows at its end. Nothing in it may depend on what went wrong on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Why it ended.
    pub stop: StopReason,
    /// What it was billed.
    pub billed: Ledger,
    /// Everything that was told, in order.
    pub told: Vec<(Job, Outcome)>,
    /// The answer and the next best.
    pub finalists: Vec<JobId>,
    /// What to compare with.
    pub baseline: Option<JobId>,
}

/// Remembers, outside of every process, how many jobs were told: what must never be lost.
#[derive(Debug, Default)]
pub struct Witness(Cell<u64>);

impl Witness {
    pub(super) fn saw(&self, job: JobId) {
        self.0.set(self.0.get().max(job.0 + 1));
    }

    /// Jobs told by any process so far.
    pub fn told(&self) -> u64 {
        self.0.get()
    }
}

/// Why a run did not end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// The search cannot be made.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The loop stopped.
    #[error(transparent)]
    Drive(#[from] DriveError<DiskError>),
    /// A resumed run does not know what was told before.
    #[error("the journal has {found} outcomes, but {told} were told")]
    Forgot {
        /// Outcomes in the journal.
        found: u64,
        /// Outcomes told by earlier processes.
        told: u64,
    },
    /// The parts of a run do not add up.
    #[error("billed {billed:?} for {told} jobs, which is not their sum or exceeds the budget")]
    Sums {
        /// The column.
        billed: Ledger,
        /// The jobs.
        told: usize,
    },
    /// A run that did not end in many attempts.
    #[error("no end after {0} processes")]
    Endless(u32),
}

impl SimError {
    /// The disk failed, so a new process may resume.
    pub fn is_disk(&self) -> bool {
        use DriveError::{Journal, World};
        let Self::Drive(error) = self else {
            return false;
        };
        matches!(error, World(_) | Journal(JournalError::Disk(_)))
    }
}

impl From<DiskError> for SimError {
    fn from(error: DiskError) -> Self {
        Self::Drive(DriveError::World(error))
    }
}

impl From<JournalError> for SimError {
    fn from(error: JournalError) -> Self {
        Self::Drive(DriveError::Journal(error))
    }
}

/// One process: begins the run or resumes it, and writes `summary.txt` when it ended.
///
/// # Errors
/// Whatever went wrong; nothing is tried again here.
pub fn attempt(
    setup: &Setup,
    disk: &dyn Disk,
    witness: &Witness,
) -> Result<(Report, Verdict), SimError> {
    let told_before = witness.told();
    let opened = open(setup, disk)?;
    let found = opened
        .entries
        .iter()
        .map(|entry| entry.told.len() as u64)
        .sum();
    if found < told_before {
        let told = told_before;
        return Err(SimError::Forgot { found, told });
    }
    let mut search = setup.search.build(&setup.terms)?;
    let rules = Rules {
        budget: setup.terms.budget,
        room: setup.room,
        verifiers: setup.landscape.verifiers,
        passes_per_nfe: 2,
    };
    let mut workers = Workers::new(setup.landscape, setup.weather, disk, witness);
    let verdict = drive(&mut *search, opened, rules, &mut workers)?;
    let report = Report {
        stop: verdict.stop,
        billed: verdict.billed,
        told: workers.told,
        finalists: search.finalists(setup.terms.keep),
        baseline: search.baseline(),
    };
    check(&report, &rules)?;
    disk.replace("summary.txt", format!("{report:?}").as_bytes())?;
    Ok((report, verdict))
}

fn open<'d>(setup: &Setup, disk: &'d dyn Disk) -> Result<Opened<'d>, JournalError> {
    let mut fingerprint = Fingerprint::default();
    let named = |error| JournalError::Unwritable(error);
    fingerprint.set("seed", setup.terms.seed).map_err(named)?;
    fingerprint.set("search", &setup.search).map_err(named)?;
    match Journal::open(disk, &fingerprint) {
        Err(JournalError::Missing) => Journal::create(disk, &fingerprint),
        opened => opened,
    }
}

/// Billed is the sum over what was told.
fn check(report: &Report, rules: &Rules) -> Result<(), SimError> {
    let nfe: u64 = report.told.iter().map(|(job, _)| job.nfe).sum();
    let expected = Ledger {
        search_nfe: nfe,
        passes: nfe * rules.passes_per_nfe,
        verifier_calls: (report.told.len() * rules.verifiers) as u64,
        ..Ledger::default()
    };
    if report.billed != expected {
        let told = report.told.len();
        return Err(SimError::Sums {
            billed: report.billed,
            told,
        });
    }
    Ok(())
}

/// Resumes until the run ends: after each process that the disk stopped, what fails persistently
/// is repaired and power is back.
///
/// # Errors
/// The first error that is not the disk's.
pub fn survive(setup: &Setup, disk: &SimDisk, witness: &Witness) -> Result<Report, SimError> {
    const PROCESSES_MAX: u32 = 64;
    for _ in 0..PROCESSES_MAX {
        let process = disk.process();
        match attempt(setup, &process, witness) {
            Ok((report, _)) => return Ok(report),
            Err(error) if error.is_disk() => {
                disk.repair();
                disk.start();
            }
            Err(error) => return Err(error),
        }
    }
    Err(SimError::Endless(PROCESSES_MAX))
}
