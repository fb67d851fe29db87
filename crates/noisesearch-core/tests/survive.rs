//! Whole runs in the fake world: disks that fail (R1, R6), workers that die (R8), NaN (R9),
//! stops after every tell (R11), and all of it at once (R13).

use noisesearch_core::budget::{Budget, Goal};
use noisesearch_core::conformance;
use noisesearch_core::drive::DriveError;
use noisesearch_core::job::{Failure, Outcome};
use noisesearch_core::journal::{self, JOURNAL};
use noisesearch_core::limits::REASON_MAX;
use noisesearch_core::objective::Objective;
use noisesearch_core::search::{SearchSpec, StopReason, Terms};
use noisesearch_core::sim::{
    Dice, Fault, Landscape, Report, Setup, SimDisk, SimError, Trouble, Unsynced, Weather, Witness,
    attempt, survive,
};

const DEATHS: [Unsynced; 4] = [
    Unsynced::Kept,
    Unsynced::Lost,
    Unsynced::Torn,
    Unsynced::Garbled,
];

fn setup(search: SearchSpec, budget: Budget) -> Setup {
    Setup {
        search,
        terms: conformance::terms(budget),
        landscape: Landscape {
            dimensions: 8,
            verifiers: 2,
            grain: 0.0,
        },
        weather: Weather::default(),
        room: 4,
    }
}

/// Every algorithm with its defaults.
fn searches() -> [SearchSpec; 5] {
    SearchSpec::all().map(|search| search.following("score".parse().unwrap()))
}

/// Every algorithm with a budget of `evals` candidates.
fn setups(evals: u64) -> Vec<Setup> {
    searches()
        .into_iter()
        .map(|search| setup(search, Budget::Evals(evals)))
        .collect()
}

/// What the setup shows when nothing goes wrong and one job runs at a time.
fn undisturbed(setup: &Setup) -> Report {
    let weather = Weather {
        lost: 0.0,
        late: false,
        cancel_after: None,
        ..setup.weather
    };
    let calm = Setup {
        weather,
        room: 1,
        ..setup.clone()
    };
    survive(&calm, &SimDisk::new(0), &Witness::default()).unwrap()
}

/// Runs to the end through `trouble`.
fn through(setup: &Setup, seed: u64, trouble: &[Trouble]) -> Report {
    let disk = SimDisk::new(seed);
    trouble.iter().for_each(|&trouble| disk.plan(trouble));
    let report = survive(setup, &disk, &Witness::default());
    report.unwrap_or_else(|error| panic!("{trouble:?}: {error}"))
}

/// R1: whichever call fails, in whatever way, once or from then on: the same report, and no tell
/// forgotten ([`survive`] checks that).
#[test]
fn any_call_may_fail() {
    for setup in setups(60) {
        let expected = undisturbed(&setup);
        let disk = SimDisk::new(0);
        survive(&setup, &disk, &Witness::default()).unwrap();
        let mut faults = vec![(Fault::Error, false), (Fault::Error, true)];
        faults.extend([(Fault::Full, false), (Fault::Full, true)]);
        faults.extend(DEATHS.map(|unsynced| (Fault::Death(unsynced), false)));
        for call in 0..disk.calls() {
            for &(fault, persistent) in &faults {
                let trouble = Trouble {
                    call,
                    fault,
                    persistent,
                };
                assert_eq!(through(&setup, call, &[trouble]), expected, "{trouble:?}");
            }
        }
    }
}

/// R6: the process that saw a call fail makes no other; what it could not sync is not lost when
/// power goes later.
#[test]
fn a_failed_call_is_the_last() {
    let setup = &setups(60)[0];
    let expected = undisturbed(setup);
    let disk = SimDisk::new(0);
    survive(setup, &disk, &Witness::default()).unwrap();
    for call in 0..disk.calls() {
        let fault = Trouble {
            call,
            fault: Fault::Error,
            persistent: false,
        };
        let disk = SimDisk::new(call);
        disk.plan(fault);
        let failed = attempt(setup, &disk.process(), &Witness::default());
        assert!(failed.is_err_and(|error| error.is_disk()));
        assert_eq!(disk.calls(), call + 1);
        for (later, unsynced) in [
            (7, Unsynced::Lost),
            (12, Unsynced::Kept),
            (25, Unsynced::Torn),
        ] {
            let fault = Fault::Death(unsynced);
            let death = Trouble {
                call: call + later,
                fault,
                persistent: false,
            };
            let first = Trouble {
                call,
                fault: Fault::Error,
                persistent: false,
            };
            assert_eq!(through(setup, call, &[first, death]), expected, "{death:?}");
        }
    }
}

