//! Whose gradient a first-order search follows.

use crate::fake::registry;
use noisesearch::engine::Engine;
use noisesearch::spec::{Checked, Spec, SpecError};

fn check(verifiers: &str, search: &str) -> Result<Checked, SpecError> {
    let text = format!(
        "prompt = \"a\"\nverifiers = [{verifiers}]\n[search]\nmethod = \"first-order\"\n{search}"
    );
    Spec::from_toml(&text).unwrap().check(&registry())
}

fn followed(checked: &Checked) -> String {
    checked.search.followed().unwrap().to_string()
}

#[test]
fn it_is_the_first_that_is_optimised() {
    let two = r#""left", "bright""#;
    assert_eq!(followed(&check(two, "").unwrap()), "left");
    let chosen = check(two, "follow = \"bright\"").unwrap();
    assert_eq!(followed(&chosen), "bright");
    let text = chosen.to_toml().unwrap();
    let again = Spec::from_toml(&text).unwrap().check(&registry()).unwrap();
    assert_eq!(again, chosen, "{text}");
}

#[test]
fn it_must_be_optimised_and_have_a_gradient() {
    // `even` is watched by default.
    let watched = check(r#""bright""#, "follow = \"even\"").unwrap_err();
    assert!(
        matches!(watched, SpecError::NotOptimised { .. }),
        "{watched}"
    );
    let name = check(r#""bright""#, "follow = \"a b\"").unwrap_err();
    assert!(matches!(name, SpecError::Search { .. }), "{name}");
    let spec = check(r#""left", "bright""#, "").unwrap();
    let refused = Engine::open(&registry(), &spec).err().unwrap().to_string();
    let said = "verifier `left` has none; verifiers that do: bright";
    assert!(refused.contains(said), "{refused}");
    let spec = check(r#""left", "bright""#, "follow = \"bright\"").unwrap();
    assert!(Engine::open(&registry(), &spec).is_ok());
}
