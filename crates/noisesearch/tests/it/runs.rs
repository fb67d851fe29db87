//! Whole runs: every search, what is on disk, what is counted, what is verified.

use crate::fake::{Counts, registry, registry_counting};
use noisesearch::observe::{Control, Observer, Progress};
use noisesearch::registry::{Registry, VerifierEntry};
use noisesearch::spec::{Checked, Spec};
use noisesearch::summary::Summary;
use noisesearch::{report, resume, run, verify};
use noisesearch_core::search::StopReason;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One spec a search, with everything that costs.
pub const SPECS: [&str; 6] = [
    "prompt = \"a red circle\"\nbudget = \"40evals\"",
    "prompt = \"two\"\nbudget = \"200nfe\"\nsteps = 9\nsearch-steps = 4\nsolver = \"heun\"\n\
     verifiers = [\"bright\", \"left\", \"self\"]\nguidance = 1.0",
    "class = \"A\"\nbudget = \"31evals\"\n[search]\nmethod = \"zero-order\"\nneighbours = 3",
    "prompt = \"three\"\nbudget = \"300nfe\"\nverifiers = [\"self\"]\n[search]\nmethod = \"paths\"",
    "prompt = \"four\"\nbudget = \"300nfe\"\nsearch-dtype = \"bf16-pair\"\nverifiers = [\"left\"]",
    "prompt = \"five\"\nbudget = \"300nfe\"\nsearch-dtype = \"bf16-tile\"\ncount = 3\n\
     search-steps = 5\n[search]\nmethod = \"halving\"",
];

/// A directory of its own for a test, empty.
pub fn scratch(name: &str) -> PathBuf {
    let name = format!("noisesearch-it-{name}-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    drop(std::fs::remove_dir_all(&path));
    path
}

pub fn checked(text: &str, registry: &Registry) -> Checked {
    Spec::from_toml(text).unwrap().check(registry).unwrap()
}

pub fn go(registry: &Registry, spec: &Checked, out: &Path) -> Summary {
    let cancel = AtomicBool::new(false);
    run(
        registry,
        spec,
        out,
        Control {
            observer: &mut (),
            cancel: &cancel,
        },
    )
    .unwrap()
}

pub fn go_on(registry: &Registry, run: &Path) -> Summary {
    let cancel = AtomicBool::new(false);
    resume(
        registry,
        run,
        Control {
            observer: &mut (),
            cancel: &cancel,
        },
    )
    .unwrap()
}

/// Cancels after some candidates.
pub struct StopAfter<'a> {
    pub candidates: u64,
    pub cancel: &'a AtomicBool,
    pub images: Vec<PathBuf>,
    pub notes: Vec<String>,
}

impl<'a> StopAfter<'a> {
    pub fn new(candidates: u64, cancel: &'a AtomicBool) -> Self {
        Self {
            candidates,
            cancel,
            images: Vec::new(),
            notes: Vec::new(),
        }
    }
}

impl Observer for StopAfter<'_> {
    fn progress(&mut self, progress: &Progress) {
        assert!((0.0..=1.0).contains(&progress.fraction()));
        if progress.candidates >= self.candidates {
            self.cancel.store(true, Ordering::Relaxed);
        }
    }

    fn image(&mut self, path: &Path) {
        assert!(path.exists());
        self.images.push(path.to_owned());
    }

    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }
}

