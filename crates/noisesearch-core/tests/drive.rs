//! The loop against searches and workers that break the rules.

use noisesearch_core::budget::Budget;
use noisesearch_core::drive::{Broken, DriveError, Finished, News, Rules, World, drive};
use noisesearch_core::job::{Job, JobId, Outcome, Scores, View};
use noisesearch_core::journal::{Fingerprint, Journal};
use noisesearch_core::ledger::Ledger;
use noisesearch_core::recipe::Recipe;
use noisesearch_core::search::{Search, StopReason};
use noisesearch_core::sim::SimDisk;
use std::convert::Infallible;

/// Asks for what it was given, job by job, and names one answer.
struct Script {
    jobs: Vec<Job>,
    told: usize,
    answer: Vec<JobId>,
    /// Asks for everything at once, whatever the room.
    greedy: bool,
    asked: usize,
}

impl Search for Script {
    fn ask(&mut self, room: usize) -> Vec<Job> {
        let room = if self.greedy { usize::MAX } else { room };
        let jobs: Vec<Job> = self.jobs[self.asked..].iter().take(room).cloned().collect();
        self.asked += jobs.len();
        jobs
    }
    fn tell(&mut self, _: JobId, _: &Outcome) {
        self.told += 1;
    }
    fn stop(&self) -> Option<StopReason> {
        (self.told == 3).then_some(StopReason::Exhausted)
    }
    fn cancel(&mut self) {}
    fn finalists(&self, _: usize) -> Vec<JobId> {
        self.answer.clone()
    }
    fn baseline(&self) -> Option<JobId> {
        None
    }
}

/// Answers every job with 1, and what else it is told to answer.
#[derive(Default)]
struct Echo {
    waiting: Vec<JobId>,
    extra: Option<JobId>,
}

impl World for Echo {
    type Error = Infallible;
    fn submit(&mut self, jobs: &[Job]) -> Result<(), Infallible> {
        self.waiting.extend(jobs.iter().map(|job| job.id));
        Ok(())
    }
    fn poll(&mut self) -> Result<Vec<Finished>, Infallible> {
        let jobs = self.waiting.drain(..).chain(self.extra);
        let finished = jobs.map(|job| Finished {
            job,
            result: Ok(Outcome::Scored(Scores::new(vec![1.0]).unwrap())),
            spent: Ledger::default(),
        });
        Ok(finished.collect())
    }
    fn told(&mut self, _: &News) -> Result<(), Infallible> {
        Ok(())
    }
    fn seconds(&mut self) -> f64 {
        0.0
    }
    fn cancelled(&mut self) -> bool {
        false
    }
}

fn job(id: u64, recipe: &str) -> Job {
    Job {
        id: JobId(id),
        recipe: recipe.parse().unwrap(),
        view: View::Final,
        nfe: 4,
    }
}

fn script() -> Script {
    Script {
        jobs: (0..3)
            .map(|id| job(id, &format!("root {id} | denoise to 0 in 4")))
            .collect(),
        told: 0,
        answer: vec![JobId(1)],
        greedy: false,
        asked: 0,
    }
}

fn run(mut search: Script, budget: Budget, mut world: Echo) -> Result<u64, Broken> {
    let disk = SimDisk::new(0);
    let process = disk.process();
    let opened = Journal::create(&process, &Fingerprint::default()).unwrap();
    let rules = Rules {
        budget,
        room: 2,
        verifiers: 1,
        passes_per_nfe: 1,
    };
    match drive(&mut search, opened, rules, &mut world) {
        Ok(verdict) => Ok(verdict.told),
        Err(DriveError::Broken(broken)) => Err(broken),
        Err(error) => panic!("{error}"),
    }
}

/// One thing that is wrong with a search.
type Fault = (fn(&mut Script), Broken);

#[test]
fn searches_that_break_the_rules_are_stopped() {
    let faults: [Fault; 8] = [
        (|s| s.jobs.truncate(2), Broken::Stuck),
        (|s| s.greedy = true, Broken::Room { room: 2, asked: 3 }),
        (
            |s| s.jobs[1].id = JobId(2),
            Broken::Id {
                expected: 1,
                found: JobId(2),
            },
        ),
        (|s| s.jobs[2].nfe = 5, Broken::Budget(JobId(2))),
        (|s| s.jobs[0].view = View::Preview, Broken::Recipe(JobId(0))),
        (
            |s| {
                s.jobs[0].recipe = Recipe {
                    root: 0,
                    moves: vec![],
                }
            },
            Broken::Recipe(JobId(0)),
        ),
        (
            |s| s.jobs[0].recipe.moves.extend_from_within(..),
            Broken::Recipe(JobId(0)),
        ),
        (|s| s.answer = vec![JobId(3)], Broken::Answer(JobId(3))),
    ];
    let budget = Budget::Nfe(12);
    assert_eq!(run(script(), budget, Echo::default()), Ok(3));
    for (fault, broken) in faults {
        let mut search = script();
        fault(&mut search);
        assert_eq!(run(search, budget, Echo::default()), Err(broken));
    }
    let evals = run(script(), Budget::Evals(2), Echo::default());
    assert_eq!(evals, Err(Broken::Budget(JobId(2))));
}

#[test]
fn answers_to_what_was_not_asked_are_refused() {
    for (extra, job) in [(0, 0), (1, 1), (5, 5)] {
        let waiting = Vec::new();
        let extra = Some(JobId(extra));
        let result = run(script(), Budget::Nfe(12), Echo { waiting, extra });
        assert_eq!(result, Err(Broken::Unasked(JobId(job))));
    }
}