/// R11: stopping after any tell and resuming with other room is the same as not stopping.
#[test]
fn resume_is_no_stop() {
    for setup in setups(200) {
        let expected = undisturbed(&setup);
        for tells in 1..expected.told.len() as u64 {
            let disk = SimDisk::new(tells);
            let cancel_after = Some(tells);
            let weather = Weather {
                cancel_after,
                ..setup.weather
            };
            let stopped = Setup {
                weather,
                room: 1,
                ..setup.clone()
            };
            let witness = Witness::default();
            let (report, verdict) = attempt(&stopped, &disk.process(), &witness).unwrap();
            assert_eq!((report.stop, verdict.told), (StopReason::Cancelled, tells));
            let resumed = Setup {
                room: 1 + tells as usize % 9,
                ..setup.clone()
            };
            let (report, verdict) = attempt(&resumed, &disk.process(), &witness).unwrap();
            assert_eq!((&report, verdict.replayed), (&expected, tells));
            assert_eq!(verdict.spent.search_nfe, verdict.billed.search_nfe);
        }
    }
}

/// R8: a job whose workers all die fails; the others are as they were.
#[test]
fn workers_may_die() {
    for seed in 0..200 {
        let mut setup = setup(SearchSpec::all()[0].clone(), Budget::Evals(40));
        setup.terms.seed = seed;
        let calm = undisturbed(&setup);
        let (lost, deadly, late) = (0.4, 0.2, true);
        setup.weather = Weather {
            seed,
            lost,
            deadly,
            late,
            ..Weather::default()
        };
        setup.room = 1 + seed as usize % 16;
        let report = through(&setup, seed, &[]);
        assert_eq!(report.told.len(), calm.told.len());
        for ((job, outcome), (calm_job, calm_outcome)) in report.told.iter().zip(&calm.told) {
            assert_eq!(job, calm_job);
            match outcome {
                Outcome::Failed(Failure::Worker { reason }) => {
                    assert!(reason.starts_with("worker panicked"));
                    assert!(reason.len() <= REASON_MAX);
                }
                outcome => assert_eq!(outcome, calm_outcome),
            }
        }
    }
}

/// R9: what became NaN has failed, is never among the best, and changes no other outcome.
#[test]
fn nan_never_wins() {
    for mut setup in setups(60) {
        setup.weather = Weather {
            nan: 0.2,
            nan_score: 0.2,
            ..Weather::default()
        };
        for seed in 0..50 {
            (setup.terms.seed, setup.weather.seed) = (seed, seed);
            let report = through(&setup, seed, &[]);
            let failed = report
                .told
                .iter()
                .filter(|(_, outcome)| outcome.scores().is_none());
            assert!(failed.count() > 0);
            for (job, outcome) in &report.told {
                if let Some(scores) = outcome.scores() {
                    assert_eq!(scores.values(), setup.landscape.scores(&job.recipe));
                } else {
                    assert!(!report.finalists.contains(&job.id));
                }
            }
        }
    }
}

/// R13: any algorithm, objective, budget and room, in any weather, through up to four troubles.
#[test]
fn swarm() {
    let mut reached = 0;
    for seed in 0..3000 {
        let mut dice = Dice::new(seed);
        let setup = random_setup(&mut dice);
        let trouble: Vec<Trouble> = (0..dice.below(5))
            .map(|_| random_trouble(&mut dice))
            .collect();
        let expected = undisturbed(&setup);
        assert_eq!(
            through(&setup, seed, &trouble),
            expected,
            "seed {seed}: {trouble:?}"
        );
        reached += u32::from(expected.stop == StopReason::Target);
    }
    assert!(
        (300..1500).contains(&reached),
        "{reached} runs reached their goal"
    );
}

