//! Why a spec is refused.

use crate::goal::{Goal, UnknownGoal};
use crate::limits::CONFIG_BYTES_MAX;
use noisesearch_core::budget::BudgetError;
use noisesearch_core::objective::ObjectiveError;
use noisesearch_core::recipe::VerifierNameError;
use noisesearch_core::search::SearchError;
use noisesearch_models::solver::UnknownSolver;
use std::path::PathBuf;

/// Why a spec is refused. Every message names the key and what would be right.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// Not TOML, an unknown key or a wrong type.
    #[error("{0}")]
    Toml(String),
    /// A config file larger than any config.
    #[error("the config has {0} bytes; at most {CONFIG_BYTES_MAX} are read")]
    TooLarge(usize),
    /// Neither prompt nor class.
    #[error("nothing is asked for: give a prompt, or a class for a class-conditional model")]
    NoTask,
    /// Both prompt and class.
    #[error("both a prompt and a class are given; give one of them")]
    TwoTasks,
    /// The model takes the other kind of task.
    #[error("model `{model}` takes a {takes}, not a {given}; models that do: {others}")]
    WrongTask {
        /// The model.
        model: String,
        /// `prompt` or `class`.
        takes: &'static str,
        /// `prompt` or `class`.
        given: &'static str,
        /// Models that take what was given.
        others: String,
    },
    /// A name that is not in the registry.
    #[error("unknown {what} `{name}`; known: {known}")]
    Unknown {
        /// Model, verifier or search.
        what: &'static str,
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The same verifier twice.
    #[error("verifier `{0}` is named twice; name it once, under verifiers or under watch")]
    Twice(String),
    /// An empty list of verifiers.
    #[error("no verifier is optimised; name at least one")]
    NoVerifier,
    /// A number outside its range.
    #[error("{key} is {value}; it must be {range}")]
    Range {
        /// The key.
        key: &'static str,
        /// The value given.
        value: String,
        /// What is allowed.
        range: String,
    },
    /// A setting that the algorithm does not have, or a wrong type.
    #[error("search {method}: {problem}")]
    Search {
        /// The algorithm.
        method: String,
        /// What is wrong.
        problem: String,
    },
    /// Settings that this search cannot run with, such as a budget below one candidate.
    #[error(transparent)]
    Terms(#[from] SearchError),
    /// No such solver.
    #[error(transparent)]
    Solver(#[from] UnknownSolver),
    /// A bad objective.
    #[error(transparent)]
    Objective(#[from] ObjectiveError),
    /// A bad budget or target.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// The objective reads a verifier that is only watched.
    #[error("the objective reads `{0}`, which is only watched; name it under verifiers")]
    Watched(String),
    /// A setting that only models on the disk have.
    #[error("{key} is given, but model `{model}` is part of the program and has its own")]
    Fixed {
        /// The key.
        key: String,
        /// The model.
        model: String,
    },
    /// A path for something that the run does not use.
    #[error("weights are given for `{name}`, which this run does not use; it uses {used}")]
    Unused {
        /// The name given.
        name: String,
        /// What could be given.
        used: String,
    },
    /// A model on the disk that cannot be used.
    #[error("model `{name}`: {problem}")]
    Model {
        /// The name typed.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A published model that is not on the disk.
    #[error("model `{name}` is not on this disk (looked in {}): {help}", looked.display())]
    Missing {
        /// Its name.
        name: String,
        /// The cache of downloads.
        looked: PathBuf,
        /// What it is and how to get it.
        help: String,
    },
    /// A device that is not there.
    #[error("device {name}: {problem}")]
    Device {
        /// As typed.
        name: String,
        /// Why it cannot be used.
        problem: String,
    },
    /// A model on the disk without a verifier.
    #[error(
        "no verifier is named for model `{model}`; name one, for example --verifier clipscore or \
         --verifier cmd:./score.py\n{help}"
    )]
    NoDefault {
        /// The model.
        model: String,
        /// The usual verifier and how to get it.
        help: String,
    },
    /// No such goal.
    #[error(transparent)]
    Goal(#[from] UnknownGoal),
    /// A goal beside what it stands for.
    #[error("goal {goal} chooses verifiers and objective; give it or them, not both")]
    GoalAndJudges {
        /// The goal.
        goal: Goal,
    },
    /// A goal that nothing on this disk serves.
    #[error(
        "nothing here judges by goal {goal} for model `{model}`; these would: {wanted}; \
         `noisesearch verifiers` says which there are and how to get them"
    )]
    NoJudge {
        /// The goal.
        goal: Goal,
        /// The model.
        model: String,
        /// Verifiers that serve it.
        wanted: String,
    },
    /// A search that follows a gradient which is not to be had.
    #[error(
        "search {search} needs a gradient, and {what} `{name}` has none; {what}s that do: {able}"
    )]
    NoGradient {
        /// The search.
        search: &'static str,
        /// Model or verifier.
        what: &'static str,
        /// Its name.
        name: String,
        /// The names of those that have one.
        able: String,
    },
    /// Linear previews where there are none.
    #[error("linear previews are not for {what} `{name}`: {why}; use --preview full")]
    NoLinearPreview {
        /// Model or verifier.
        what: &'static str,
        /// Its name.
        name: String,
        /// What it lacks.
        why: String,
    },
    /// A verifier that is followed and not optimised.
    #[error(
        "search {search} follows verifier `{name}`, which is not optimised; optimised: {known}"
    )]
    NotOptimised {
        /// The search.
        search: &'static str,
        /// The verifier.
        name: String,
        /// The run's optimised verifiers.
        known: String,
    },
    /// A verifier whose name does not fit into a recipe.
    #[error("search {search} cannot follow a verifier of this name: {source}")]
    Name {
        /// The search.
        search: &'static str,
        /// The name and what would be right.
        source: VerifierNameError,
    },
    /// An optimised verifier that the objective does not read.
    #[error("verifier `{0}` is not in the objective; name it under watch, or add it")]
    Unread(String),
}

/// `text` with every line cut to a readable width: a message quotes the line at fault, and a
/// config may have one line of a hundred thousand characters.
pub fn excerpt(text: &str) -> String {
    const WIDTH: usize = 320;
    let cut = |line: &str| line.chars().take(WIDTH).collect::<String>();
    text.lines().map(cut).collect::<Vec<_>>().join("\n")
}
