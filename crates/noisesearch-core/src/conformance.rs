//! What every search must do, ours or a user's: run [`search`] in a test of yours.

use crate::budget::{Budget, Goal};
use crate::job::{Failure, Job, JobId, Outcome, Scores, View};
use crate::ledger::NfeRule;
use crate::objective::{Entry, Objective};
use crate::search::{Search, SearchError, StopReason, Terms};
use std::collections::{HashMap, VecDeque};

/// Makes a fresh search of the kind under test.
pub type Make<'a> = &'a dyn Fn(&Terms) -> Result<Box<dyn Search>, SearchError>;

/// Runs the whole suite on searches made by `make`, which must accept every budget in NFE and in
/// evals that pays for one candidate: legal recipes with dense ids; never over budget; the same
/// jobs and answer for every window and after every stop; failures, ties and equal scores
/// survived; a budget of exactly one candidate; targets; cancelling. Budgets also hold what making
/// the best again costs, after a ladder, too, unless the search refuses one.
///
/// # Panics
/// When the search breaks a rule; the message names the rule and the case.
pub fn search(make: Make) {
    for objective in objectives() {
        for (name, world) in WORLDS {
            let terms = Terms {
                objective: objective.clone(),
                ..terms(Budget::Evals(60))
            };
            let case = Case {
                make,
                terms,
                world: *world,
                name,
            };
            case.whole_run();
            case.any_window();
            case.any_stop();
            case.target();
            case.cancel();
        }
    }
    let terms = terms(Budget::Evals(200));
    Case {
        make,
        terms,
        world: WORLDS[0].1,
        name: "200 evals",
    }
    .any_stop();
    budgets(make, false);
    let climbs = Terms {
        ladder: true,
        ..self::terms(Budget::Evals(60))
    };
    if !matches!(make(&climbs), Err(SearchError::Ladder)) {
        budgets(make, true);
    }
    seeds(make);
}

/// The terms that the suite starts from: Heun-like costs, final steps that differ.
pub fn terms(budget: Budget) -> Terms {
    Terms {
        seed: 7,
        budget,
        search_steps: 8,
        final_steps: 20,
        ladder: false,
        nfe: NfeRule {
            per_step: 2,
            saved_at_zero: 1,
        },
        objective: Objective::Single(0),
        goal: None,
        keep: 5,
    }
}

/// Far more jobs than any budget of the suite pays for.
const ENDLESS: usize = 10_000;

/// Two scores from a recipe, or a failure.
type World = fn(&Job) -> Outcome;

const WORLDS: &[(&str, World)] = &[
    ("rugged", |job| scored(unit(job, 0), unit(job, 1))),
    ("ties", |job| {
        scored((unit(job, 0) * 3.0).floor(), (unit(job, 1) * 2.0).floor())
    }),
    ("all equal", |_| scored(0.5, 0.5)),
    ("half fail", |job| {
        if unit(job, 2) < 0.5 {
            failed()
        } else {
            scored(unit(job, 0), 0.0)
        }
    }),
    ("first fails", |job| {
        if job.id.0 == 0 {
            failed()
        } else {
            scored(unit(job, 0), 0.0)
        }
    }),
    ("all fail", |_| failed()),
    ("improving", |job| scored(job.id.0 as f64, unit(job, 1))),
    ("worsening", |job| scored(-(job.id.0 as f64), unit(job, 1))),
];

fn objectives() -> [Objective; 3] {
    let weighted = Objective::Weighted(vec![(0.7, 0), (0.3, 1)]);
    [
        Objective::Single(0),
        weighted,
        Objective::MeanRank(vec![0, 1]),
    ]
}

/// A number in [0, 1) that depends on the recipe and `salt` alone.
fn unit(job: &Job, salt: usize) -> f64 {
    f64::from(job.recipe.id().as_bytes()[salt]) / 256.0
}

fn scored(a: f64, b: f64) -> Outcome {
    Scores::new(vec![a, b]).map_or_else(Outcome::Failed, Outcome::Scored)
}

fn failed() -> Outcome {
    Outcome::Failed(Failure::NonFinite { evaluation: 1 })
}

/// All that a run shows.
#[derive(Clone, Debug, PartialEq)]
struct Trace {
    /// In job order; jobs that were outstanding when the search ended are not here.
    told: Vec<(Job, Outcome)>,
    stop: Option<StopReason>,
    finalists: Vec<JobId>,
}

struct Case<'a> {
    make: Make<'a>,
    terms: Terms,
    world: World,
    name: &'static str,
}

