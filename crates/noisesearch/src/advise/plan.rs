//! From what was measured to how a budget is best spent.
//!
//! Every allocation is played many times with candidates drawn from the measured copula; what
//! counts is the final score of the candidate that it would have chosen, in standard deviations
//! above a random one. In the score's own unit that is read off the scores that were measured,
//! whose best lie closer together than those of a normal distribution would.

use super::copula::{Correlation, Margin, Simulated, correlation, noise, normal_scores, part};
use super::pilot::{Look, Pilot, TaskLooks};
use super::race::{Entrant, Race};
use noisesearch_core::budget::Budget;
use noisesearch_core::noise::candidate_root;
use noisesearch_core::search::{SearchSpec, Terms, halving};
use serde::Serialize;

/// Candidates that are drawn to play with.
const DRAWN: usize = 120_000;
/// And in each resample of the tasks.
const DRAWN_AGAIN: usize = 12_000;
/// Resamples of the tasks for the interval.
const RESAMPLES: usize = 200;
/// Factors of successive halving that are tried.
const FACTORS: [u32; 4] = [2, 3, 4, 8];

/// One way to spend the budget.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Allocation {
    /// The search with all of its settings.
    pub search: SearchSpec,
    /// Solver steps of a candidate.
    pub search_steps: u16,
    /// Noises that are looked at.
    pub candidates: u64,
    /// Columns by which candidates are dropped, and how many are kept each time.
    #[serde(skip)]
    cuts: Vec<(usize, u64)>,
}

impl Allocation {
    /// The same where only these columns are drawn.
    fn on(&self, columns: &[usize]) -> Self {
        let place = |column: &usize| columns.binary_search(column).unwrap_or(0);
        let cuts = self
            .cuts
            .iter()
            .map(|(column, keep)| (place(column), *keep));
        Self {
            cuts: cuts.collect(),
            ..self.clone()
        }
    }
}

/// An allocation and what to expect of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rated {
    /// The allocation.
    #[serde(flatten)]
    pub allocation: Allocation,
    /// Expected final score of the answer, in standard deviations of a task's candidates above
    /// their mean.
    pub deviations: f64,
    /// The same in the objective's own unit, where it has one; never beyond the best scores that
    /// were measured.
    pub gain: Option<f64>,
}

/// What a pilot says about a budget.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// The budget in NFE.
    pub budget_nfe: u64,
    /// Best of n at the final steps.
    pub plain: Rated,
    /// The best allocation found.
    pub best: Rated,
    /// `best` minus `plain` in standard deviations, with its 95 % interval over tasks.
    pub more: (f64, f64, f64),
    /// How the best allocation, the default searches and others did when they were tried; `None`
    /// when they were not.
    pub race: Option<Race>,
}

impl Advice {
    /// What to search with: what the race advises, or else the best allocation.
    pub fn chosen(&self) -> Entrant {
        let advised = self.race.as_ref().map(Race::advised);
        advised.cloned().unwrap_or_else(|| self.foreseen())
    }

    /// The best allocation as it takes part in a race.
    pub(super) fn foreseen(&self) -> Entrant {
        let best = &self.best.allocation;
        Entrant {
            search: best.search.clone(),
            search_steps: best.search_steps,
            default: false,
        }
    }
}

/// Correlation of each look with the final score, over all tasks.
pub fn correlations(pilot: &Pilot) -> Vec<(Look, f64)> {
    let table = table(&scored(pilot));
    let last = pilot.looks.len().saturating_sub(1);
    let looks = pilot.looks.iter().enumerate();
    looks.map(|(at, &look)| (look, table[at][last])).collect()
}

