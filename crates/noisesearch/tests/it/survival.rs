//! Stopping, resuming, racing and damage, on a real disk.

use crate::fake::{Counts, registry, registry_counting};
use crate::runs::{SPECS, StopAfter, checked, go, go_on, scratch};
use noisesearch::observe::{Control, Observer, Progress};
use noisesearch::spec::Checked;
use noisesearch::summary::Summary;
use noisesearch::{Error, ErrorKind, report, resume, run, verify};
use noisesearch_core::search::StopReason;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Barrier};

/// What must not depend on how often a run was stopped.
fn essence(summary: &Summary) -> impl PartialEq + std::fmt::Debug + use<> {
    let kept: Vec<_> = summary
        .kept
        .iter()
        .map(|kept| (kept.id, kept.scores.clone()))
        .collect();
    let best = summary.best.clone().map(|best| (best.id, best.scores));
    let baseline = summary
        .baseline
        .clone()
        .map(|baseline| (baseline.id, baseline.scores));
    let image = std::fs::read(summary.run.join("best.png")).unwrap();
    (summary.stop, best, baseline, kept, summary.billed, image)
}

/// R11: a run that is stopped after any batch and resumed is the run that was not.
#[test]
fn resume_equals_no_stop() {
    let out = scratch("resume");
    for text in SPECS {
        let counts: Arc<Counts> = Arc::default();
        let registry = registry_counting(&counts);
        let spec = checked(text, &registry);
        let whole = go(&registry, &spec, &out);
        let spent = counts.rows();
        for stop in (1..40).step_by(5) {
            let cancel = AtomicBool::new(false);
            let mut observer = StopAfter::new(stop, &cancel);
            let control = Control {
                observer: &mut observer,
                cancel: &cancel,
            };
            let part = run(&registry, &spec, &out, control).unwrap();
            if part.stop == StopReason::Cancelled {
                assert!(part.billed.search_nfe < whole.billed.search_nfe, "{text}");
                assert_eq!(
                    verify(&registry, &part.run, true).unwrap().mismatches,
                    vec![]
                );
            }
            let end = go_on(&registry, &part.run);
            assert_eq!(essence(&end), essence(&whole), "{text} stopped at {stop}");
            let again = go_on(&registry, &part.run);
            assert_eq!(essence(&again), essence(&whole), "{text} resumed twice");
        }
        assert!(counts.rows() > spent);
    }
    std::fs::remove_dir_all(out).unwrap();
}

/// As after kill -9: the journal is cut at every line, images and reports are older or gone.
#[test]
fn a_killed_run_resumes_to_the_same_answer() {
    let out = scratch("killed");
    for text in SPECS {
        let registry = registry();
        let spec = checked(text, &registry);
        let whole = go(&registry, &spec, &out);
        let journal = std::fs::read(whole.run.join("journal.jsonl")).unwrap();
        let ends: Vec<usize> = (0..journal.len())
            .filter(|&at| journal[at] == b'\n')
            .map(|at| at + 1)
            .collect();
        let expected = essence(&whole);
        for (index, &end) in ends.iter().enumerate() {
            // A torn line after the cut, too.
            let torn = (end + 40 * (index % 3)).min(journal.len());
            std::fs::write(whole.run.join("journal.jsonl"), &journal[..torn]).unwrap();
            for (name, every) in [("summary.json", 1), ("best.png", 2), ("baseline.png", 3)] {
                if index % every == 0 {
                    drop(std::fs::remove_file(whole.run.join(name)));
                }
            }
            if index % 4 == 1 {
                for image in std::fs::read_dir(whole.run.join("images")).unwrap() {
                    std::fs::write(image.unwrap().path(), b"torn").unwrap();
                }
            }
            let cancel = AtomicBool::new(false);
            let mut observer = StopAfter::new(u64::MAX, &cancel);
            let control = Control {
                observer: &mut observer,
                cancel: &cancel,
            };
            let end = resume(&registry, &whole.run, control).unwrap();
            assert_eq!(essence(&end), expected, "{text} cut after line {index}");
            let loud = observer
                .notes
                .iter()
                .any(|note| note.contains("incomplete line"));
            assert_eq!(
                loud,
                torn > ends[index] && !ends.contains(&torn),
                "{text} line {index}"
            );
        }
        // Killed before its journal was there. One that is gone from a finished run is damage.
        std::fs::remove_file(whole.run.join("journal.jsonl")).unwrap();
        std::fs::remove_file(whole.run.join("summary.json")).unwrap();
        assert_eq!(
            essence(&go_on(&registry, &whole.run)),
            expected,
            "{text} without a journal"
        );
    }
    std::fs::remove_dir_all(out).unwrap();
}

