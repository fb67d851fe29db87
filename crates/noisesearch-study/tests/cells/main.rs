//! Whole studies on the cheapest model of the lab: what they share, what they give, what they
//! refuse.

mod chosen;
mod scratch;

use noisesearch::registry::{Judges, Registry, VerifierEntry};
use noisesearch::spec::Spec;
use noisesearch::summary::Summary;
use noisesearch_models::task::Task;
use noisesearch_study::StudyError;
use noisesearch_study::row::Row;
use noisesearch_study::study::{Options, Verdict, run};
use noisesearch_study::watch::{Control, Observer, Progress};
use noisesearch_verifiers::verifier::{Samples, Verifier, VerifierId};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use scratch::{BASE, HEAD, OTHERS, RANDOM, Scratch, TASKS};

#[test]
fn points_arms_and_studies_share_what_is_known() {
    let scratch = Scratch::new("share");
    let study = |name, more: &str| scratch.file(name, &[HEAD, TASKS, BASE, RANDOM, more]);
    let curve = study("curve.toml", "");
    let report = scratch.done(&curve);
    // Two tasks, two seeds: a curve of 1, 2 and 4 candidates costs its last point.
    assert_eq!((report.cells, report.rows, report.made), (12, 12, 4 * 4));
    let rows = scratch.rows("curve");
    let costs: Vec<_> = rows[..3].iter().map(|row| row.cost.candidates).collect();
    assert_eq!(costs, [1, 2, 4]);
    assert_eq!((rows[2].cost.search_nfe, rows[2].cost.passes), (8, 16));
    assert!(rows[2].scores["classifier"] >= rows[0].scores["classifier"]);
    assert_eq!(rows[0].features.len(), 64);
    let again = scratch.done(&curve);
    assert_eq!((again.made, scratch.rows("curve")), (0, rows));
    // Another objective over the same candidates asks for nothing new.
    let other = "[[arm]]\nname = \"self\"\nspec = { verifiers = [\"self\"] }\n\
                 points = [{ budget = \"4evals\" }]\n";
    assert_eq!(scratch.done(&study("other.toml", other)).made, 0);
    // Zero-order search begins with the first noise of random search.
    let climb = "[[arm]]\nname = \"climb\"\npoints = [{ budget = \"3evals\", \
                 search = { method = \"zero-order\", neighbours = 2 } }]\n";
    assert_eq!(scratch.done(&study("climb.toml", climb)).made, 4 * 2);
}

/// Candidates of a ladder are made in f32 as well where a figure asks how both formats order them,
/// and share those of other arms.
#[test]
fn a_ladder_tells_how_formats_order_its_candidates() {
    let scratch = Scratch::new("ladder");
    let arm = "[[arm]]\nname = \"ladder\"\nspec = { search-dtype = \"bf16-pair\", count = 2 }\n\
               points = [{ budget = \"6evals\" }]\n";
    let figure = "[[figure]]\nname = \"r\"\ntitle = \"r\"\nkind = \"curves\"\n\
                  measures = [\"rank:classifier\"]\n";
    let plain = scratch.file("plain.toml", &[HEAD, TASKS, BASE, RANDOM, arm]);
    scratch.done(&plain);
    assert!(scratch.rows("plain").iter().all(|row| row.ranks.is_empty()));
    let fresh = Scratch::new("ladder-ranks");
    let asked = fresh.file("asked.toml", &[HEAD, TASKS, BASE, RANDOM, arm, figure]);
    // Four in f32, six in bf16, and these six in f32, four of which are there.
    assert_eq!(fresh.done(&asked).made, 4 * (4 + 6 + 2));
    for row in fresh.rows("asked") {
        match (row.arm.as_str(), row.ranks.get("classifier")) {
            ("ladder", Some(&rank)) => assert!(rank > 0.7 && row.ranks.len() == 3, "{rank}"),
            (_, Some(&rank)) => assert!((rank - 1.0).abs() < 1e-12, "{rank}"),
            // One candidate has no order.
            (arm, None) => assert_eq!((arm, row.point), ("random", 0)),
        }
    }
}

