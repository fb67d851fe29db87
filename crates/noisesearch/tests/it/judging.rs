//! Verifiers with a say of their own: notes, failures, sets that grow; and goals.

use crate::fake::registry;
use crate::runs::{StopAfter, checked, go, go_on, scratch};
use candle_core::{Result, Tensor};
use noisesearch::observe::{Control, Observer};
use noisesearch::registry::{Judges, Registry, VerifierEntry};
use noisesearch::spec::Spec;
use noisesearch::{Error, ErrorKind, report, resume, run, verify};
use noisesearch_models::task::Task;
use noisesearch_verifiers::verifier::{Samples, Verifier, VerifierId};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Prefers what is bright, fails while it is told to, and remembers what was accepted.
struct Moody {
    id: VerifierId,
    fails_from: AtomicUsize,
    asked: AtomicUsize,
    accepted: Mutex<Vec<Vec<f32>>>,
    whim: Whim,
}

/// What is odd about its answers.
#[derive(Clone, Copy, PartialEq)]
enum Whim {
    Nothing,
    /// Its first answer is empty.
    Shy,
    /// Every answer is another, which it does not say.
    Secret,
    /// The same, and it says so.
    Open,
}

impl Verifier for Moody {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn score(&self, _task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        if asked >= self.fails_from.load(Ordering::Relaxed) {
            candle_core::bail!("out of sorts");
        }
        if self.whim == Whim::Shy && asked == 0 {
            return Ok(vec![]);
        }
        let off = match self.whim {
            Whim::Secret | Whim::Open => 1e-6 * asked as f64,
            Whim::Nothing | Whim::Shy => 0.0,
        };
        let images = samples.images.flatten_from(1)?.mean(1)?;
        let scores = images.to_vec1::<f32>()?.into_iter();
        Ok(scores.map(|score| f64::from(score) + off).collect())
    }

    fn varies(&self) -> bool {
        self.whim == Whim::Open
    }

    fn notes(&self) -> Vec<String> {
        vec!["I have seen pictures".into()]
    }

    fn accept(&self, _task: &Task, images: &Tensor) -> Result<()> {
        let mut accepted = self.accepted.lock().unwrap();
        accepted.push(images.flatten_all()?.to_vec1()?);
        Ok(())
    }
}

/// The fakes with a verifier `moody`, which all runs share.
fn moody(fails_from: usize) -> (Registry, Arc<Moody>) {
    moody_with(fails_from, Whim::Nothing)
}

fn moody_with(fails_from: usize, whim: Whim) -> (Registry, Arc<Moody>) {
    let moody = Arc::new(Moody {
        id: VerifierId {
            name: "moody".into(),
            weights: String::new(),
            version: 1,
        },
        fails_from: AtomicUsize::new(fails_from),
        asked: AtomicUsize::new(0),
        accepted: Mutex::default(),
        whim,
    });
    let mut registry = registry();
    let shared = moody.clone();
    registry.verifiers.push(VerifierEntry {
        name: "moody".into(),
        about: "a fake".into(),
        judges: Judges::Family("fake"),
        open: Arc::new(move || Ok(Box::new(shared.clone()))),
    });
    (registry, moody)
}

#[derive(Default)]
struct Notes(Vec<String>);

impl Observer for Notes {
    fn note(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}

const SPEC: &str = "prompt = \"a\"\nverifiers = [\"moody\"]\nbudget = \"24evals\"\nbatch = 4";

#[test]
fn a_failing_verifier_stops_a_run_that_can_go_on() {
    let out = scratch("moody");
    let (registry, moody) = moody(3);
    let spec = checked(SPEC, &registry);
    let (mut notes, cancel) = (Notes::default(), AtomicBool::new(false));
    let control = Control {
        observer: &mut notes,
        cancel: &cancel,
    };
    let error = run(&registry, &spec, &out, control).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resumable);
    let Error::Verifier { run, .. } = &error else {
        panic!("{error}")
    };
    let text = error.to_string();
    assert!(
        text.starts_with("verifier moody failed: out of sorts"),
        "{text}"
    );
    assert!(notes.0.iter().all(|note| note == "I have seen pictures"));
    assert!(notes.0.len() >= 3);
    moody.fails_from.store(usize::MAX, Ordering::Relaxed);
    let control = Control {
        observer: &mut (),
        cancel: &cancel,
    };
    let resumed = resume(&registry, run.as_ref().unwrap(), control).unwrap();
    let whole = go(&registry, &spec, &out);
    let (got, want) = (resumed.best.unwrap(), whole.best.unwrap());
    assert_eq!((got.recipe, got.scores), (want.recipe, want.scores));
    std::fs::remove_dir_all(out).unwrap();
}

