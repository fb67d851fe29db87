//! How the candidates of one comparison set are ordered.
//!
//! Higher scores are better. Ties go to the lower job id. Failed candidates rank last. The mean
//! rank depends on the set, so it is computed again for every set.

use crate::job::{JobId, Scores};
use crate::limits::VERIFIERS_MAX;
use std::cmp::Ordering;

/// What makes one candidate better than another. Verifiers are indices in the run's list.
#[derive(Clone, Debug, PartialEq)]
pub enum Objective {
    /// The score of one verifier. Written `clip`.
    Single(usize),
    /// A weighted sum of scores, `(weight, verifier)`. Written `0.7*clip+0.3*looks`.
    Weighted(Vec<(f64, usize)>),
    /// The mean over verifiers of the rank within the set (1 is best; equal scores share the
    /// average of their ranks). The lowest mean wins. Written `rank(clip,looks)`.
    MeanRank(Vec<usize>),
}

/// One candidate of a comparison set.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its job.
    pub job: JobId,
    /// Its scores; `None` when it failed.
    pub scores: Option<&'a Scores>,
}

/// What was typed is no objective of this run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectiveError {
    /// Not of an objective's form.
    #[error(
        "cannot read `{0}` in the objective; write a verifier, a sum like \
         0.7*clip+0.3*looks, or rank(clip,looks)"
    )]
    Form(String),
    /// No such verifier in this run.
    #[error("the objective names verifier `{name}`, but this run has: {known}")]
    Verifier {
        /// The name given.
        name: String,
        /// The run's verifiers.
        known: String,
    },
    /// A verifier named twice.
    #[error("the objective names verifier `{0}` twice; name it once")]
    Twice(String),
    /// Too many verifiers.
    #[error("the objective names {0} verifiers; at most {VERIFIERS_MAX} are allowed")]
    TooMany(usize),
}

impl Objective {
    /// The usual one over the first `count` verifiers: the score of the only one, or the mean rank
    /// over several.
    pub fn usual(count: usize) -> Result<Self, ObjectiveError> {
        match count {
            1 => Ok(Self::Single(0)),
            2..=VERIFIERS_MAX => Ok(Self::MeanRank((0..count).collect())),
            _ => Err(ObjectiveError::TooMany(count)),
        }
    }

    /// Reads the user's form, given the names of the run's verifiers. These may hold the form's
    /// own characters, as a path does: wherever a name may stand, the longest that fits is it.
    pub fn parse(text: &str, verifiers: &[String]) -> Result<Self, ObjectiveError> {
        let text = text.trim();
        let inside = text
            .strip_prefix("rank(")
            .and_then(|rest| rest.strip_suffix(')'));
        let objective = if let Some(single) = known(text, verifiers) {
            Self::Single(single)
        } else if let Some(names) = inside {
            let names = parts(names, ',', verifiers).into_iter();
            let indices = names.map(|name| index_of(name, verifiers));
            Self::MeanRank(indices.collect::<Result<_, _>>()?)
        } else if text.contains(['*', '+']) {
            let terms = parts(text, '+', verifiers).into_iter();
            let terms = terms.map(|term| parse_term(term, verifiers));
            Self::Weighted(terms.collect::<Result<_, _>>()?)
        } else {
            Self::Single(index_of(text, verifiers)?)
        };
        let mut named = objective.verifiers();
        if named.len() > VERIFIERS_MAX {
            return Err(ObjectiveError::TooMany(named.len()));
        }
        named.sort_unstable();
        match named.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(ObjectiveError::Twice(verifiers[pair[0]].clone())),
            None => Ok(objective),
        }
    }

    /// The user's form, given the names of the run's verifiers; [`Objective::parse`] reads it.
    pub fn text(&self, verifiers: &[String]) -> String {
        let name = |&index: &usize| verifiers.get(index).map_or("?", String::as_str);
        match self {
            Self::Single(index) => name(index).to_owned(),
            Self::Weighted(terms) => {
                let terms = terms
                    .iter()
                    .map(|(weight, index)| format!("{weight}*{}", name(index)));
                terms.collect::<Vec<_>>().join("+")
            }
            Self::MeanRank(indices) => {
                format!(
                    "rank({})",
                    indices.iter().map(name).collect::<Vec<_>>().join(",")
                )
            }
        }
    }

    /// The verifiers that this objective reads.
    pub fn verifiers(&self) -> Vec<usize> {
        match self {
            Self::Single(index) => vec![*index],
            Self::Weighted(terms) => terms.iter().map(|(_, index)| *index).collect(),
            Self::MeanRank(indices) => indices.clone(),
        }
    }

    /// The number to be maximised, where it does not depend on the set; `None` for mean rank.
    /// A score that is not there, and a sum that overflows to NaN, count as minus infinity.
    pub fn value(&self, scores: &Scores) -> Option<f64> {
        let score = |index: usize| {
            scores
                .values()
                .get(index)
                .copied()
                .unwrap_or(f64::NEG_INFINITY)
        };
        let value = match self {
            Self::Single(index) => score(*index),
            Self::Weighted(terms) => terms.iter().map(|(weight, i)| weight * score(*i)).sum(),
            Self::MeanRank(_) => return None,
        };
        // Adding zero makes both zeros equal under `total_cmp`.
        Some(if value.is_nan() {
            f64::NEG_INFINITY
        } else {
            value + 0.0
        })
    }

    /// What [`Objective::order`] sorts by, in the order of `set`: comparable within it, higher is
    /// better, minus infinity for a failed candidate.
    pub fn merits(&self, set: &[Entry]) -> Vec<f64> {
        let mut merits: Vec<f64> = match self {
            Self::MeanRank(verifiers) => mean_rank_merits(verifiers, set),
            _ => set.iter().map(|entry| self.merit(entry)).collect(),
        };
        for (merit, _) in merits
            .iter_mut()
            .zip(set)
            .filter(|(_, e)| e.scores.is_none())
        {
            *merit = f64::NEG_INFINITY;
        }
        merits
    }

    /// Positions in `set`, best first.
    pub fn order(&self, set: &[Entry]) -> Vec<usize> {
        let merits = self.merits(set);
        let mut order: Vec<usize> = (0..set.len()).collect();
        order.sort_by(|&a, &b| {
            let failed = set[a].scores.is_none().cmp(&set[b].scores.is_none());
            failed
                .then(best_first(merits[a], merits[b]))
                .then(set[a].job.cmp(&set[b].job))
        });
        order
    }

    fn merit(&self, entry: &Entry) -> f64 {
        entry
            .scores
            .and_then(|scores| self.value(scores))
            .unwrap_or(f64::NEG_INFINITY)
    }
}

