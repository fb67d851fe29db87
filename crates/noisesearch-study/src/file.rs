//! What a study asks: the TOML form.
//!
//! A *cell* is one run of one search on one task with one seed. Its settings are those of the
//! point, laid over those of the arm, laid over those of the study (`base`); all three are a
//! [`Spec`], the same keys as `run.toml`. Cells of one task and seed are compared with each other,
//! so every difference is paired.

use noisesearch::spec::Spec;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A whole study.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StudyFile {
    /// The heading of its report.
    pub title: String,
    /// What was found elsewhere and is asked here, in one sentence.
    pub statement: String,
    /// Where it was found: paper and figure.
    pub source: String,
    /// What its authors make of the results, printed with them: why it holds or does not.
    #[serde(default)]
    pub remark: Option<String>,
    /// On what it is tried.
    pub tasks: Tasks,
    /// Settings of every cell.
    #[serde(default)]
    pub base: Spec,
    /// What is compared: one line of a figure, or one row of a table, each.
    #[serde(rename = "arm")]
    pub arms: Vec<Arm>,
    /// What must hold if the statement does.
    #[serde(default, rename = "claim")]
    pub claims: Vec<Claim>,
    /// What is drawn.
    #[serde(default, rename = "figure")]
    pub figures: Vec<Figure>,
}

/// The tasks of a study, each tried with every seed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tasks {
    /// Prompts: a text file (one a line), a CSV file with a column `prompt` and maybe `category`,
    /// or JSON lines with those keys. Relative to the study's file.
    #[serde(default)]
    pub prompts: Option<PathBuf>,
    /// Classes by name.
    #[serde(default)]
    pub classes: Option<Vec<String>>,
    /// How many tasks, in the file's order; all of them by default.
    #[serde(default)]
    pub count: Option<usize>,
    /// How many seeds a task, 1 by default; they count from the seed of the cell.
    #[serde(default = "one")]
    pub seeds: u64,
    /// What a quick run takes instead of `count` and `seeds`.
    #[serde(default)]
    pub quick: Option<Quick>,
}

/// The size of a quick run: the same code, wider intervals.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quick {
    /// Tasks.
    #[serde(default)]
    pub count: Option<usize>,
    /// Seeds a task.
    #[serde(default = "one")]
    pub seeds: u64,
}

/// One way to spend compute.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Arm {
    /// Its name in figures and selectors.
    pub name: String,
    /// Settings of its cells.
    #[serde(default)]
    pub spec: Spec,
    /// How its answers are chosen among their candidates; the best by the objective by default.
    #[serde(default)]
    pub choose: Option<Choice>,
    /// Its points from cheap to dear, such as growing budgets or steps. Points that ask for the
    /// same candidates share their cost: a curve costs its last point.
    pub points: Vec<Spec>,
}

/// A choice that its search does not make: candidates are drawn at random, and answers chosen
/// among them one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// The candidate with which the answers so far have the lowest FID: the paper's greedy oracle
    /// (`greedy.rs`).
    Fid,
}

/// A statement that the numbers can support or contradict: the weighted sum of a measure over
/// `contrast` is above zero.
///
/// It holds when the whole 95 % interval of the sum is above zero, does not hold when the whole
/// interval is at or below zero, and cannot be told otherwise.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Claim {
    /// In words.
    pub says: String,
    /// Name of a verifier, `pass:VERIFIER`, `rank:VERIFIER`, or one of `fid`, `is`, `precision`,
    /// `recall`.
    pub measure: String,
    /// Weight by selector. A selector is `ARM@POINT`: the point's place counted from 0, from the
    /// end with a minus (`random@-1` is the dearest).
    pub contrast: BTreeMap<String, f64>,
    /// Only tasks of this category.
    #[serde(default)]
    pub category: Option<String>,
}

/// One figure.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Figure {
    /// Its file's stem.
    pub name: String,
    /// Its heading.
    pub title: String,
    /// How it is drawn.
    pub kind: FigureKind,
    /// The cost axis of curves.
    #[serde(default)]
    pub x: CostAxis,
    /// Measures, as in [`Claim::measure`]; one panel or one column each.
    pub measures: Vec<String>,
    /// Names of the arms that are shown, all by default.
    #[serde(default)]
    pub arms: Option<Vec<String>>,
    /// Published values: a CSV file with columns `arm,x,measure,value`, drawn beside ours.
    #[serde(default)]
    pub overlay: Option<PathBuf>,
}

/// How a figure is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FigureKind {
    /// Measure against cost, one curve an arm, with intervals.
    Curves,
    /// Arms by measures at their last points, as relative gain over the first point of the first
    /// arm: the form of the paper's Table 2 and Fig. 8.
    Matrix,
    /// Arms by categories of tasks at their last points: the form of Table 1.
    Categories,
    /// The best curve over several arms: for every cost, which arm is best (Fig. 10).
    Frontier,
}

/// What a sample cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CostAxis {
    /// Every evaluation that was billed: search and final.
    #[default]
    TotalNfe,
    /// As the paper plots it: the final generation, and one candidate less.
    PaperNfe,
    /// Candidates of the search.
    Candidates,
    /// Network passes: 2 for a guided evaluation.
    Passes,
    /// Passes by the network's GFLOP a pass: comparable between models.
    Gflop,
    /// Measured seconds.
    Seconds,
}

fn one() -> u64 {
    1
}