#[test]
fn every_search_ends_with_an_answer_that_verifies() {
    let out = scratch("ends");
    for text in SPECS {
        let registry = registry();
        let spec = checked(text, &registry);
        let summary = go(&registry, &spec, &out);
        assert!(
            matches!(summary.stop, StopReason::Budget | StopReason::Exhausted),
            "{text}"
        );
        let (best, baseline) = (summary.best.unwrap(), summary.baseline.unwrap());
        assert_eq!(best.recipe.id(), best.id);
        let first = &spec.verifiers[0];
        if spec.verifiers.len() == 1 {
            assert!(best.scores[first] >= baseline.scores[first], "{text}");
        }
        assert_eq!(summary.kept.len(), spec.count.min(summary.kept.len()));
        for name in [
            "run.toml",
            "best.png",
            "grid.png",
            "report.html",
            "summary.json",
        ] {
            assert!(summary.run.join(name).exists(), "{text}: {name}");
        }
        assert!(summary.kept.iter().all(|kept| kept.image.exists()));
        let images = std::fs::read_dir(summary.run.join("images"))
            .unwrap()
            .count();
        assert_eq!(
            images,
            summary.kept.len(),
            "{text}: rejected images are removed"
        );
        let one = verify(&registry, &summary.run, false).unwrap();
        assert_eq!(
            (one.candidates, one.pictures, one.mismatches),
            (2, 2, vec![]),
            "{text}"
        );
        let all = verify(&registry, &summary.run, true).unwrap();
        assert!(
            all.candidates > 20 && all.mismatches.is_empty(),
            "{text}: {all:?}"
        );
        assert!(report(&registry, &summary.run).unwrap().exists());
    }
    std::fs::remove_dir_all(out).unwrap();
}

/// N5: what is billed is what is asked for, and what is spent is what the denoiser saw.
#[test]
fn billed_and_spent_are_counted_exactly() {
    let out = scratch("counts");
    for text in SPECS {
        let counts: Arc<Counts> = Arc::default();
        let registry = registry_counting(&counts);
        let spec = checked(text, &registry);
        let summary = go(&registry, &spec, &out);
        let (billed, spent) = (summary.billed, summary.spent);
        assert_eq!(spent.search_nfe + spent.final_nfe, counts.rows(), "{text}");
        assert_eq!(spent.verifier_calls, counts.scored(), "{text}");
        let passes = if spec.guidance == 1.0 { 1 } else { 2 };
        assert_eq!(spent.passes, passes * counts.rows(), "{text}");
        assert_eq!(
            billed.passes,
            passes * (billed.search_nfe + billed.final_nfe),
            "{text}"
        );
        // The baseline is spent beyond what is billed, unless it is the first candidate.
        let own = spec.search.name() != "paths" && spec.terms().unwrap().finals() == 0;
        let whole = spec
            .nfe_rule()
            .nfe(spec.steps, noisesearch_core::level::Level::CLEAN);
        let baseline = if own { 0 } else { whole };
        assert_eq!(spent.search_nfe, billed.search_nfe, "{text}");
        assert_eq!(spent.final_nfe, billed.final_nfe + baseline, "{text}");
        // Once a number format.
        let encoded = 1 + u64::from(spec.files.is_ladder());
        assert_eq!(counts.encoded.load(Ordering::Relaxed), encoded, "{text}");
    }
    std::fs::remove_dir_all(out).unwrap();
}

#[test]
fn a_picture_tells_how_it_was_made() {
    let out = scratch("texts");
    let registry = registry();
    let spec = checked("prompt = \"rot & <π>\"\nbudget = \"8evals\"", &registry);
    let summary = go(&registry, &spec, &out);
    let bytes = std::fs::read(summary.run.join("best.png")).unwrap();
    let (_, texts) = noisesearch::picture::Picture::from_png(&bytes).unwrap();
    let parameters = &texts.iter().find(|(key, _)| key == "parameters").unwrap().1;
    assert!(parameters.starts_with("rot & <π>\nNegative prompt: \nSteps: 6, Sampler: euler"));
    let (_, record) = noisesearch::record::Record::read(&bytes).unwrap();
    let best = summary.best.unwrap();
    assert_eq!((record.recipe, record.scores), (best.recipe, best.scores));
    let html = std::fs::read_to_string(summary.run.join("report.html")).unwrap();
    assert!(html.contains("rot &amp; &lt;π&gt;") && !html.contains("<π>"));
    for outside in ["http:", "https:", "<script", "src=\"/"] {
        assert!(!html.contains(outside), "{outside}");
    }
    std::fs::remove_dir_all(out).unwrap();
}