/// The answer of a cell is the answer of `noisesearch generate` with the same settings.
#[test]
fn a_cell_is_a_run() {
    let scratch = Scratch::new("run");
    scratch.done(&scratch.file("all.toml", &[HEAD, TASKS, BASE, RANDOM, OTHERS]));
    let (rows, registry) = (scratch.rows("all"), Registry::builtin());
    assert_eq!(rows.len(), 2 * 2 * 10);
    let base = BASE.strip_prefix("[base]\n").unwrap();
    let table: toml::Table = toml::from_str(&[RANDOM, OTHERS].concat()).unwrap();
    for row in rows.iter().filter(|row| row.seed == 1) {
        let arms = table["arm"].as_array().unwrap();
        let arm = arms
            .iter()
            .find(|arm| arm["name"].as_str() == Some(&row.arm))
            .unwrap();
        let point: Spec = arm["points"][row.point].clone().try_into().unwrap();
        let shared: Option<Spec> = arm.get("spec").map(|spec| spec.clone().try_into().unwrap());
        let base = Spec::from_toml(base).unwrap();
        let mut spec = point.over(shared.unwrap_or_default().over(base));
        spec.watch = None;
        spec.class = Some(row.task.clone());
        spec.seed = Some(row.seed);
        let checked = spec.check(&registry).unwrap();
        let summary = generated(&registry, &checked, &scratch.0.join("runs"));
        let best = summary.best.unwrap();
        let place = format!("{} {} {}", row.arm, row.point, row.task);
        assert_eq!(row.recipe, best.recipe.to_string(), "{place}");
        for (name, score) in &best.scores {
            assert_eq!(row.scores[name], *score, "{place}, {name}");
        }
        let cost = (row.cost.search_nfe, row.cost.final_nfe, row.cost.passes);
        let billed = summary.billed;
        assert_eq!(
            cost,
            (billed.search_nfe, billed.final_nfe, billed.passes),
            "{place}"
        );
    }
}

fn generated(registry: &Registry, spec: &noisesearch::spec::Checked, out: &Path) -> Summary {
    let control = noisesearch::observe::Control {
        observer: &mut (),
        cancel: &AtomicBool::new(false),
    };
    noisesearch::run(registry, spec, out, control).unwrap()
}

/// Stops after so many reports of progress.
struct Stopper<'a> {
    left: u32,
    cancel: &'a AtomicBool,
}

