//! How to spend a budget: measure a few tasks, then choose steps, candidates and early judgements.
//!
//! ```text
//! Checked specs (one a task) -> Pilot (kept beside the runs) -> plan -> Advice -> Spec of a run
//! ```
//!
//! What is compared is best of n, with the final or fewer steps, and successive halving. Local
//! searches are not: what they gain depends on the neighbourhood of the noises that they meet.

mod copula;
mod pilot;
mod plan;

pub use pilot::{Look, Pilot, TaskLooks};
pub use plan::{Advice, Allocation, Rated, correlations, plan};

use crate::disk::Directory;
use crate::engine::Engine;
use crate::error::Error;
use crate::registry::Registry;
use crate::spec::{Checked, SearchTable, Spec};
use noisesearch_core::budget::Budget;
use noisesearch_core::disk::{Disk, DiskError};
use noisesearch_core::journal::JournalError;
use noisesearch_models::task::Task;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Noises a task in a pilot, unless said otherwise.
pub const NOISES: u64 = 24;

/// Bytes of a stored pilot, at most.
const PILOT_BYTES_MAX: u64 = 16 << 20;

/// A pilot and where it is kept.
#[derive(Debug)]
pub struct Kept {
    /// What was measured.
    pub pilot: Pilot,
    /// Its file.
    pub path: PathBuf,
    /// Whether it was measured now, and not found.
    pub fresh: bool,
}

/// Where an advice comes from.
pub struct Source<'a> {
    /// Models and verifiers.
    pub registry: &'a Registry,
    /// One spec a task, alike in everything else; at least one.
    pub specs: &'a [Checked],
    /// Noises a task, at least 2.
    pub noises: u64,
    /// Where pilots are kept: the directory of the runs.
    pub out: &'a Path,
}

/// The pilot of these specs: the one kept in `out` if it measured just this, else a new one.
/// `None` when `cancel` was set, or there is no task.
///
/// # Errors
/// When the model or a verifier fails, or the disk does.
pub fn pilot(source: &Source, cancel: &AtomicBool) -> Result<Option<Kept>, Error> {
    let Some(first) = source.specs.first() else {
        return Ok(None);
    };
    let disk_error = |error: DiskError| Error::Disk {
        run: source.out.to_owned(),
        source: error,
    };
    let disk = Directory::ensure(source.out).map_err(disk_error)?;
    let mut engine = Engine::open(source.registry, first)?;
    let print = print(source, first, &engine)?;
    let name = format!("advice-{}.json", &print[..8]);
    let path = source.out.join(&name);
    let kept = disk.read(&name, PILOT_BYTES_MAX).ok().flatten();
    let kept = kept.and_then(|bytes: Vec<u8>| serde_json::from_slice::<Pilot>(&bytes).ok());
    if let Some(pilot) = kept.filter(|pilot| pilot.fits(&print)) {
        let fresh = false;
        return Ok(Some(Kept { pilot, path, fresh }));
    }
    let Some(pilot) = Pilot::measure(&mut engine, source.specs, source.noises, cancel)? else {
        return Ok(None);
    };
    let pilot = Pilot {
        fingerprint: print,
        ..pilot
    };
    let json = serde_json::to_vec(&pilot).map_err(|error| unwritable(source, error))?;
    disk.put(&name, &json).map_err(disk_error)?;
    let fresh = true;
    Ok(Some(Kept { pilot, path, fresh }))
}

/// Everything that decides a pilot's numbers, as a hash in hexadecimal.
fn print(source: &Source, first: &Checked, engine: &Engine) -> Result<String, Error> {
    let objective = first.objective.text(&first.scored());
    let tasks: Vec<&str> = source.specs.iter().map(|spec| spec.subject()).collect();
    let whole = || {
        let mut print = engine.context(first)?;
        print.set("task", tasks)?;
        print.set("objective", objective)?;
        print.set("steps", first.steps)?;
        print.set("noises", source.noises)?;
        serde_json::to_vec(&print)
    };
    let json = whole().map_err(|error| unwritable(source, error))?;
    Ok(blake3::hash(&json).to_hex().to_string())
}

fn unwritable(source: &Source, error: serde_json::Error) -> Error {
    Error::Journal {
        run: source.out.to_owned(),
        source: JournalError::Unwritable(error),
    }
}

/// The tasks to measure when none are named: those of the lab's models.
pub fn usual_tasks(model: &str) -> Vec<Task> {
    crate::lab::pilot_tasks(model)
}

impl Advice {
    /// `spec` with the advised search.
    pub fn apply(&self, spec: Spec) -> Spec {
        let best = &self.best.allocation;
        Spec {
            search: SearchTable::from(&best.search),
            search_steps: Some(best.search_steps),
            budget: Some(Budget::Nfe(self.budget_nfe)),
            ..spec
        }
    }
}