fn random_setup(dice: &mut Dice) -> Setup {
    let search = searches()[dice.below(4) as usize].clone();
    let budget = match dice.below(2) {
        0 => Budget::Evals(8 + dice.below(60)),
        _ => Budget::Nfe(150 + dice.below(1000)),
    };
    let mut setup = setup(search, budget);
    setup.terms = Terms {
        seed: dice.word(),
        keep: 1 + dice.below(5) as usize,
        objective: match dice.below(3) {
            0 => Objective::Single(1),
            1 => Objective::Weighted(vec![(0.7, 0), (0.3, 1)]),
            _ => Objective::MeanRank(vec![0, 1]),
        },
        goal: (dice.below(2) == 0).then_some(Goal {
            verifier: 0,
            score: 0.1,
        }),
        ..setup.terms
    };
    setup.landscape.grain = [0.0, 0.25][dice.below(2) as usize];
    setup.room = 1 + dice.below(40) as usize;
    let mut maybe = |most: f64| dice.below(2) as f64 * most;
    setup.weather = Weather {
        lost: maybe(0.3),
        deadly: maybe(0.1),
        nan: maybe(0.3),
        nan_score: maybe(0.2),
        late: maybe(1.0) > 0.0,
        cancel_after: None,
        seed: dice.word(),
    };
    setup
}

fn random_trouble(dice: &mut Dice) -> Trouble {
    let fault = match dice.below(6) {
        0 => Fault::Error,
        1 => Fault::Full,
        n => Fault::Death(DEATHS[n as usize - 2]),
    };
    let persistent = !matches!(fault, Fault::Death(_)) && dice.below(2) == 0;
    let call = dice.below(200);
    Trouble {
        call,
        fault,
        persistent,
    }
}

/// A run that ended because its time was up stays ended, and time counts over processes.
#[test]
fn time_is_counted_over_processes() {
    let setup = setup(SearchSpec::all()[0].clone(), Budget::Seconds(5.0));
    let (disk, witness) = (SimDisk::new(0), Witness::default());
    let weather = Weather {
        cancel_after: Some(10),
        ..Weather::default()
    };
    let stopped = Setup {
        weather,
        ..setup.clone()
    };
    let (_, first) = attempt(&stopped, &disk.process(), &witness).unwrap();
    assert_eq!(first.stop, StopReason::Cancelled);
    let (report, ended) = attempt(&setup, &disk.process(), &witness).unwrap();
    assert_eq!((ended.stop, ended.spent.seconds), (StopReason::Budget, 5.0));
    let (again, replayed) = attempt(&setup, &disk.process(), &witness).unwrap();
    assert_eq!((&again, replayed.replayed), (&report, ended.told));
    assert_eq!((replayed.spent, replayed.head), (ended.spent, ended.head));
    assert_eq!(ended.told, 80); // 4 jobs a quarter of a second
}

/// A search that asks for something else than the journal says is found out.
#[test]
fn another_search_is_found_out() {
    let setup = setup(SearchSpec::all()[0].clone(), Budget::Evals(20));
    let disk = SimDisk::new(0);
    attempt(&setup, &disk.process(), &Witness::default()).unwrap();
    let mut other = setup.clone();
    other.terms.search_steps += 1;
    let error = attempt(&other, &disk.process(), &Witness::default()).unwrap_err();
    assert!(
        matches!(error, SimError::Drive(DriveError::Diverged(job)) if job.0 == 0),
        "{error}"
    );
    let mut shorter = setup;
    shorter.terms.budget = Budget::Evals(30);
    let error = attempt(&shorter, &disk.process(), &Witness::default()).unwrap_err();
    assert!(
        matches!(error, SimError::Drive(DriveError::Diverged(job)) if job.0 == 20),
        "{error}"
    );
}

/// What is durable never changes: after every death the journal extends what it was.
#[test]
fn the_journal_only_grows() {
    let setup = &setups(60)[1];
    let disk = SimDisk::new(0);
    survive(setup, &disk, &Witness::default()).unwrap();
    for call in 0..disk.calls() {
        let disk = SimDisk::new(call);
        let witness = Witness::default();
        let fault = Fault::Death(Unsynced::Torn);
        disk.plan(Trouble {
            call,
            fault,
            persistent: false,
        });
        let died = attempt(setup, &disk.process(), &witness);
        assert!(died.is_err() && disk.is_dead());
        disk.start();
        let before = journal::read(&disk.process()).map(|snapshot| snapshot.entries);
        let bytes = disk.content(JOURNAL).unwrap_or_default();
        attempt(setup, &disk.process(), &witness).unwrap();
        let after = journal::read(&disk.process()).unwrap().entries;
        let before = before.unwrap_or_default();
        assert_eq!(after[..before.len()], before);
        let whole = bytes
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        assert_eq!(disk.content(JOURNAL).unwrap()[..whole], bytes[..whole]);
    }
}