/// Order by value, the highest first.
pub(crate) fn best_first(a: f64, b: f64) -> Ordering {
    b.total_cmp(&a)
}

/// Minus twice the sum of ranks over `verifiers`, so that higher is better and halves are whole.
fn mean_rank_merits(verifiers: &[usize], set: &[Entry]) -> Vec<f64> {
    let mut merits = vec![0.0; set.len()];
    for &verifier in verifiers {
        let single = Objective::Single(verifier);
        let mut ranked: Vec<(f64, usize)> = Vec::with_capacity(set.len());
        for (position, entry) in set.iter().enumerate() {
            if entry.scores.is_some() {
                ranked.push((single.merit(entry), position));
            }
        }
        ranked.sort_by(|a, b| best_first(a.0, b.0));
        let mut before = 0;
        for ties in ranked.chunk_by(|a, b| a.0 == b.0) {
            // Ranks before + 1 ..= before + len: twice their average is the sum of both ends.
            let twice_average = (2 * before + 1 + ties.len()) as f64;
            ties.iter()
                .for_each(|&(_, position)| merits[position] -= twice_average);
            before += ties.len();
        }
    }
    merits
}

/// What `separator` parts, but for one inside a name of `verifiers`, which may follow a weight.
fn parts<'a>(text: &'a str, separator: char, verifiers: &[String]) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        // Where the part's name ends, if it is a known one.
        let name = |from: &str| {
            let start = rest.len() - from.trim_start().len();
            let ends = verifiers.iter().filter_map(|known| {
                let after = rest[start..].strip_prefix(known.as_str())?.trim_start();
                let whole = after.is_empty() || after.starts_with(separator);
                whole.then(|| rest.len() - after.len())
            });
            ends.max()
        };
        let weighted = || name(rest.split_once('*').filter(|(w, _)| weight(w).is_some())?.1);
        let known = name(rest).or_else(weighted);
        let end = known.or_else(|| rest.find(separator));
        let end = end.unwrap_or(rest.len());
        parts.push(&rest[..end]);
        match rest[end..].strip_prefix(separator) {
            Some(after) => rest = after,
            None => return parts,
        }
    }
}

fn parse_term(term: &str, verifiers: &[String]) -> Result<(f64, usize), ObjectiveError> {
    if let Some(index) = known(term.trim(), verifiers) {
        return Ok((1.0, index));
    }
    let Some((factor, name)) = term.split_once('*') else {
        return Ok((1.0, index_of(term, verifiers)?));
    };
    let factor = weight(factor).ok_or_else(|| form(term))?;
    Ok((factor, index_of(name, verifiers)?))
}

fn weight(text: &str) -> Option<f64> {
    let weight: f64 = text.trim().parse().ok()?;
    weight.is_finite().then_some(weight)
}

fn known(name: &str, verifiers: &[String]) -> Option<usize> {
    verifiers.iter().position(|known| known == name)
}

fn index_of(name: &str, verifiers: &[String]) -> Result<usize, ObjectiveError> {
    let name = name.trim();
    known(name, verifiers).ok_or_else(|| {
        if name.is_empty() || name.contains(['(', ')', '*', ',']) {
            return form(name);
        }
        ObjectiveError::Verifier {
            name: name.chars().take(80).collect(),
            known: verifiers.join(", "),
        }
    })
}

fn form(part: &str) -> ObjectiveError {
    ObjectiveError::Form(part.trim().chars().take(80).collect())
}
