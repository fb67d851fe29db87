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
    /// The same, shrunk towards the candidates ([`stats::shrunk`]).
    pub corrected: Estimate,
    /// The verifier's reliability, 0 to 1.
    pub reliability: f64,
    /// The verifier that was not optimised and confirms most of it.
    pub judge: String,
}

/// The corrected score of the answers at `place`; `None` where nothing was selected among several,
/// or no verifier was watched.
pub fn corrected(answers: &Answers, place: Place) -> Result<Option<Corrected>, AnswersError> {
    let rows = answers.at(place);
    let Some(verifier) = rows.first().and_then(|row| row.optimised.first()).cloned() else {
        return Ok(None);
    };
    let Some((judge, reliability)) = judge(rows) else {
        return Ok(None);
    };
    let pair = |row: &&Row| Some((*row.scores.get(&verifier)?, row.pool.get(&verifier)?.mean));
    let (best, means): (Vec<f64>, Vec<f64>) = rows.iter().filter_map(pair).unzip();
    let columns = [best, means];
    let of = |f: &dyn Fn(&[f64]) -> f64| stats::bootstrap(&columns, f);
    let selected = of(&|means| means[0]);
    let candidates = of(&|means| means[1]);
    let kept = of(&|means| shrunk(means[0], means[1], reliability));
    let (Some(selected), Some(candidates), Some(corrected)) = (selected, candidates, kept) else {
        return Ok(None);
    };
    Ok(Some(Corrected {
        place,
        verifier,
        candidates,
        selected,
        corrected,
        reliability,
        judge,
    }))
}

/// The verifier that was not optimised with the largest reliability, and that.
fn judge(rows: &[&Row]) -> Option<(String, f64)> {
    let several = |row: &&&Row| row.pool.values().any(|pool| pool.candidates > 1);
    let rows: Vec<&&Row> = rows.iter().filter(several).collect();
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
        assert_eq!(
            (found.verifier.as_str(), found.judge.as_str()),
            ("clip", "grader")
        );
        // The grader's correlation is 0.6; the selected answer is 0.1 above its candidates.
        assert!((found.reliability - 0.36).abs() < 1e-9);
        let gain = found.corrected.value - found.candidates.value;
        assert!((gain - 0.036).abs() < 1e-9, "{gain}");
        assert!((found.selected.value - found.candidates.value - 0.1).abs() < 1e-9);
    }
}