/// R7: of two resumes of one run exactly one proceeds and the other says who does.
#[test]
fn two_resumes_race_and_one_wins() {
    let out = scratch("race");
    let registry = registry();
    let spec = checked("prompt = \"a\"\nbudget = \"12evals\"", &registry);
    let first = go(&registry, &spec, &out);
    let mut lost = 0;
    for _ in 0..20 {
        let start = Barrier::new(2);
        let results: Vec<_> = std::thread::scope(|scope| {
            let race = || {
                scope.spawn(|| {
                    let cancel = AtomicBool::new(false);
                    start.wait();
                    resume(
                        &registry,
                        &first.run,
                        Control {
                            observer: &mut (),
                            cancel: &cancel,
                        },
                    )
                })
            };
            let both = [race(), race()];
            both.map(|thread| thread.join().unwrap()).into()
        });
        let won = results.iter().filter(|result| result.is_ok()).count();
        assert!(won >= 1, "{results:?}");
        for error in results.into_iter().filter_map(Result::err) {
            lost += 1;
            assert_eq!(error.kind(), ErrorKind::Failed);
            let holder = format!("process {}", std::process::id());
            assert!(error.to_string().contains(&holder), "{error}");
        }
    }
    assert!(lost > 0, "no race met");
    std::fs::remove_dir_all(out).unwrap();
}

#[test]
fn another_spec_or_damage_is_refused() {
    let out = scratch("damage");
    let registry = registry();
    let spec = checked("prompt = \"a\"\nbudget = \"12evals\"", &registry);
    let run = go(&registry, &spec, &out).run;
    let refused = |run: &Path| -> Error {
        let cancel = AtomicBool::new(false);
        resume(
            &registry,
            run,
            Control {
                observer: &mut (),
                cancel: &cancel,
            },
        )
        .unwrap_err()
    };
    let toml = std::fs::read_to_string(run.join("run.toml")).unwrap();
    std::fs::write(run.join("run.toml"), toml.replace("seed = 0", "seed = 1")).unwrap();
    let error = refused(&run);
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(
        error
            .to_string()
            .contains("spec.seed is 0 in journal.jsonl, but 1 here"),
        "{error}"
    );
    assert!(
        verify(&registry, &run, false)
            .unwrap_err()
            .to_string()
            .contains("spec.seed")
    );
    std::fs::write(run.join("run.toml"), toml).unwrap();
    let path = run.join("journal.jsonl");
    let mut journal = std::fs::read(&path).unwrap();
    let middle = journal.len() / 2;
    journal[middle] ^= 1;
    std::fs::write(&path, journal).unwrap();
    let error = refused(&run);
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains("damaged at line"), "{error}");
    std::fs::remove_dir_all(out).unwrap();
}

#[test]
fn verify_sees_a_changed_pixel() {
    let out = scratch("pixel");
    let registry = registry();
    let spec = checked("prompt = \"a\"\nbudget = \"12evals\"", &registry);
    let run = go(&registry, &spec, &out).run;
    let path = run.join("best.png");
    let bytes = std::fs::read(&path).unwrap();
    let (mut picture, texts) = noisesearch::picture::Picture::from_png(&bytes).unwrap();
    picture.pixels[7] ^= 1;
    std::fs::write(&path, picture.to_png(&texts).unwrap()).unwrap();
    let found = verify(&registry, &run, false).unwrap().mismatches;
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].what.as_str(), found[0].how.contains("pixels")),
        ("best.png", true)
    );
    std::fs::write(&path, b"nothing").unwrap();
    assert!(
        verify(&registry, &run, false).unwrap().mismatches[0]
            .how
            .contains("damaged")
    );
    std::fs::remove_dir_all(out).unwrap();
}

/// A run that is stopped after some candidates, and what its counting registry is.
fn stopped(text: &str, out: &Path) -> (noisesearch::registry::Registry, Arc<Counts>, Summary) {
    let counts: Arc<Counts> = Arc::default();
    let registry = registry_counting(&counts);
    let cancel = AtomicBool::new(false);
    let control = Control {
        observer: &mut StopAfter::new(6, &cancel),
        cancel: &cancel,
    };
    let part = run(&registry, &checked(text, &registry), out, control).unwrap();
    assert_eq!(part.stop, StopReason::Cancelled, "{text}");
    (registry, counts, part)
}

/// Batch and cache change speed only, so a run that died of memory goes on with less of it; once
/// they were in the fingerprint.
#[test]
fn a_run_goes_on_with_another_batch_and_cache() {
    let out = scratch("speed");
    for text in SPECS {
        let (registry, _, part) = stopped(text, &out);
        let whole = go(&registry, &checked(text, &registry), &out);
        let path = part.run.join("run.toml");
        let toml = std::fs::read_to_string(&path).unwrap();
        let other = toml
            .replace("batch = 4", "batch = 3")
            .replace("cache = \"256MB\"", "cache = \"0B\"");
        assert_eq!(other.len() + 3, toml.len(), "{toml}");
        std::fs::write(&path, other).unwrap();
        let end = go_on(&registry, &part.run);
        assert_eq!(essence(&end), essence(&whole), "{text}");
        assert_eq!(verify(&registry, &end.run, true).unwrap().mismatches, []);
    }
    std::fs::remove_dir_all(out).unwrap();
}

