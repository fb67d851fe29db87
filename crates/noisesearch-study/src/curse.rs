//! The winner's curse: a best score was chosen for being high, and is lower when looked at again.

use crate::answers::{Answers, AnswersError};
use crate::check::Place;
use crate::row::Row;
use crate::stats::{self, Estimate, reliability, shrunk};
use std::collections::BTreeSet;

/// An optimised score with its correction, at one place.
#[derive(Clone, Debug)]
pub struct Corrected {
    /// Where.
    pub place: Place,
    /// The first optimised verifier.
    pub verifier: String,
    /// Mean score of the candidates: what a random one has.
    pub candidates: Estimate,
    /// Mean score of the answers, as selected.
    pub selected: Estimate,
    /// The same without the part that comes from having been selected.
    pub corrected: Estimate,
    /// How that was found.
    pub how: How,
}

/// How a selected score is corrected.
#[derive(Clone, Debug, PartialEq)]
pub enum How {
    /// The verifier varies and was asked again: its second answers, nothing was selected for.
    AskedAgain,
    /// It would say the same again: shrunk towards the candidates ([`stats::shrunk`]).
    Shrunk {
        /// The verifier's reliability, 0 to 1.
        reliability: f64,
        /// The verifier that was not optimised and confirms most of it.
        judge: String,
    },
}

/// The corrected score of the answers at `place`; `None` where nothing was selected among several,
/// or where the verifier does not vary and no other one was watched.
pub fn corrected(answers: &Answers, place: Place) -> Result<Option<Corrected>, AnswersError> {
    let rows = answers.at(place);
    let Some(verifier) = rows.first().and_then(|row| row.optimised.first()).cloned() else {
        return Ok(None);
    };
    if !rows.iter().any(several) {
        return Ok(None);
    }
    let again: Vec<[f64; 3]> = rows
        .iter()
        .filter_map(|row| {
            let again = *row.again.get(&verifier)?;
            let [selected, mean] = scores(row, &verifier)?;
            Some([selected, mean, again])
        })
        .collect();
    let (how, columns) = match (again.is_empty(), judge(rows)) {
        (false, _) => (How::AskedAgain, again),
        (true, Some((judge, reliability))) => {
            let scores = rows.iter().filter_map(|row| scores(row, &verifier));
            let columns = scores.map(|[s, mean]| [s, mean, shrunk(s, mean, reliability)]);
            let columns = columns.collect();
            (How::Shrunk { reliability, judge }, columns)
        }
        (true, None) => return Ok(None),
    };
    let of = |column: usize| {
        let column: Vec<f64> = columns.iter().map(|row: &[f64; 3]| row[column]).collect();
        stats::bootstrap(&[column], &|means| means[0])
    };
    let (Some(selected), Some(candidates), Some(corrected)) = (of(0), of(1), of(2)) else {
        return Ok(None);
    };
    Ok(Some(Corrected {
        place,
        verifier,
        candidates,
        selected,
        corrected,
        how,
    }))
}

/// Whether an answer was selected among several candidates.
fn several(row: &&Row) -> bool {
    row.pool.values().any(|pool| pool.candidates > 1)
}

/// A verifier's score of the answer, and its mean over the candidates.
fn scores(row: &Row, verifier: &str) -> Option<[f64; 2]> {
    Some([*row.scores.get(verifier)?, row.pool.get(verifier)?.mean])
}

/// The verifier that was not optimised with the largest reliability, and that.
fn judge(rows: &[&Row]) -> Option<(String, f64)> {
    let rows: Vec<&Row> = rows.iter().copied().filter(several).collect();
    let optimised: BTreeSet<&String> = rows.iter().flat_map(|row| &row.optimised).collect();
    let names: BTreeSet<&String> = rows.iter().flat_map(|row| row.pool.keys()).collect();
    let watched = names.into_iter().filter(|name| !optimised.contains(name));
    let judged = watched.map(|name| {
        let pools = rows.iter().filter_map(|row| row.pool.get(name));
        (
            name.clone(),
            reliability(pools.map(|pool| (pool.candidates, pool.correlation))),
        )
    });
    judged.reduce(|a, b| if b.1 > a.1 { b } else { a })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FILE, file, rows};

    #[test]
    fn the_correction_lies_between_candidates_and_selection() {
        let study = file(FILE);
        let rows = rows(&study, 30, &|_, _| 0.5);
        let answers = Answers::new(&study, &rows, None).unwrap();
        // Of one candidate nothing is selected.
        assert!(
            corrected(&answers, Place { arm: 1, point: 0 })
                .unwrap()
                .is_none()
        );
        let found = corrected(&answers, Place { arm: 1, point: 2 })
            .unwrap()
            .unwrap();
        assert_eq!(found.verifier, "clip");
        // The grader's correlation is 0.6; the selected answer is 0.1 above its candidates.
        let How::Shrunk { reliability, judge } = found.how else {
            panic!("{:?}", found.how)
        };
        assert!((reliability - 0.36).abs() < 1e-9);
        assert_eq!(judge, "grader");
        let gain = found.corrected.value - found.candidates.value;
        assert!((gain - 0.036).abs() < 1e-9, "{gain}");
        assert!((found.selected.value - found.candidates.value - 0.1).abs() < 1e-9);
    }

    #[test]
    fn a_second_look_is_the_correction() {
        let study = file(FILE);
        let mut rows = rows(&study, 30, &|_, _| 0.5);
        for row in &mut rows {
            row.again.insert("clip".into(), row.scores["clip"] - 0.07);
        }
        let answers = Answers::new(&study, &rows, None).unwrap();
        let place = |point| Place { arm: 1, point };
        assert!(corrected(&answers, place(0)).unwrap().is_none());
        let found = corrected(&answers, place(2)).unwrap().unwrap();
        assert_eq!(found.how, How::AskedAgain);
        let curse = found.selected.value - found.corrected.value;
        assert!((curse - 0.07).abs() < 1e-9, "{curse}");
    }
}