impl Case<'_> {
    fn fresh(&self) -> Box<dyn Search> {
        (self.make)(&self.terms).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn run(&self, window: usize) -> Trace {
        let mut driver = Driver::new(self.fresh());
        driver.advance(usize::MAX, window, &|job| (self.world)(job));
        driver.trace()
    }

    /// Legal, dense, within budget, billed the same in sum; the answer is a finished candidate.
    fn whole_run(&self) {
        let Trace {
            told,
            stop,
            finalists,
        } = self.run(4);
        let name = self.name;
        assert!(stop.is_some(), "{name}: the search did not end");
        assert!(!told.is_empty(), "{name}: nothing was tried");
        for (at, (job, _)) in told.iter().enumerate() {
            assert_eq!(job.id, JobId(at as u64), "{name}: ids must be dense");
            legal(job, name);
        }
        assert_eq!(finalists, self.best(&told), "{name}: finalists");
        self.within(&told, &finalists);
        let by_id: HashMap<JobId, &Job> = told.iter().map(|(job, _)| (job.id, job)).collect();
        if let Some(id) = self.fresh().baseline() {
            let job = by_id[&id];
            let steps = self.terms.search_steps;
            let whole = job.recipe.moves.len() == 1
                && job.recipe.with_final_steps(steps).as_ref() == Some(&job.recipe);
            assert!(
                whole,
                "{name}: the baseline must be plain noise at the search steps"
            );
        }
    }

    /// Billed search NFE, and those of making the best again, stay within the budget.
    fn within(&self, told: &[(Job, Outcome)], finalists: &[JobId]) {
        let search: u64 = told.iter().map(|(job, _)| job.nfe).sum();
        let recipe = |job: &JobId| &told[job.0 as usize].0.recipe;
        let finals = finalists.iter().take(self.terms.finals()).map(recipe);
        let again = finals.filter_map(|recipe| Some(self.terms.remake(recipe)?.1));
        let billed = search + again.sum::<u64>();
        let (budget, name) = (self.terms.budget, self.name);
        let ok = match budget {
            Budget::Nfe(most) => billed <= most,
            Budget::Evals(most) => told.len() as u64 <= most,
            Budget::Seconds(_) => true,
        };
        assert!(
            ok,
            "{name}: {} jobs and {billed} NFE billed of {budget}",
            told.len()
        );
    }

    /// The best finished candidates by the objective, as many as are kept.
    fn best(&self, told: &[(Job, Outcome)]) -> Vec<JobId> {
        let finished = told.iter().filter(|(job, _)| job.view == View::Final);
        let scored = finished.filter_map(|(job, outcome)| Some((job.id, outcome.scores()?)));
        let set: Vec<Entry> = scored
            .map(|(job, s)| Entry {
                job,
                scores: Some(s),
            })
            .collect();
        let order = self.terms.objective.order(&set);
        order
            .into_iter()
            .take(self.terms.keep)
            .map(|place| set[place].job)
            .collect()
    }

    /// Neither the room of an ask nor how many are outstanding may matter.
    fn any_window(&self) {
        let alone = self.run(1);
        for window in [2, 3, 7, 64, 1000] {
            assert_eq!(
                self.run(window),
                alone,
                "{}: window {window} differs",
                self.name
            );
        }
    }

    /// Replaying the first `stop` tells into a fresh search, with another window, and going on is
    /// the same as never having stopped.
    fn any_stop(&self) {
        let whole = self.run(4);
        for stop in 0..=whole.told.len() {
            let mut driver = Driver::new(self.fresh());
            driver.advance(stop, 1 + stop % 5, &|job| {
                whole.told[job.id.0 as usize].1.clone()
            });
            driver.advance(usize::MAX, 4, &|job| (self.world)(job));
            assert_eq!(
                driver.trace(),
                whole,
                "{}: resumed after {stop} tells",
                self.name
            );
        }
    }

    /// The first finished candidate that reaches the goal ends the search, for every window.
    fn target(&self) {
        let goal = Goal {
            verifier: 0,
            score: 0.75,
        };
        let terms = Terms {
            goal: Some(goal),
            ..self.terms.clone()
        };
        let case = Case { terms, ..*self };
        let trace = case.run(1);
        let reaches = |(job, outcome): &(Job, Outcome)| {
            job.view == View::Final && outcome.scores().is_some_and(|s| goal.reached(s))
        };
        let first = trace.told.iter().position(reaches);
        if let Some(first) = first {
            let (count, name) = (trace.told.len(), self.name);
            assert_eq!(
                count,
                first + 1,
                "{name}: the search went on past its target"
            );
            assert_eq!(trace.stop, Some(StopReason::Target), "{name}");
        }
        assert_eq!(
            case.run(9),
            trace,
            "{}: with a target, the window matters",
            self.name
        );
    }

    /// Cancelled at any moment: nothing more is asked, late tells do not count.
    fn cancel(&self) {
        for told in [0, 1, 5, 20] {
            let mut driver = Driver::new(self.fresh());
            driver.advance(told, 3, &|job| (self.world)(job));
            let already = driver.search.stop();
            let late = driver.search.ask(1);
            let before = driver.search.finalists(usize::MAX);
            driver.search.cancel();
            let stop = driver.search.stop();
            assert_eq!(
                stop,
                already.or(Some(StopReason::Cancelled)),
                "{}: cancel",
                self.name
            );
            assert!(
                driver.search.ask(9).is_empty(),
                "{}: asked after cancel",
                self.name
            );
            for job in driver.outstanding.iter().chain(&late) {
                driver.search.tell(job.id, &(self.world)(job));
            }
            let after = driver.search.finalists(usize::MAX);
            assert_eq!(after, before, "{}: a late tell counted", self.name);
        }
    }
}

