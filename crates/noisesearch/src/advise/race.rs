//! Which way to spend a budget is best, found by spending it: successive halving (Karnin et al.
//! 2013; Jamieson and Talwalkar, arXiv 1502.07943), here of searches and not of noises.
//!
//! ```text
//! until one is left:                                              (a heat)
//!     all that are left search some more units, a task with a seed each
//!     the better half, by the mean over all units so far, goes on
//! the last one and the best default search one more unit a task   (the check)
//! ```
//!
//! Whoever is best of many looks better than it is. So what is expected of the winner is measured
//! after it was chosen, on units of its own, against the default that did best; where it is not
//! better there, that default is advised.

use noisesearch_core::noise::candidate_root;
use noisesearch_core::search::SearchSpec;
use serde::{Deserialize, Serialize};

/// Tasks that a race needs at least: with fewer, chance decides it.
pub const RACE_TASKS_MIN: usize = 4;

/// Heats in which every task comes once.
const HEATS_A_LAP: usize = 3;

/// Resamples of the check's units for the interval.
const RESAMPLES: usize = 4000;

/// A way to spend a budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entrant {
    /// The search; settings that are not given are decided by the budget.
    pub search: SearchSpec,
    /// Solver steps of a candidate.
    pub search_steps: u16,
    /// Whether this is what is searched with when nothing else is said.
    pub default: bool,
}

impl Entrant {
    /// Whether both search the same way.
    pub fn alike(&self, other: &Self) -> bool {
        (&self.search, self.search_steps) == (&other.search, other.search_steps)
    }
}

/// What a search is made for: a task and a seed, both counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Which of the tasks.
    pub task: usize,
    /// Which of the seeds.
    pub seed: u64,
}

/// An entrant and how good its answers were in the heats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ran {
    /// Who.
    #[serde(flatten)]
    pub entrant: Entrant,
    /// One a unit, from the first on; `None` where it found nothing.
    pub merits: Vec<Option<f64>>,
}

impl Ran {
    /// Its mean merit; lowest when an answer is missing.
    fn mean(&self) -> f64 {
        let merits = self.merits.iter();
        let sum: f64 = merits.map(|m| m.unwrap_or(f64::NEG_INFINITY)).sum();
        sum / self.merits.len().max(1) as f64
    }
}

/// Everything that a race measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Race {
    /// All that took part.
    pub ran: Vec<Ran>,
    /// The last one left, a place in `ran`.
    pub winner: usize,
    /// The default that did best, a place in `ran`.
    pub reference: usize,
    /// Merits of the winner and of the reference, one pair a unit of the check; none when they
    /// are one.
    pub check: Vec<(Option<f64>, Option<f64>)>,
}

/// Plays one unit for some entrants and says how good the answer of each is; `None` when it was
/// stopped.
pub type Play<'a, E> = dyn FnMut(Unit, &[&Entrant]) -> Result<Option<Vec<Option<f64>>>, E> + 'a;

impl Race {
    /// Races `field` over `tasks`. `None` when it was stopped, or nobody or no default takes part.
    ///
    /// # Errors
    /// Those of `play`.
    pub fn run<E>(
        field: Vec<Entrant>,
        tasks: usize,
        play: &mut Play<E>,
    ) -> Result<Option<Self>, E> {
        let merits = Vec::new();
        let started = |entrant| Ran {
            entrant,
            merits: merits.clone(),
        };
        let mut ran: Vec<Ran> = field.into_iter().map(started).collect();
        let mut units = (0..).map(|at: usize| Unit {
            task: at % tasks.max(1),
            seed: (at / tasks.max(1)) as u64,
        });
        let Some(winner) = heats(&mut ran, tasks, &mut units, play)? else {
            return Ok(None);
        };
        let Some(reference) = best_default(&ran) else {
            return Ok(None);
        };
        let mut check = Vec::new();
        if winner != reference {
            for unit in units.take(tasks) {
                let pair = [&ran[winner].entrant, &ran[reference].entrant];
                let merits = play(unit, &pair)?;
                let Some(&[won, usual]) = merits.as_deref() else {
                    return Ok(None);
                };
                check.push((won, usual));
            }
        }
        Ok(Some(Self {
            ran,
            winner,
            reference,
            check,
        }))
    }

