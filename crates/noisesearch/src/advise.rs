//! How to spend a budget: measure a few tasks, then choose steps, candidates and early judgements.
//!
//! ```text
//! Checked specs (one a task) -> Pilot -> plan -> Race -> Advice -> Spec of a run
//! ```
//!
//! What is foreseen from a few looks at some noises is best of n, with the final or fewer steps,
//! and successive halving. What local searches gain depends on the neighbourhood of the noises that
//! they meet, so it is not foreseen but tried, in a race. Looks and races are kept beside the runs.

mod copula;
mod field;
mod pilot;
mod plan;
mod race;
mod track;

pub use field::field;
pub use pilot::{Look, Pilot, TaskLooks};
pub use plan::{Advice, Allocation, Rated, correlations, plan};
pub use race::{Entrant, Gain, RACE_TASKS_MIN, Race, Ran, Unit};

use crate::disk::Directory;
use crate::engine::Engine;
use crate::error::Error;
use crate::registry::Registry;
use crate::spec::{Checked, SearchTable, Spec};
use noisesearch_core::budget::Budget;
use noisesearch_core::disk::{Disk, DiskError};
use noisesearch_core::journal::JournalError;
use noisesearch_models::task::Task;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Noises a task in a pilot, unless said otherwise.
pub const NOISES: u64 = 24;

/// Bytes of a stored pilot or race, at most.
const KEPT_BYTES_MAX: u64 = 16 << 20;

/// A pilot, where it is kept, and what measured it.
pub struct Kept {
    /// What was measured.
    pub pilot: Pilot,
    engine: Engine,
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

/// A race as it is kept.
#[derive(Serialize, Deserialize)]
struct KeptRace {
    /// That of the pilot.
    fingerprint: String,
    budget_nfe: u64,
    #[serde(flatten)]
    race: Race,
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
    let mut engine = Engine::open(source.registry, first)?;
    let print = print(source, first, &engine)?;
    let name = format!("advice-{}.json", &print[..8]);
    let path = source.out.join(&name);
    let kept: Option<Pilot> = source.read(&name)?;
    let kept = kept.filter(|pilot| pilot.fits(&print));
    let fresh = kept.is_none();
    let pilot = match kept {
        Some(pilot) => pilot,
        None => {
            let measured = Pilot::measure(&mut engine, source.specs, source.noises, cancel)?;
            let Some(pilot) = measured else {
                return Ok(None);
            };
            let fingerprint = print;
            let pilot = Pilot {
                fingerprint,
                ..pilot
            };
            source.write(&name, &pilot)?;
            pilot
        }
    };
    Ok(Some(Kept {
        pilot,
        engine,
        path,
        fresh,
    }))
}

impl Source<'_> {
    fn disk_error(&self, source: DiskError) -> Error {
        let run = self.out.to_owned();
        Error::Disk { run, source }
    }

    /// What is kept under a name; `None` when nothing is, or nothing of use.
    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let disk = Directory::ensure(self.out).map_err(|error| self.disk_error(error))?;
        let bytes: Option<Vec<u8>> = disk.read(name, KEPT_BYTES_MAX).ok().flatten();
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Error> {
        let json = serde_json::to_vec(value).map_err(|error| unwritable(self, error))?;
        let disk = Directory::ensure(self.out).map_err(|error| self.disk_error(error))?;
        disk.put(name, &json)
            .map_err(|error| self.disk_error(error))
    }
}

impl Kept {
    /// `advice` after its allocation, the default searches and other settings have raced on the
    /// tasks of `source`: as it is where there are too few tasks, `None` when `cancel` was set. A
    /// race that is kept in `out` is not run again.
    ///
    /// # Errors
    /// When the model or a verifier fails, or the disk does.
    pub fn race(
        &mut self,
        source: &Source,
        advice: Advice,
        cancel: &AtomicBool,
    ) -> Result<Option<Advice>, Error> {
        let (Some(first), budget_nfe) = (source.specs.first(), advice.budget_nfe) else {
            return Ok(Some(advice));
        };
        if source.specs.len() < RACE_TASKS_MIN {
            return Ok(Some(advice));
        }
        let fingerprint = self.pilot.fingerprint.clone();
        let field = field(first, &advice)?;
        let name = format!("race-{}-{budget_nfe}.json", &fingerprint[..8]);
        let same = |kept: &KeptRace| {
            let of = (&kept.fingerprint, kept.budget_nfe);
            of == (&fingerprint, budget_nfe) && kept.race.fits(&field)
        };
        if let Some(kept) = source.read(&name)?.filter(same) {
            let race = Some(kept.race);
            return Ok(Some(Advice { race, ..advice }));
        }
        let mut track = track::Track {
            engine: &mut self.engine,
            specs: source.specs,
            budget_nfe,
            cancel,
            out: source.out,
        };
        let mut play = |unit, entrants: &[&Entrant]| track.play(unit, entrants);
        let Some(race) = Race::run(field, source.specs.len(), &mut play)? else {
            return Ok(None);
        };
        let kept = KeptRace {
            fingerprint,
            budget_nfe,
            race,
        };
        source.write(&name, &kept)?;
        let race = Some(kept.race);
        Ok(Some(Advice { race, ..advice }))
    }
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
        let chosen = self.chosen();
        Spec {
            search: SearchTable::from(&chosen.search),
            search_steps: Some(chosen.search_steps),
            budget: Some(Budget::Nfe(self.budget_nfe)),
            ..spec
        }
    }
}