/// Every budget around the smallest: one less is refused and names it, it itself works, and no
/// larger one is exceeded.
fn budgets(make: Make, ladder: bool) {
    let terms = |budget| Terms {
        ladder,
        ..terms(budget)
    };
    for kind in [Budget::Nfe as fn(u64) -> Budget, Budget::Evals] {
        let smallest = match make(&terms(kind(0))).err() {
            Some(SearchError::BudgetTooSmall { smallest, .. }) => smallest,
            other => panic!("a budget of {} gave {other:?}", kind(0)),
        };
        let (Budget::Nfe(least) | Budget::Evals(least)) = smallest else {
            panic!("a budget of {} was answered with {smallest}", kind(0))
        };
        assert!(
            make(&terms(kind(least - 1))).is_err(),
            "{} works too",
            kind(least - 1)
        );
        for budget in (0..90).map(|more| kind(least + more)) {
            let case = Case {
                make,
                terms: terms(budget),
                world: WORLDS[0].1,
                name: "budgets",
            };
            let trace = case.run(4);
            case.within(&trace.told, &trace.finalists);
            assert!(!trace.finalists.is_empty(), "{budget}: no answer");
        }
    }
}

/// Another seed tries other noises.
fn seeds(make: Make) {
    let roots = |seed| {
        let terms = Terms {
            seed,
            ..terms(Budget::Evals(60))
        };
        let trace = Case {
            make,
            terms,
            world: WORLDS[0].1,
            name: "seeds",
        }
        .run(4);
        trace
            .told
            .iter()
            .map(|(job, _)| job.recipe.root)
            .collect::<Vec<_>>()
    };
    let (seven, eight) = (roots(7), roots(8));
    assert!(
        seven.iter().all(|root| !eight.contains(root)),
        "seeds 7 and 8 share a root key"
    );
}

/// A recipe that may run, and that ends where its view wants it.
fn legal(job: &Job, name: &str) {
    if let Err(error) = job.recipe.check() {
        panic!(
            "{name}: job {} is illegal: {error}: {}",
            job.id.0, job.recipe
        );
    }
    let clean = job.recipe.level().get() == 0.0;
    assert_eq!(
        clean,
        job.view == View::Final,
        "{name}: view and level of {}",
        job.recipe
    );
}

/// Drives a search the way an engine does, one outcome at a time.
struct Driver {
    search: Box<dyn Search>,
    outstanding: VecDeque<Job>,
    told: Vec<(Job, Outcome)>,
}

impl Driver {
    fn new(search: Box<dyn Search>) -> Self {
        Self {
            search,
            outstanding: VecDeque::new(),
            told: Vec::new(),
        }
    }

    /// Tells until `count` jobs are told or the search is over, with at most `window` jobs
    /// outstanding.
    fn advance(&mut self, count: usize, window: usize, outcome: &dyn Fn(&Job) -> Outcome) {
        while self.told.len() < count && self.search.stop().is_none() {
            let room = window.saturating_sub(self.outstanding.len());
            let jobs = self.search.ask(room);
            assert!(
                jobs.len() <= room,
                "asked {} jobs for a room of {room}",
                jobs.len()
            );
            self.outstanding.extend(jobs);
            let next = self.outstanding.pop_front();
            let job = next.unwrap_or_else(|| panic!("nothing to do, and yet not over"));
            let outcome = outcome(&job);
            self.search.tell(job.id, &outcome);
            self.told.push((job, outcome));
            assert!(
                self.told.len() < ENDLESS,
                "the search did not end in {ENDLESS} jobs"
            );
        }
    }

    fn trace(self) -> Trace {
        let (stop, finalists) = (self.search.stop(), self.search.finalists(usize::MAX));
        Trace {
            told: self.told,
            stop,
            finalists,
        }
    }
}
