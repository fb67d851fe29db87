//! Every way to ask for what is not there, and what is said of it.

use super::*;
use crate::testing::{FILE, file};

fn refused(from: &str, to: &str) -> String {
    let text = FILE.replacen(from, to, 1);
    assert_ne!(text, FILE, "{from} is not in the file");
    check(&file(&text)).unwrap_err().to_string()
}

#[test]
fn a_good_file_is_accepted() {
    check(&file(FILE)).unwrap();
}

#[test]
fn selectors_count_from_both_ends() {
    let study = file(FILE);
    let at = |selector| place(&study, "claim", selector).unwrap();
    assert_eq!(at("random@0"), Place { arm: 1, point: 0 });
    assert_eq!(at("random@-1"), Place { arm: 1, point: 2 });
    assert_eq!(at("steps@-3"), Place { arm: 0, point: 0 });
}

#[test]
fn messages_name_the_claim_the_arm_and_what_is_known() {
    let message = refused("\"random@-1\"", "\"beam@-1\"");
    assert!(message.contains("search gains more"), "{message}");
    assert!(
        message.contains("no arm `beam`; the arms are: steps, random"),
        "{message}"
    );
    let message = refused("\"random@-1\"", "\"random@3\"");
    assert!(
        message.contains("no point 3; it has 3, 0 to 2 or -3 to -1"),
        "{message}"
    );
    let message = refused("\"random@-1\"", "\"random@-9223372036854775808\"");
    assert!(
        message.contains("no point -9223372036854775808"),
        "{message}"
    );
    for wrong in ["random", "random@", "random@x", "@"] {
        let message = refused("\"random@-1\"", &format!("\"{wrong}\""));
        assert!(message.contains(&format!("`{wrong}`")), "{message}");
    }
    let message = refused("measure = \"clip\"", "measure = \"clop\"");
    assert!(
        message.contains("`clop`") && message.contains("clip, grader"),
        "{message}"
    );
    let message = refused("\"pass:grader\"", "\"pass:looks\"");
    assert!(message.contains("`looks`"), "{message}");
}

/// Regression: every answer was judged beside an empty set.
#[test]
fn verifiers_of_sets_are_refused_wherever_they_are_named() {
    for (from, to) in [
        ("verifiers = [\"clip\"]", "verifiers = [\"oracle-fid\"]"),
        ("watch = [\"grader\"]", "watch = [\"grader\", \"fid\"]"),
        (
            "{ steps = 4 }",
            "{ steps = 4, verifiers = [\"oracle-fid\"] }",
        ),
    ] {
        let message = refused(from, to);
        assert!(message.contains("fid` judges a picture"), "{message}");
        assert!(message.contains("name the measure fid"), "{message}");
    }
}

#[test]
fn arms_figures_and_contrasts_must_make_sense() {
    assert!(refused("name = \"random\"", "name = \"steps\"").contains("two arms"));
    assert!(refused("name = \"random\"", "name = \"a@b\"").contains("an @"));
    let points = "[{ budget = \"1evals\" }, { budget = \"4evals\" }, { budget = \"16evals\" }]";
    assert!(refused(points, "[]").contains("arm `random` has no points"));
    assert!(refused("name = \"scaling\"", "name = \"../up\"").contains("letters, digits"));
    assert!(refused("name = \"scaling\"", "name = \"matrix\"").contains("every name once"));
    assert!(refused("measures = [\"clip\"]", "measures = []").contains("no measure"));
    assert!(refused("measures = [\"clip\"]", "measures = [\"x\"]").contains("figure `frontier`"));
    let named = "measures = [\"clip\"]\narms = [\"beam\"]";
    assert!(refused("measures = [\"clip\"]", named).contains("no arm `beam`"));
    let weights = "{ \"steps@2\" = 1, \"steps@0\" = -1 }";
    assert!(refused(weights, "{}").contains("finite weights"));
    assert!(refused("\"steps@2\" = 1", "\"steps@2\" = nan").contains("finite weights"));
    let empty = file(FILE);
    let empty = StudyFile {
        arms: Vec::new(),
        ..empty
    };
    assert_eq!(check(&empty), Err(CheckError::NoArm));
}
