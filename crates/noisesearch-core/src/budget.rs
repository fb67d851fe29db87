//! How much a run may cost, and which score is enough.

use crate::job::Scores;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a run may be billed. Written `640nfe`, `64evals`, `90s`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Budget {
    /// Search and final NFE together; when the winner is made again with more steps, that final
    /// cost is reserved from the start.
    Nfe(u64),
    /// Candidates scored during search, previews included; the final generation is not counted.
    Evals(u64),
    /// Wall-clock seconds, positive. Core has no clock: whoever drives the search watches it
    /// and cancels.
    Seconds(f64),
}

/// A score at which a run may end early. Written `clip=0.32`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target {
    /// Name of the verifier.
    pub verifier: String,
    /// Reached by a finished candidate with this score or a higher one; finite.
    pub score: f64,
}

/// A [`Target`] whose verifier was found in the run's list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// Index in the run's verifier list.
    pub verifier: usize,
    /// The score that is enough.
    pub score: f64,
}

/// What was typed is no budget or target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// Not of a budget's form.
    #[error("`{0}` is no budget; write for example 640nfe, 64evals or 90s")]
    Budget(String),
    /// Not of a target's form.
    #[error("`{0}` is no target; write a verifier and a score, for example clip=0.32")]
    Target(String),
    /// No such verifier in this run.
    #[error("target names verifier `{name}`, but this run has: {known}")]
    Verifier {
        /// The name given.
        name: String,
        /// The run's verifiers.
        known: String,
    },
}

impl FromStr for Budget {
    type Err = BudgetError;
    fn from_str(text: &str) -> Result<Self, BudgetError> {
        let word = text.trim();
        let count = |unit| {
            word.strip_suffix(unit)
                .and_then(|n| n.trim_end().parse().ok())
        };
        let seconds = || {
            let value: f64 = word.strip_suffix('s')?.trim_end().parse().ok()?;
            (value > 0.0 && value.is_finite()).then_some(Self::Seconds(value))
        };
        count("nfe")
            .map(Self::Nfe)
            .or_else(|| count("evals").map(Self::Evals))
            .or_else(seconds)
            .ok_or_else(|| BudgetError::Budget(shown(text)))
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nfe(count) => write!(f, "{count}nfe"),
            Self::Evals(count) => write!(f, "{count}evals"),
            Self::Seconds(seconds) => write!(f, "{seconds}s"),
        }
    }
}

impl Target {
    /// Finds the verifier in the run's list.
    pub fn resolve(&self, verifiers: &[String]) -> Result<Goal, BudgetError> {
        match verifiers.iter().position(|name| *name == self.verifier) {
            Some(verifier) => Ok(Goal {
                verifier,
                score: self.score,
            }),
            None => Err(BudgetError::Verifier {
                name: self.verifier.clone(),
                known: verifiers.join(", "),
            }),
        }
    }
}

impl Goal {
    /// Whether `scores` are enough.
    pub fn reached(&self, scores: &Scores) -> bool {
        scores
            .values()
            .get(self.verifier)
            .is_some_and(|&score| score >= self.score)
    }
}

impl FromStr for Target {
    type Err = BudgetError;
    fn from_str(text: &str) -> Result<Self, BudgetError> {
        let error = || BudgetError::Target(shown(text));
        // A verifier's name may hold the sign, a score does not.
        let (verifier, score) = text.rsplit_once('=').ok_or_else(error)?;
        let (verifier, score) = (verifier.trim(), score.trim().parse().map_err(|_| error())?);
        if verifier.is_empty() || !f64::is_finite(score) {
            return Err(error());
        }
        Ok(Self {
            verifier: verifier.to_owned(),
            score,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.verifier, self.score)
    }
}

impl TryFrom<String> for Budget {
    type Error = BudgetError;
    fn try_from(text: String) -> Result<Self, BudgetError> {
        text.parse()
    }
}

impl From<Budget> for String {
    fn from(budget: Budget) -> String {
        budget.to_string()
    }
}

impl TryFrom<String> for Target {
    type Error = BudgetError;
    fn try_from(text: String) -> Result<Self, BudgetError> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> String {
        target.to_string()
    }
}

/// What the user typed, short enough for a message.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_read_back() {
        let budgets = [Budget::Nfe(640), Budget::Evals(64), Budget::Seconds(90.0)];
        for (text, budget) in ["640nfe", "64evals", "90s"].into_iter().zip(budgets) {
            assert_eq!(text.parse(), Ok(budget));
            assert_eq!(budget.to_string(), text);
        }
        assert_eq!(" 1.5 s".parse(), Ok(Budget::Seconds(1.5)));
        for text in [
            "", "640", "nfe", "-1nfe", "1.5nfe", "0s", "-1s", "infs", "nans", "6 4evals",
        ] {
            assert_eq!(
                text.parse::<Budget>(),
                Err(BudgetError::Budget(text.into()))
            );
        }
    }

    /// The path of a program was cut at its first `=`.
    #[test]
    fn a_target_may_name_a_path_with_an_equals_sign() {
        let target: Target = "cmd:./a=b/x.py=0.5".parse().unwrap();
        assert_eq!((&*target.verifier, target.score), ("cmd:./a=b/x.py", 0.5));
        assert_eq!(target.to_string().parse(), Ok(target));
    }

    #[test]
    fn targets_read_back_and_resolve() {
        let target: Target = "clip=0.32".parse().unwrap();
        assert_eq!(target.to_string(), "clip=0.32");
        let names = ["looks".to_owned(), "clip".to_owned()];
        let goal = target.resolve(&names).unwrap();
        let reached = |clip| goal.reached(&Scores::new(vec![9.0, clip]).unwrap());
        assert!(reached(0.32) && reached(0.5) && !reached(0.31));
        let error = target.resolve(&names[..1]).unwrap_err().to_string();
        assert_eq!(
            error,
            "target names verifier `clip`, but this run has: looks"
        );
        for text in ["", "clip", "=1", "clip=", "clip=x", "clip=nan", "clip=inf"] {
            assert_eq!(
                text.parse::<Target>(),
                Err(BudgetError::Target(text.into()))
            );
        }
    }
}
