//! Made-up studies whose truth is known.

use crate::file::StudyFile;
use crate::row::{Cost, Pool, Row};
use noisesearch_core::noise::Stream;
use std::collections::BTreeMap;

/// Two arms of three points each; `random` is tried at 1, 4 and 16 candidates.
pub const FILE: &str = r#"
title = "Search keeps improving"
statement = "Search keeps improving where steps do not"
source = "arXiv 2501.09732, figure 1"
remark = "Made up."
[tasks]
prompts = "prompts.csv"
[base]
verifiers = ["clip"]
watch = ["grader"]
[[arm]]
name = "steps"
points = [{ steps = 4 }, { steps = 16 }, { steps = 64 }]
[[arm]]
name = "random"
points = [{ budget = "1evals" }, { budget = "4evals" }, { budget = "16evals" }]
[[claim]]
says = "search gains more than steps do"
measure = "clip"
contrast = { "random@-1" = 1.0, "random@0" = -1.0, "steps@-1" = -1.0, "steps@0" = 1.0 }
[[claim]]
says = "steps help the grader"
measure = "pass:grader"
contrast = { "steps@2" = 1, "steps@0" = -1 }
[[figure]]
name = "scaling"
title = "Steps against search"
kind = "curves"
measures = ["clip", "pass:grader"]
[[figure]]
name = "matrix"
title = "Verifier by metric"
kind = "matrix"
measures = ["clip", "pass:grader"]
[[figure]]
name = "categories"
title = "By category"
kind = "categories"
measures = ["pass:grader"]
[[figure]]
name = "frontier"
title = "Where to spend"
kind = "frontier"
measures = ["clip"]
"#;

/// A study's file from its text.
pub fn file(text: &str) -> StudyFile {
    toml::from_str(text).unwrap()
}

/// The rows of `file` for `tasks` prompts of three categories; `truth(arm, point)` is the mean of
/// `clip`, and tasks differ by 0.2 times a normal number that all arms share, and 0.02 times one of
/// their own. The grader passes above 0.5.
pub fn rows(file: &StudyFile, tasks: usize, truth: &dyn Fn(usize, usize) -> f64) -> Vec<Row> {
    let mut rows = Vec::new();
    let shared = Stream::initial(1).normals(tasks);
    for (task, shared) in shared.iter().enumerate() {
        for (arm, table) in file.arms.iter().enumerate() {
            for point in 0..table.points.len() {
                let own =
                    Stream::initial((1000 * arm + 10 * point + 2) as u64).normals(tasks)[task];
                let clip = truth(arm, point) + f64::from(0.2 * shared + 0.02 * own);
                let mut row = row(&table.name, point, (task, clip));
                for name in crate::check::verifiers(file) {
                    row.scores
                        .entry(name.to_owned())
                        .or_insert(2.0 * clip - 0.3);
                }
                rows.push(row);
            }
        }
    }
    rows
}

fn row(arm: &str, point: usize, (task, clip): (usize, f64)) -> Row {
    let candidates = 4u64.pow(point as u32);
    let pool = |correlation| Pool {
        candidates,
        mean: clip - 0.1,
        deviation: 0.1,
        correlation,
    };
    Row {
        study: "made-up".into(),
        arm: arm.into(),
        point,
        task: format!("task {task}"),
        category: Some(["colour", "numeracy", "spatial"][task % 3].into()),
        seed: 7,
        cost: Cost {
            candidates,
            search_nfe: 16 * candidates,
            final_nfe: 0,
            paper_nfe: 16 * candidates,
            passes: 32 * candidates,
            gflop: None,
            seconds: candidates as f64,
        },
        recipe: "root 1 | solve".into(),
        scores: BTreeMap::from([("clip".into(), clip), ("grader".into(), clip.min(1.0))]),
        passes: BTreeMap::from([("grader".into(), clip > 0.5)]),
        optimised: vec!["clip".into()],
        pool: BTreeMap::from([("clip".into(), pool(1.0)), ("grader".into(), pool(0.6))]),
        ranks: Default::default(),
        again: Default::default(),
        features: Vec::new(),
    }
}