#[test]
fn targets_and_time_end_a_run() {
    let out = scratch("targets");
    let registry = registry();
    let enough = "prompt = \"a\"\nuntil = \"bright=0.0\"";
    let summary = go(&registry, &checked(enough, &registry), &out);
    assert_eq!((summary.stop, summary.kept.len()), (StopReason::Target, 1));
    let short = "prompt = \"a\"\nbudget = \"0.000001s\"";
    let summary = go(&registry, &checked(short, &registry), &out);
    assert_eq!(summary.stop, StopReason::Budget);
    assert!(summary.best.is_some(), "at least one batch");
    let again = go_on(&registry, &summary.run);
    assert_eq!(
        (again.billed, again.best),
        (summary.billed, summary.best),
        "stays stopped"
    );
    std::fs::remove_dir_all(out).unwrap();
}

/// R9: a row that becomes NaN fails alone; the run goes on and the answer is finite.
#[test]
fn broken_rows_fail_alone() {
    let out = scratch("nan");
    let registry = registry();
    let whole = go(
        &registry,
        &checked("prompt = \"a\"\nbudget = \"40evals\"", &registry),
        &out,
    );
    let broken = checked("prompt = \"a nan\"\nbudget = \"40evals\"", &registry);
    let summary = go(&registry, &broken, &out);
    let journal = std::fs::read_to_string(summary.run.join("journal.jsonl")).unwrap();
    let failed = journal.matches("\"non_finite\"").count();
    assert!((5..35).contains(&failed), "{failed} of 40 failed");
    assert!(journal.contains("\"evaluation\":5") || journal.contains("\"evaluation\":4"));
    // Survivors are what they are without broken neighbours.
    let lines = |summary: &Summary| {
        let text = std::fs::read_to_string(summary.run.join("journal.jsonl")).unwrap();
        let told = text.split("{\"job\":").skip(1);
        told.map(|t| t.split("}}").next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (before, after) = (lines(&whole), lines(&summary));
    assert_eq!((before.len(), after.len()), (40, 40));
    let same = before.iter().zip(&after).filter(|(a, b)| a == b).count();
    assert_eq!(same, 40 - failed);
    assert!(summary.best.unwrap().scores["bright"].is_finite());
    std::fs::remove_dir_all(out).unwrap();
}

#[test]
fn errors_come_before_anything_is_written() {
    let out = scratch("early");
    let registry = registry();
    let cancel = AtomicBool::new(false);
    let spec = checked("prompt = \"a xyzzy\"", &registry);
    let error = run(
        &registry,
        &spec,
        &out,
        Control {
            observer: &mut (),
            cancel: &cancel,
        },
    );
    let error = error.unwrap_err();
    assert_eq!(error.kind(), noisesearch::ErrorKind::Refused);
    assert!(error.to_string().contains("nearest: red") && !out.exists());
    // More than fits in the first line of a journal.
    let long = "v".repeat(70_000);
    let mut wide = crate::fake::registry();
    let bright = wide.verifiers[0].clone();
    let name = long.clone();
    wide.verifiers.push(VerifierEntry { name, ..bright });
    let spec = checked(&format!("prompt = \"a\"\nverifiers = [\"{long}\"]"), &wide);
    let control = Control {
        observer: &mut (),
        cancel: &cancel,
    };
    let error = run(&wide, &spec, &out, control).unwrap_err();
    assert_eq!(error.kind(), noisesearch::ErrorKind::Refused);
    assert!(error.to_string().contains("a journal line of ") && !out.exists());
    let missing = resume(
        &registry,
        &out,
        Control {
            observer: &mut (),
            cancel: &cancel,
        },
    );
    assert_eq!(missing.unwrap_err().kind(), noisesearch::ErrorKind::Usage);
    assert_eq!(
        verify(&registry, &out, false).unwrap_err().kind(),
        noisesearch::ErrorKind::Usage
    );
}