/// Once a session forgot what the one before had spent after its last journal line, and an ended
/// run made its answer again.
#[test]
fn what_all_sessions_spent_is_known_and_an_end_is_made_once() {
    let out = scratch("sessions");
    for text in SPECS {
        let (registry, counts, part) = stopped(text, &out);
        let all = |summary: &Summary| summary.spent.search_nfe + summary.spent.final_nfe;
        assert_eq!(all(&part), counts.rows(), "{text}");
        let end = go_on(&registry, &part.run);
        assert_eq!(all(&end), counts.rows(), "{text}");
        assert_eq!(end.spent.verifier_calls, counts.scored(), "{text}");
        assert!(end.seconds > part.seconds);
        let made = counts.rows();
        let again = go_on(&registry, &part.run);
        assert_eq!((counts.rows(), again.spent), (made, end.spent), "{text}");
        assert_eq!(essence(&again), essence(&end), "{text}");
        assert_eq!((&again.best, &again.kept), (&end.best, &end.kept), "{text}");
        assert!(again.seconds > end.seconds);
    }
    std::fs::remove_dir_all(out).unwrap();
}

/// Once an image that a killed process had not yet removed stayed for ever.
#[test]
fn images_left_by_a_killed_process_are_removed() {
    let out = scratch("stale");
    let (registry, _, part) = stopped(SPECS[0], &out);
    let images = part.run.join("images");
    for name in ["000999.png", ".000001.png.999999999.tmp", "notes.txt"] {
        std::fs::write(images.join(name), b"left").unwrap();
    }
    let end = go_on(&registry, &part.run);
    let names = std::fs::read_dir(&images).unwrap();
    let names: Vec<_> = names.map(|name| name.unwrap().file_name()).collect();
    assert_eq!(names.len(), end.kept.len() + 1, "{names:?}");
    assert!(images.join("notes.txt").exists(), "what is not ours stays");
    std::fs::remove_dir_all(out).unwrap();
}

/// What an observer was told, in order.
#[derive(Default)]
struct Events(Vec<String>);

impl Observer for Events {
    fn started(&mut self, _: &Path, _: &Checked, told: u64) {
        self.0.push(format!("started {told}"));
    }

    fn progress(&mut self, progress: &Progress) {
        self.0.push(format!("progress {}", progress.candidates));
    }

    fn image(&mut self, path: &Path) {
        self.0.push(path.display().to_string());
    }
}

/// Once it was said after the first candidate, which it counted.
#[test]
fn where_a_run_is_and_how_far_is_said_first() {
    let out = scratch("started");
    let (registry, _, part) = stopped(SPECS[0], &out);
    let journal = std::fs::read_to_string(part.run.join("journal.jsonl")).unwrap();
    let told = journal.matches("\"outcome\":").count();
    let (mut events, cancel) = (Events::default(), AtomicBool::new(false));
    let control = Control {
        observer: &mut events,
        cancel: &cancel,
    };
    resume(&registry, &part.run, control).unwrap();
    assert_eq!(events.0[0], format!("started {told}"));
    assert_eq!(events.0[1], format!("progress {}", told + 1));
    let mut events = Events::default();
    let control = Control {
        observer: &mut events,
        cancel: &cancel,
    };
    run(&registry, &checked(SPECS[0], &registry), &out, control).unwrap();
    assert_eq!(events.0[0], "started 0");
    assert!(events.0[1].ends_with("baseline.png"), "{:?}", events.0);
    std::fs::remove_dir_all(out).unwrap();
}

/// Once the page was made of one run's journal and another's settings, or the program panicked.
#[test]
fn settings_that_were_changed_make_no_report() {
    let out = scratch("edited");
    let registry = registry();
    let run = go(&registry, &checked(SPECS[0], &registry), &out).run;
    let path = run.join("run.toml");
    let toml = std::fs::read_to_string(&path).unwrap();
    let watched = toml.replace("watch = [\"even\"]", "watch = [\"even\", \"left\"]");
    assert_ne!(watched, toml);
    std::fs::write(&path, watched).unwrap();
    let error = report(&registry, &run).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("spec.watch"), "{error}");
    std::fs::write(&path, toml.replace("batch = 4", "batch = 2")).unwrap();
    report(&registry, &run).unwrap();
    std::fs::remove_dir_all(out).unwrap();
}