/// The best way to spend `terms.budget`, which is in NFE or candidates, by what was measured.
/// `None` when nothing was measured or the budget does not pay for one candidate.
pub fn plan(pilot: &Pilot, terms: &Terms) -> Option<Advice> {
    let budget_nfe = match terms.budget {
        Budget::Nfe(nfe) => nfe,
        Budget::Evals(evals) => evals.checked_mul(terms.candidate_nfe())?,
        Budget::Seconds(_) => return None,
    };
    let terms = Terms {
        budget: Budget::Nfe(budget_nfe),
        ..terms.clone()
    };
    let all = scored(pilot);
    if all.is_empty() {
        return None;
    }
    let options = options(pilot, &terms);
    let drawn = Simulated::draw(&table(&all), &noise(DRAWN, pilot.looks.len()));
    let rate = |allocation: &Allocation| play(allocation, &drawn);
    let plain = options.first()?;
    let mut best = (plain, rate(plain));
    for option in &options[1..] {
        let deviations = rate(option);
        if deviations > best.1 {
            best = (option, deviations);
        }
    }
    let margin = margin(pilot);
    let gain = |margin: &Margin, allocation: &Allocation| {
        let chosen = |row| margin.at(drawn.get(row, drawn.columns() - 1));
        average(allocation, &drawn, chosen) - margin.mean()
    };
    let rated = |(allocation, deviations): (&Allocation, f64)| Rated {
        allocation: allocation.clone(),
        deviations,
        gain: margin.as_ref().map(|margin| gain(margin, allocation)),
    };
    let at_first = rate(plain);
    let (below, above) = spread(&all, plain, best.0);
    Some(Advice {
        budget_nfe,
        plain: rated((plain, at_first)),
        best: rated(best),
        more: (
            best.1 - at_first,
            best.1 - at_first + below,
            best.1 - at_first + above,
        ),
        race: None,
    })
}

/// Every allocation that the budget pays for; best of n at the final steps comes first.
fn options(pilot: &Pilot, terms: &Terms) -> Vec<Allocation> {
    let last = pilot.looks.len() - 1;
    let random = |column: usize, steps: u16| {
        let terms = Terms {
            search_steps: steps,
            ..terms.clone()
        };
        let Budget::Nfe(nfe) = terms.budget else {
            return None;
        };
        let candidates = nfe.checked_sub(terms.final_nfe(1))? / terms.candidate_nfe();
        (candidates > 0).then(|| Allocation {
            search: SearchSpec::Random(Default::default()),
            search_steps: steps,
            candidates,
            cuts: vec![(column, 1)],
        })
    };
    let mut options: Vec<Allocation> = random(last, pilot.steps).into_iter().collect();
    for (column, look) in pilot.looks.iter().enumerate() {
        if let Look::Steps { steps } = *look {
            options.extend(random(column, steps));
        }
    }
    let preview = |(column, look): (usize, &Look)| match *look {
        Look::Preview { level } => Some((column, level)),
        _ => None,
    };
    let previews: Vec<_> = pilot.looks.iter().enumerate().filter_map(preview).collect();
    for (at, &high) in previews.iter().enumerate() {
        for factor in FACTORS {
            options.extend(halve(terms, &[high], factor, last));
            for &low in &previews[at + 1..] {
                options.extend(halve(terms, &[high, low], factor, last));
            }
        }
    }
    options
}

/// Successive halving at these rungs (column, level), with as many noises as can be paid for.
fn halve(terms: &Terms, rungs: &[(usize, f64)], factor: u32, last: usize) -> Option<Allocation> {
    let spec = halving::Spec {
        starts: None,
        rungs: rungs.iter().map(|(_, level)| *level).collect(),
        factor,
    };
    let starts = spec.resolve(terms).ok()?.starts?;
    // Where the budget does not even pay for one noise, nothing can be resolved from it.
    SearchSpec::Halving(spec.clone()).build(terms).ok()?;
    let mut alive = u64::from(starts);
    let mut cuts = Vec::with_capacity(rungs.len() + 1);
    for (column, _) in rungs {
        alive = alive.div_ceil(factor.into());
        cuts.push((*column, alive));
    }
    cuts.push((last, 1));
    Some(Allocation {
        search: SearchSpec::Halving(spec),
        search_steps: terms.final_steps,
        candidates: starts.into(),
        cuts,
    })
}

