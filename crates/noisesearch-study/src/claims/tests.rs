//! Claims on made-up rows whose truth is known.

use super::*;
use crate::row::Row;
use crate::testing::{FILE, file, rows};

/// Verdict, effect and n of the two claims of [`FILE`].
fn told(rows: &[Row]) -> Vec<(Verdict, Option<Estimate>)> {
    let study = file(FILE);
    let answers = Answers::new(&study, rows, None).unwrap();
    let found = findings(&answers).unwrap();
    found
        .iter()
        .map(|finding| (finding.verdict, finding.effect))
        .collect()
}

/// Search gains 0.2 and steps 0.02 in all.
fn true_gain(arm: usize, point: usize) -> f64 {
    0.4 + [0.01, 0.1][arm] * point as f64
}

#[test]
fn a_true_claim_holds_and_its_interval_holds_the_truth() {
    let study = file(FILE);
    let [(verdict, effect), _] = told(&rows(&study, 60, &true_gain))[..] else {
        panic!()
    };
    let effect = effect.unwrap();
    assert_eq!((verdict, effect.n), (Verdict::Holds, 60));
    assert!(effect.low <= 0.18 && 0.18 <= effect.high, "{effect:?}");
    // Unpaired, the interval would be ten times as wide: tasks differ by 0.2.
    assert!(effect.high - effect.low < 0.03, "{effect:?}");
}

#[test]
fn a_false_claim_does_not_hold_and_few_tasks_cannot_tell() {
    let study = file(FILE);
    let opposite = rows(&study, 60, &|arm, point| true_gain(1 - arm, point));
    assert_eq!(told(&opposite)[0].0, Verdict::DoesNotHold);
    let none = rows(&study, 12, &|_, _| 0.4);
    assert_eq!(told(&none)[0].0, Verdict::CannotTell);
    let one = rows(&study, 1, &true_gain);
    let (verdict, effect) = told(&one)[0];
    assert_eq!(verdict, Verdict::CannotTell);
    assert_eq!(effect.unwrap().n, 1);
}

#[test]
fn a_measure_that_no_answer_has_cannot_tell() {
    let study = file(FILE);
    let mut rows = rows(&study, 30, &true_gain);
    rows.iter_mut().for_each(|row| row.passes.clear());
    let (verdict, effect) = told(&rows)[1];
    assert_eq!((verdict, effect), (Verdict::CannotTell, None));
}

#[test]
fn only_tasks_that_everybody_answered_are_compared() {
    let study = file(FILE);
    let mut all = rows(&study, 40, &true_gain);
    let lost = all
        .iter()
        .position(|row| row.task == "task 3" && row.point == 1)
        .unwrap();
    all.remove(lost);
    let answers = Answers::new(&study, &all, None).unwrap();
    assert_eq!((answers.n(), answers.left_out), (39, 1));
    let found = findings(&answers).unwrap();
    assert_eq!(found[0].effect.unwrap().n, 39);
}

#[test]
fn a_category_is_compared_within_itself() {
    let text = FILE.replacen(
        "measure = \"clip\"",
        "measure = \"clip\"\ncategory = \"spatial\"",
        1,
    );
    let study = file(&text);
    let rows = rows(&study, 60, &true_gain);
    let answers = Answers::new(&study, &rows, None).unwrap();
    assert_eq!(findings(&answers).unwrap()[0].effect.unwrap().n, 20);
}

#[test]
fn the_whole_is_its_weakest_claim() {
    let study = file(FILE);
    let rows = rows(&study, 60, &true_gain);
    let answers = Answers::new(&study, &rows, None).unwrap();
    let mut found = findings(&answers).unwrap();
    for (verdicts, whole) in [
        ([Verdict::Holds, Verdict::Holds], Verdict::Holds),
        ([Verdict::Holds, Verdict::CannotTell], Verdict::CannotTell),
        (
            [Verdict::DoesNotHold, Verdict::CannotTell],
            Verdict::DoesNotHold,
        ),
    ] {
        found
            .iter_mut()
            .zip(verdicts)
            .for_each(|(f, verdict)| f.verdict = verdict);
        assert_eq!(overall(&found), whole);
    }
    assert_eq!(overall(&[]), Verdict::CannotTell);
}

#[test]
fn rows_of_another_study_and_twice_the_same_cell_are_refused() {
    let study = file(FILE);
    let mut rows = rows(&study, 3, &true_gain);
    let refusal = |rows: &[Row]| Answers::new(&study, rows, None).map(|_| ()).unwrap_err();
    rows[0].point = 9;
    assert!(
        refusal(&rows)
            .to_string()
            .contains("point 9 of arm `steps`")
    );
    rows[0].point = 1;
    assert!(
        refusal(&rows)
            .to_string()
            .contains("two answers of point 1")
    );
}