    /// Whether this is a race of that field, with everything in its place.
    pub fn fits(&self, field: &[Entrant]) -> bool {
        let same = self.ran.iter().map(|ran| &ran.entrant).eq(field);
        same && self.winner < self.ran.len() && self.reference < self.ran.len()
    }

    /// What the race advises.
    pub fn advised(&self) -> &Entrant {
        let better = self.gain().is_none_or(|gain| gain.mean > 0.0);
        let place = match better {
            true => self.winner,
            false => self.reference,
        };
        &self.ran[place].entrant
    }

    /// The default that did best.
    pub fn reference(&self) -> &Entrant {
        &self.ran[self.reference].entrant
    }

    /// Searches that were made.
    pub fn searches(&self) -> usize {
        let heats = self.ran.iter().map(|ran| ran.merits.len());
        heats.sum::<usize>() + 2 * self.check.len()
    }

    /// The winner's merit minus the reference's in the check; `None` when they are one.
    pub fn gain(&self) -> Option<Gain> {
        let pairs = self.check.iter();
        let differences = pairs.filter_map(|(winner, reference)| Some((*winner)? - (*reference)?));
        Gain::of(&differences.collect::<Vec<f64>>())
    }
}

/// A mean paired difference with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gain {
    /// The mean.
    pub mean: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Pairs.
    pub n: usize,
}

impl Gain {
    /// Of `differences`, by bootstrap: percentiles, widened by sqrt(n / (n - 1)) for the few that
    /// they are. `None` of fewer than two.
    fn of(differences: &[f64]) -> Option<Self> {
        let n = differences.len();
        if n < 2 {
            return None;
        }
        let mean = differences.iter().sum::<f64>() / n as f64;
        let widen = (n as f64 / (n as f64 - 1.0)).sqrt();
        let resampled = |resample: usize| {
            let pick = |place: usize| {
                let hash = candidate_root(resample as u64, place as u64);
                differences[(hash % n as u64) as usize]
            };
            mean + widen * ((0..n).map(pick).sum::<f64>() / n as f64 - mean)
        };
        let mut all: Vec<f64> = (0..RESAMPLES).map(resampled).collect();
        all.sort_by(f64::total_cmp);
        let at = |share: f64| all[(share * (RESAMPLES - 1) as f64).round() as usize];
        let (low, high) = (at(0.025), at(0.975));
        Some(Self { mean, low, high, n })
    }
}

/// Runs heats until one is left, and says which.
fn heats<E>(
    ran: &mut [Ran],
    tasks: usize,
    units: &mut dyn Iterator<Item = Unit>,
    play: &mut Play<E>,
) -> Result<Option<usize>, E> {
    let mut alive: Vec<usize> = (0..ran.len()).collect();
    while alive.len() > 1 {
        for unit in units.take(tasks.div_ceil(HEATS_A_LAP)) {
            let entrants: Vec<&Entrant> = alive.iter().map(|&at| &ran[at].entrant).collect();
            let Some(merits) = play(unit, &entrants)? else {
                return Ok(None);
            };
            for (&at, merit) in alive.iter().zip(merits) {
                ran[at].merits.push(merit);
            }
        }
        // Stable: of equals, those named first go on.
        alive.sort_by(|&a, &b| ran[b].mean().total_cmp(&ran[a].mean()));
        alive.truncate(alive.len().div_ceil(2));
    }
    Ok(alive.first().copied())
}

/// The default that was left longest; of those, the best.
fn best_default(ran: &[Ran]) -> Option<usize> {
    let defaults = (0..ran.len()).rev().filter(|&at| ran[at].entrant.default);
    defaults.max_by(|&a, &b| {
        let (a, b) = (&ran[a], &ran[b]);
        let longer = a.merits.len().cmp(&b.merits.len());
        longer.then(a.mean().total_cmp(&b.mean()))
    })
}