impl Observer for Stopper<'_> {
    fn progress(&mut self, progress: &Progress) {
        assert!((0.0..=1.0).contains(&progress.fraction) && progress.cells <= progress.of);
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.cancel.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn stopped_anywhere_it_goes_on_to_the_same_rows() {
    let whole = Scratch::new("whole");
    let parts = [HEAD, TASKS, BASE, RANDOM, OTHERS];
    let made = whole.done(&whole.file("all.toml", &parts)).made;
    let stopped = Scratch::new("stopped");
    let file = stopped.file("all.toml", &parts);
    let mut stops = 0;
    loop {
        let cancel = AtomicBool::new(false);
        let mut stopper = Stopper {
            left: 4,
            cancel: &cancel,
        };
        match stopped.watched(&file, &mut stopper, &cancel).unwrap() {
            Verdict::Cancelled => stops += 1,
            Verdict::Done(_) => break,
        }
        assert!(!stopped.0.join("out/all/results.jsonl").exists());
        assert!(stops < 100, "it does not get on");
        if stops == 3 {
            break;
        }
    }
    let rest = stopped.done(&file).made;
    assert!(
        stops >= 3 && rest < made,
        "{rest} of {made} after {stops} stops"
    );
    assert_eq!(stopped.rows("all"), whole.rows("all"));
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_written() {
    let scratch = Scratch::new("refused");
    let says = |parts: &[&str], words: &[&str]| scratch.says(parts, words);
    says(
        &[HEAD, TASKS, "[bse]\n", RANDOM],
        &["unknown field `bse`", "line 8"],
    );
    says(
        &[HEAD, TASKS, BASE, RANDOM, "spce = {}\n"],
        &["unknown field `spce`"],
    );
    says(
        &[HEAD, TASKS, BASE, "[[arm]]\nname = \"a\"\npoints = []\n"],
        &["arm `a` has no points"],
    );
    let two = "[[arm]]\nname = \"a\"\npoints = [{ steps = 0 }, { verifiers = [\"beauty\"] }]\n";
    says(
        &[HEAD, TASKS, BASE, two],
        &[
            "arm `a`, point 0: steps is 0",
            "arm `a`, point 1: unknown verifier `beauty`",
        ],
    );
    says(
        &[HEAD, "[tasks]\nclasses = [\"Q\", \"QQ\"]\n", BASE, RANDOM],
        &["task \"QQ\"", "0-9"],
    );
    says(
        &[HEAD, "[tasks]\nprompts = \"none.txt\"\n", BASE, RANDOM],
        &["cannot read", "none.txt"],
    );
    says(
        &[HEAD, "[tasks]\n", BASE, RANDOM],
        &["neither prompts nor classes"],
    );
    says(
        &[HEAD, "[tasks]\nclasses = []\n", BASE, RANDOM],
        &["no task is left"],
    );
    let class = "[[arm]]\nname = \"a\"\npoints = [{ class = \"Q\" }]\n";
    says(
        &[HEAD, TASKS, BASE, class],
        &["point 0: a prompt or class among its settings"],
    );
    let seeds = "[tasks]\nclasses = [\"Q\"]\nseeds = 9223372036854775807\n";
    says(&[HEAD, seeds, BASE, RANDOM], &["at most 1000000"]);
    let climbs = "[[arm]]\nname = \"a\"\npoints = [{ verifiers = [\"self\"], \
                  search = { method = \"first-order\" } }]\n";
    says(
        &[HEAD, TASKS, BASE, RANDOM, climbs],
        &["self", "classifier"],
    );
}

#[test]
fn another_study_and_damage_are_left_as_they_are() {
    let scratch = Scratch::new("left");
    let file = scratch.file("one.toml", &[HEAD, TASKS, BASE, RANDOM]);
    scratch.done(&file);
    let results = scratch.0.join("out/one/results.jsonl");
    let before = std::fs::read(&results).unwrap();
    scratch.file(
        "one.toml",
        &[
            HEAD,
            TASKS,
            BASE,
            RANDOM,
            "[[arm]]\nname = \"b\"\npoints = [{}]\n",
        ],
    );
    let error = scratch.go(&file).err().unwrap();
    assert!(matches!(error, StudyError::Another(_)), "{error}");
    assert_eq!(std::fs::read(&results).unwrap(), before);
    scratch.file("one.toml", &[HEAD, TASKS, BASE, RANDOM]);
    let known = scratch.0.join("out/known.jsonl");
    let mut bytes = std::fs::read(&known).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&known, &bytes).unwrap();
    let error = scratch.go(&file).err().unwrap();
    assert_eq!(error.kind(), noisesearch::ErrorKind::Damaged, "{error}");
    assert_eq!(std::fs::read(&known).unwrap(), bytes);
}

#[test]
fn a_quick_run_and_images() {
    let scratch = Scratch::new("images");
    let file = scratch.file("one.toml", &[HEAD, TASKS, BASE, RANDOM]);
    let options = Options {
        quick: true,
        images: true,
        ..scratch.options()
    };
    let mut control = Control {
        observer: &mut (),
        cancel: &AtomicBool::new(false),
    };
    run(&Registry::builtin(), &[file], &options, &mut control).unwrap();
    assert_eq!(scratch.rows("one-quick").len(), 3);
    let images = scratch.0.join("out/one-quick/images/random@2");
    let metadata = std::fs::read_to_string(images.join("00000/metadata.jsonl")).unwrap();
    assert_eq!(metadata, "{\"prompt\":\"Q\"}");
    let png = std::fs::read(images.join("00000/samples/0000.png")).unwrap();
    assert_eq!(
        std::fs::read(images.join("samples/Q_000000.png")).unwrap(),
        png
    );
    let (picture, _) = noisesearch::picture::Picture::from_png(&png).unwrap();
    assert_eq!(
        (picture.width, picture.height, picture.channels),
        (32, 32, 1)
    );
    // It is the answer: the classifier sees in it what the row says.
    let rows = scratch.rows("one-quick");
    assert!(rows[2].scores["oracle"] > 0.0);
}

/// Regression: what is said of few samples by `noisesearch fid` was not said of a study's answers.
#[test]
fn few_answers_for_a_measure_are_said() {
    let scratch = Scratch::new("few");
    let figure = "[[figure]]\nname = \"f\"\ntitle = \"f\"\nkind = \"curves\"\n\
                  measures = [\"fid\", \"is\", \"recall\"]\n";
    scratch.done(&scratch.file("one.toml", &[HEAD, TASKS, BASE, RANDOM, figure]));
    for page in ["one/report.html", "findings.md"] {
        let page = std::fs::read_to_string(scratch.0.join("out").join(page)).unwrap();
        for words in [
            "4 samples are too few for 64 features",
            "4 samples are few for 36 classes",
            "4 samples are few: precision and recall vary by chance",
        ] {
            assert!(page.contains(words), "{words}");
        }
    }
}

/// A verifier that answers differently each time: darkness, and an error of its own.
struct Moody(VerifierId, AtomicU64);

impl Moody {
    fn look(&self, samples: &Samples, sign: f64) -> candle_core::Result<Vec<f64>> {
        let means = samples.images.flatten_from(1)?.mean(1)?.to_vec1::<f32>()?;
        self.1.fetch_add(means.len() as u64, Ordering::Relaxed);
        // An error that is a function of the picture, and another one at the second look.
        let error = |mean: f32| sign * (f64::from(mean) * 1e4).sin();
        Ok(means.into_iter().map(|m| error(m) - f64::from(m)).collect())
    }
}

impl Verifier for Moody {
    fn id(&self) -> &VerifierId {
        &self.0
    }
    fn score(&self, _: &Task, samples: &Samples) -> candle_core::Result<Vec<f64>> {
        self.look(samples, 1.0)
    }
    fn varies(&self) -> bool {
        true
    }
    fn score_afresh(&self, _: &Task, samples: &Samples) -> candle_core::Result<Vec<f64>> {
        self.look(samples, -1.0)
    }
}

#[test]
fn a_verifier_that_varies_is_asked_again_about_answers_only() {
    let scratch = Scratch::new("again");
    let base = BASE.replace("[\"classifier\"]", "[\"moody\"]");
    let file = scratch.file("one.toml", &[HEAD, TASKS, &base, RANDOM]);
    let id = VerifierId {
        name: "moody".into(),
        weights: String::new(),
        version: 1,
    };
    let moody = Arc::new(Moody(id, AtomicU64::new(0)));
    let mut registry = Registry::builtin();
    let opened = moody.clone();
    registry.verifiers.push(VerifierEntry {
        name: "moody".into(),
        about: "answers differently each time".into(),
        judges: Judges::Family("glyphs"),
        open: Arc::new(move || Ok(Box::new(opened.clone()))),
    });
    let go = || {
        let mut control = Control {
            observer: &mut (),
            cancel: &AtomicBool::new(false),
        };
        let files = [file.clone()];
        run(&registry, &files, &scratch.options(), &mut control).unwrap()
    };
    go();
    let rows = scratch.rows("one");
    let answers: BTreeSet<(&str, u64, &str)> = rows
        .iter()
        .map(|row| (row.task.as_str(), row.seed, row.recipe.as_str()))
        .collect();
    // Four candidates of each of four tasks with seeds, and each different answer once more.
    let asked = moody.1.load(Ordering::Relaxed);
    assert_eq!(asked, 16 + answers.len() as u64);
    for row in &rows {
        assert_eq!(row.again.keys().collect::<Vec<_>>(), ["moody"]);
        assert_ne!(row.again["moody"], row.scores["moody"]);
    }
    let mean = |of: &dyn Fn(&Row) -> f64| rows.iter().map(of).sum::<f64>() / rows.len() as f64;
    let (selected, again) = (mean(&|r| r.scores["moody"]), mean(&|r| r.again["moody"]));
    assert!(selected > again, "{selected} was selected, {again} is left");
    let page = std::fs::read_to_string(scratch.0.join("out/one/report.html")).unwrap();
    assert!(page.contains("asked again"));
    // What was said is known: nothing is asked when the study is run once more.
    go();
    assert_eq!(moody.1.load(Ordering::Relaxed), asked);
    assert_eq!(scratch.rows("one"), rows);
}