/// Stopped, resumed and killed: its summary is of when it was stopped, and once an intact run was
/// held to it.
#[test]
fn a_run_is_not_held_to_the_summary_of_an_earlier_stop() {
    let out = scratch("older");
    let (registry, moody) = moody(usize::MAX);
    let spec = checked(SPEC, &registry);
    let cancel = AtomicBool::new(false);
    let control = Control {
        observer: &mut StopAfter::new(1, &cancel),
        cancel: &cancel,
    };
    let part = run(&registry, &spec, &out, control).unwrap();
    report(&registry, &part.run).unwrap();
    let best = || std::fs::read(part.run.join("best.png")).unwrap();
    let before = best();
    // As if it was killed: it stops without a word about what it reached.
    let asked = moody.asked.load(Ordering::Relaxed);
    moody.fails_from.store(asked + 3, Ordering::Relaxed);
    let go_on = || {
        let cancel = AtomicBool::new(false);
        let control = Control {
            observer: &mut (),
            cancel: &cancel,
        };
        resume(&registry, &part.run, control)
    };
    go_on().unwrap_err();
    assert_ne!(best(), before, "no better one was found meanwhile");
    moody.fails_from.store(usize::MAX, Ordering::Relaxed);
    for all in [false, true] {
        assert_eq!(verify(&registry, &part.run, all).unwrap().mismatches, []);
    }
    let error = report(&registry, &part.run).unwrap_err();
    assert!(matches!(error, Error::Unfinished { .. }), "{error}");
    go_on().unwrap();
    report(&registry, &part.run).unwrap();
    std::fs::remove_dir_all(out).unwrap();
}

/// Once its loss was kept and given as the answer to every retry.
#[test]
fn a_baseline_that_was_lost_is_tried_again_as_the_first_candidate() {
    let out = scratch("lost");
    let (registry, _) = moody_with(usize::MAX, Whim::Shy);
    let summary = go(&registry, &checked(SPEC, &registry), &out);
    assert!(summary.baseline.is_none());
    let journal = std::fs::read_to_string(summary.run.join("journal.jsonl")).unwrap();
    assert_eq!(journal.matches("\"scores\":").count(), 24);
    assert!(!journal.contains("worker"), "{journal}");
    std::fs::remove_dir_all(out).unwrap();
}

/// Once a run was called false because a judge that may answer otherwise did.
#[test]
fn a_verifier_that_varies_makes_no_run_false() {
    let out = scratch("varies");
    for (whim, false_ones, varied) in [(Whim::Open, 0, 26), (Whim::Secret, 26, 0)] {
        let (registry, _) = moody_with(usize::MAX, whim);
        let run = go(&registry, &checked(SPEC, &registry), &out).run;
        let found = verify(&registry, &run, true).unwrap();
        assert_eq!(found.mismatches.len(), false_ones, "{found:?}");
        assert_eq!(found.varied.len(), varied, "{found:?}");
    }
    std::fs::remove_dir_all(out).unwrap();
}

#[test]
fn the_answer_is_accepted_once() {
    let out = scratch("accepted");
    let (registry, moody) = moody(usize::MAX);
    let summary = go(&registry, &checked(SPEC, &registry), &out);
    go_on(&registry, &summary.run);
    {
        let accepted = moody.accepted.lock().unwrap();
        assert_eq!(accepted.len(), 1, "not again when its report is made again");
        let mean = accepted[0].iter().map(|&v| f64::from(v)).sum::<f64>() / 64.0;
        let best = summary.best.unwrap().scores["moody"];
        assert!((mean - best).abs() < 1e-6, "{mean} for {best}");
    }
    go(&registry, &checked(SPEC, &registry), &out);
    assert_eq!(moody.accepted.lock().unwrap().len(), 2);
    std::fs::remove_dir_all(out).unwrap();
}

#[test]
fn a_goal_chooses_among_what_is_there() {
    let lab = Registry {
        hub: None,
        folder: None,
        ..Registry::builtin()
    };
    let spec = |text: &str| Spec::from_toml(text).unwrap();
    let overall = spec("prompt = \"a red cross\"\ngoal = \"overall\"")
        .check(&lab)
        .unwrap();
    assert_eq!(overall.verifiers, ["looks", "clip"]);
    assert_eq!(
        overall.objective.text(&overall.scored()),
        "rank(looks,clip)"
    );
    // A run says what was chosen, and repeats it whatever is there later.
    let again = spec(&overall.to_toml().unwrap()).check(&lab).unwrap();
    assert_eq!(again, overall);
    let refused = |text: &str| spec(text).check(&lab).unwrap_err().to_string();
    let both = refused("prompt = \"a red cross\"\ngoal = \"looks\"\nverifiers = [\"clip\"]");
    assert!(both.contains("not both"), "{both}");
    let none = refused("prompt = \"a red cross\"\ngoal = \"preference\"");
    assert!(none.contains("imagereward, pickscore, hpsv2"), "{none}");
    let unknown = refused("prompt = \"a red cross\"\ngoal = \"best\"");
    assert!(unknown.contains("known: overall"), "{unknown}");
}

#[test]
fn a_goal_and_verifiers_replace_each_other() {
    let goal = Spec::from_toml("goal = \"looks\"").unwrap();
    let judges = "verifiers = [\"clip\"]\nobjective = \"clip\"";
    let judges = Spec::from_toml(judges).unwrap();
    let over = goal.clone().over(judges.clone());
    assert_eq!(
        (over.goal.as_deref(), over.verifiers, over.objective),
        (Some("looks"), None, None)
    );
    let over = judges.over(goal);
    assert_eq!(
        (over.goal, over.verifiers.unwrap()),
        (None, vec!["clip".to_owned()])
    );
}
