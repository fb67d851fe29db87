//! Whether what was claimed holds, by the interval of a paired contrast.

use crate::answers::{Answers, AnswersError};
use crate::check::{self, CheckError, Place};
use crate::file::Claim;
use crate::measure::Measure;
use crate::stats::Estimate;

/// What the numbers say of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The whole interval is above zero.
    Holds,
    /// Zero lies inside, or there are too few answers.
    CannotTell,
    /// The whole interval is at or below zero.
    DoesNotHold,
}

impl Verdict {
    /// Of a contrast that is claimed to be above zero.
    pub fn of(effect: Option<&Estimate>) -> Self {
        match effect {
            Some(effect) if effect.low > 0.0 => Self::Holds,
            Some(effect) if effect.high <= 0.0 => Self::DoesNotHold,
            _ => Self::CannotTell,
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::CannotTell => "cannot tell",
            Self::DoesNotHold => "does not hold",
        }
    }
}

/// A claim with its answer.
#[derive(Clone, Debug)]
pub struct Finding<'a> {
    /// What was claimed.
    pub claim: &'a Claim,
    /// What it is about.
    pub measure: Measure,
    /// What the numbers say.
    pub verdict: Verdict,
    /// The contrast with its interval; `None` where no answer has the measure.
    pub effect: Option<Estimate>,
}

/// What cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The file names what is not there.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The answers cannot be measured.
    #[error(transparent)]
    Answers(#[from] AnswersError),
}

/// Every claim of the study with its answer, in the file's order.
pub fn findings<'a>(answers: &Answers<'a>) -> Result<Vec<Finding<'a>>, ClaimError> {
    answers
        .file
        .claims
        .iter()
        .map(|claim| finding(answers, claim))
        .collect()
}

fn finding<'a>(answers: &Answers<'a>, claim: &'a Claim) -> Result<Finding<'a>, ClaimError> {
    let whose = format!("claim \"{}\"", claim.says);
    let terms = claim.contrast.iter();
    let terms = terms
        .map(|(selector, &weight)| Ok((check::place(answers.file, &whose, selector)?, weight)));
    let (places, weights): (Vec<Place>, Vec<f64>) = terms
        .collect::<Result<Vec<_>, CheckError>>()?
        .into_iter()
        .unzip();
    let measure = Measure::named(&claim.measure);
    let sum = |values: &[f64]| values.iter().zip(&weights).map(|(v, w)| v * w).sum();
    let effect = answers.estimate(&places, (&measure, claim.category.as_deref()), &sum)?;
    let verdict = Verdict::of(effect.as_ref());
    Ok(Finding {
        claim,
        measure,
        verdict,
        effect,
    })
}

/// What a study says of its statement: it holds when every claim does, and does not when one does
/// not; a study without claims cannot tell.
pub fn overall(findings: &[Finding]) -> Verdict {
    let worst = findings.iter().map(|finding| finding.verdict).max();
    worst.unwrap_or(Verdict::CannotTell)
}

#[cfg(test)]
mod tests;