/// The mean final normal score of the chosen candidate.
fn play(allocation: &Allocation, drawn: &Simulated) -> f64 {
    average(allocation, drawn, |row| drawn.get(row, drawn.columns() - 1))
}

/// The mean of `worth` of the chosen candidate, over as many plays as the drawn ones allow.
fn average(allocation: &Allocation, drawn: &Simulated, worth: impl Fn(usize) -> f64) -> f64 {
    let each = (allocation.candidates as usize).clamp(1, drawn.rows());
    let plays = drawn.rows() / each;
    let mut sum = 0.0;
    for first in (0..plays).map(|play| play * each) {
        let mut alive: Vec<usize> = (first..first + each).collect();
        for &(column, keep) in &allocation.cuts {
            let keep = (keep as usize).clamp(1, alive.len());
            if keep < alive.len() {
                let better =
                    |a: &usize, b: &usize| drawn.get(*b, column).total_cmp(&drawn.get(*a, column));
                alive.select_nth_unstable_by(keep - 1, better);
                alive.truncate(keep);
            }
        }
        sum += worth(alive[0]);
    }
    sum / plays as f64
}

/// Normal scores of one task, within the task: one row a noise, one column a look.
type TaskScores = Vec<Vec<f64>>;

/// Normal scores of every task; a candidate that failed is the worst.
fn scored(pilot: &Pilot) -> Vec<TaskScores> {
    let column = |merits: &Vec<Option<f64>>| {
        let merits = merits
            .iter()
            .map(|merit| merit.unwrap_or(f64::NEG_INFINITY));
        normal_scores(&merits.collect::<Vec<_>>())
    };
    let task = |task: &TaskLooks| {
        let columns: Vec<Vec<f64>> = task.merits.iter().map(column).collect();
        let noises = columns.first().map_or(0, Vec::len);
        let row = |noise: usize| columns.iter().map(|column| column[noise]).collect();
        (0..noises).map(row).collect()
    };
    pilot.tasks.iter().map(task).collect()
}

/// Correlations of the looks over these tasks.
fn table<'a>(tasks: impl IntoIterator<Item = &'a TaskScores>) -> Correlation {
    let rows: Vec<&[f64]> = tasks.into_iter().flatten().map(Vec::as_slice).collect();
    correlation(&rows)
}

/// How far the difference between two allocations lies below and above its estimate in 95 % of
/// the resamples of the tasks.
fn spread(tasks: &[TaskScores], plain: &Allocation, best: &Allocation) -> (f64, f64) {
    let last = tasks[0].first().map_or(0, |row| row.len() - 1);
    let cuts = plain.cuts.iter().chain(&best.cuts);
    let mut columns: Vec<usize> = cuts.map(|(column, _)| *column).chain([last]).collect();
    columns.sort_unstable();
    columns.dedup();
    let normals = noise(DRAWN_AGAIN, columns.len());
    let (plain, best) = (plain.on(&columns), best.on(&columns));
    let difference = |table: Correlation| {
        let drawn = Simulated::draw(&part(&table, &columns), &normals);
        play(&best, &drawn) - play(&plain, &drawn)
    };
    let whole = difference(table(tasks));
    let resampled = |resample: usize| {
        let pick = |place: usize| {
            let hash = candidate_root(resample as u64, place as u64);
            &tasks[(hash % tasks.len() as u64) as usize]
        };
        difference(table((0..tasks.len()).map(pick))) - whole
    };
    let mut all: Vec<f64> = (0..RESAMPLES).map(resampled).collect();
    all.sort_by(f64::total_cmp);
    let at = |share: f64| all[(share * (RESAMPLES - 1) as f64).round() as usize];
    (at(0.025), at(0.975))
}

/// What final scores a task's candidates have, where merits are scores.
fn margin(pilot: &Pilot) -> Option<Margin> {
    let merits = pilot.tasks.iter().filter_map(|task| task.merits.last());
    let whole = merits.filter_map(|merits| merits.iter().copied().collect::<Option<Vec<f64>>>());
    let margin = Margin::of(&whole.collect::<Vec<_>>());
    margin.filter(|_| pilot.scores)
}
