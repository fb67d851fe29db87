//! Objectives: the user's form, and the order of a set.

use noisesearch_core::job::{JobId, Scores};
use noisesearch_core::limits::VERIFIERS_MAX;
use noisesearch_core::objective::{Entry, Objective, ObjectiveError};
use proptest::prelude::*;

fn names() -> Vec<String> {
    ["clip", "looks", "grader"].map(str::to_owned).to_vec()
}

fn parse(text: &str) -> Result<Objective, ObjectiveError> {
    Objective::parse(text, &names())
}

/// Best first, for rows of scores; an empty row has failed.
fn order(objective: &Objective, rows: &[&[f64]]) -> Vec<usize> {
    let scores: Vec<_> = rows
        .iter()
        .map(|row| Scores::new(row.to_vec()).unwrap())
        .collect();
    let entry = |(i, scores)| Entry {
        job: JobId(i as u64),
        scores: Some(scores).filter(|s: &&Scores| !s.values().is_empty()),
    };
    objective.order(&scores.iter().enumerate().map(entry).collect::<Vec<_>>())
}

#[test]
fn forms_read_back() {
    let weighted = Objective::Weighted(vec![(0.7, 0), (0.3, 1)]);
    for (text, objective) in [
        ("clip", Objective::Single(0)),
        ("0.7*clip+0.3*looks", weighted.clone()),
        ("rank(clip,grader)", Objective::MeanRank(vec![0, 2])),
    ] {
        assert_eq!(parse(text), Ok(objective.clone()));
        assert_eq!(objective.text(&names()), text);
    }
    assert_eq!(parse(" 0.7 * clip + 0.3 * looks "), Ok(weighted));
    assert_eq!(
        parse("clip+-0.5*looks"),
        Ok(Objective::Weighted(vec![(1.0, 0), (-0.5, 1)]))
    );
}

/// A verifier is named after its program, and a path may hold whatever an objective is written
/// with: such a verifier could not be used.
#[test]
fn names_may_hold_what_an_objective_is_written_with() {
    let names = [
        "cmd:/home/me/c++/judge.py",
        "cmd:a, (b)*2.py",
        "clip",
        "2*c",
        "rank(x)",
    ];
    let names = names.map(str::to_owned);
    let all = |text: &str| Objective::parse(text, &names);
    for (index, name) in names.iter().enumerate() {
        assert_eq!(all(name), Ok(Objective::Single(index)), "{name}");
    }
    for objective in [
        Objective::MeanRank(vec![0, 2, 1]),
        Objective::MeanRank(vec![4, 3, 1]),
        Objective::Weighted(vec![(0.5, 0), (-1e-3, 1), (2.0, 3), (1.0, 2)]),
        Objective::Weighted(vec![(1.0, 4)]),
    ] {
        assert_eq!(all(&objective.text(&names)), Ok(objective));
    }
    let written = all("cmd:/home/me/c++/judge.py + 0.5 * cmd:a, (b)*2.py + clip");
    let terms = vec![(1.0, 0), (0.5, 1), (1.0, 2)];
    assert_eq!(written, Ok(Objective::Weighted(terms)));
    let error = all("clip+cmd:/home/me/d++/judge.py")
        .unwrap_err()
        .to_string();
    assert!(error.contains("`cmd:/home/me/d`"), "{error}");
}

#[test]
fn the_usual_objective_needs_no_names() {
    assert_eq!(Objective::usual(1), Ok(Objective::Single(0)));
    assert_eq!(Objective::usual(3), Ok(Objective::MeanRank(vec![0, 1, 2])));
    let many = VERIFIERS_MAX + 1;
    assert_eq!(Objective::usual(many), Err(ObjectiveError::TooMany(many)));
}

#[test]
fn wrong_forms_are_named() {
    for text in [
        "",
        "+",
        "*clip",
        "x*clip",
        "nan*clip",
        "rank()",
        "rank(clip",
        "rank(clip,)",
    ] {
        assert!(
            matches!(parse(text), Err(ObjectiveError::Form(_))),
            "{text}"
        );
    }
    let unknown = parse("0.5*clop+clip").unwrap_err().to_string();
    assert!(unknown.contains("`clop`") && unknown.ends_with("clip, looks, grader"));
    for text in ["clip+clip", "rank(looks,clip,looks)"] {
        assert!(
            matches!(parse(text), Err(ObjectiveError::Twice(_))),
            "{text}"
        );
    }
}

#[test]
fn ties_go_to_the_lower_job_and_failures_are_last() {
    let rows: &[&[f64]] = &[&[], &[1.0], &[2.0], &[], &[2.0], &[-0.0], &[0.0]];
    assert_eq!(order(&Objective::Single(0), rows), [2, 4, 1, 5, 6, 0, 3]);
    assert_eq!(
        order(&Objective::Weighted(vec![(2.0, 0)]), rows),
        [2, 4, 1, 5, 6, 0, 3]
    );
    assert_eq!(
        order(&Objective::MeanRank(vec![0]), rows),
        [2, 4, 1, 5, 6, 0, 3]
    );
}

#[test]
fn sums_that_overflow_lose() {
    let weighted = Objective::Weighted(vec![(1e300, 0), (-1e300, 1)]);
    assert_eq!(order(&weighted, &[&[1e300, 1e300], &[-1.0, 0.0]]), [1, 0]);
}

#[test]
fn mean_rank_shares_ranks_among_ties_and_depends_on_the_set() {
    let both = Objective::MeanRank(vec![0, 1]);
    // Ranks: a (1, 3), b (2.5, 1), c (2.5, 2). Means 2, 1.75, 2.25.
    let (a, b, c): (&[f64], &[f64], &[f64]) = (&[9.0, 0.0], &[5.0, 8.0], &[5.0, 7.0]);
    assert_eq!(order(&both, &[a, b, c]), [1, 0, 2]);
    // Without c, a and b tie at (1, 2) and (2, 1): the lower job wins.
    assert_eq!(order(&both, &[a, b]), [0, 1]);
    // Scale does not matter, and a failed candidate takes no rank.
    assert_eq!(order(&both, &[&[9e9, -1e9], b, c, &[]]), [1, 0, 2, 3]);
}

proptest! {
    /// Mean rank by its definition, one pair at a time.
    #[test]
    fn mean_rank_is_its_definition(rows in prop::collection::vec([0..4i8, 0..4i8], 1..20)) {
        let rows: Vec<Vec<f64>> = rows.iter().map(|r| r.map(f64::from).to_vec()).collect();
        let slices: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        let rank = |i: usize, v: usize| -> f64 {
            let better = rows.iter().filter(|row| row[v] > rows[i][v]).count() as f64;
            let equal = rows.iter().filter(|row| row[v] == rows[i][v]).count() as f64;
            better + (equal + 1.0) / 2.0
        };
        let mean = |i: usize| (rank(i, 0) + rank(i, 1)) / 2.0;
        let mut expected: Vec<usize> = (0..rows.len()).collect();
        expected.sort_by(|&a, &b| mean(a).total_cmp(&mean(b)).then(a.cmp(&b)));
        prop_assert_eq!(order(&Objective::MeanRank(vec![0, 1]), &slices), expected);
    }

    #[test]
    fn any_text_is_refused_or_reads_back(
        text in "[a-z*+(),. 0-9-]{0,30}|rank\\((clip|looks|,)*\\)"
    ) {
        if let Ok(objective) = parse(&text) {
            prop_assert_eq!(parse(&objective.text(&names())), Ok(objective));
        }
    }
}
