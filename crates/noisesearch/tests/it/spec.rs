//! Specs: defaults, the TOML form, and a table of refusals.

use crate::fake::registry;
use noisesearch::spec::{Spec, SpecError};

fn spec(toml: &str) -> Spec {
    Spec::from_toml(toml).unwrap()
}

#[test]
fn a_prompt_is_enough() {
    let checked = spec("prompt = \"a red circle\"")
        .check(&registry())
        .unwrap();
    assert_eq!(
        (checked.model.as_str(), checked.steps, checked.search_steps),
        ("fake", 6, 6)
    );
    assert_eq!(checked.verifiers, ["bright"]);
    assert_eq!(checked.watch, ["even"]);
    assert_eq!(checked.search.name(), "random");
}

#[test]
fn run_toml_reproduces_every_search() {
    let searches = [
        "",
        "[search]\nmethod = \"zero-order\"\ncosine = 0.9\nstuck = \"restart\"",
        "[search]\nmethod = \"paths\"\npaths = 3\nsigma = 0.2",
        "[search]\nmethod = \"first-order\"\nrate = 0.1",
    ];
    for search in searches {
        let head = "prompt = \"a \\\"red\\\" π\"\nguidance = 1.7\nuntil = \"even=0.9\"\nseed = 7\n\
            verifiers = [\"bright\", \"left\"]\nbudget = \"300nfe\"\nsearch-steps = 4\n";
        let checked = spec(&format!("{head}{search}")).check(&registry()).unwrap();
        let text = checked.to_toml().unwrap();
        let again = spec(&text).check(&registry()).unwrap();
        assert_eq!(again, checked, "{text}");
        assert_eq!(checked.to_spec().check(&registry()).unwrap(), checked);
        assert!(
            text.contains("guidance = 1.7\n") && text.contains("rank(bright,left)"),
            "{text}"
        );
    }
}

#[test]
fn flags_win_over_the_file() {
    let file = spec("prompt = \"a\"\nsteps = 9\n[search]\nmethod = \"zero-order\"\ncosine = 0.9");
    let flags = Spec {
        class: Some("A".into()),
        search: "zero-order neighbours=7".parse().unwrap(),
        ..Spec::default()
    };
    let both = flags.over(file.clone());
    assert_eq!(
        (both.prompt.clone(), both.class.as_deref(), both.steps),
        (None, Some("A"), Some(9))
    );
    assert_eq!(
        both.search,
        "zero-order neighbours=7 cosine=0.9".parse().unwrap()
    );
    let random = Spec {
        search: "random".parse().unwrap(),
        ..Spec::default()
    }
    .over(file);
    assert_eq!(random.search, "random".parse().unwrap());
}

/// What is typed and a part of what is said.
const REFUSED: &[(&str, &str)] = &[
    ("", "nothing is asked for"),
    ("prompt = \"a\"\nclass = \"A\"", "both a prompt and a class"),
    (
        "class = \"A\"\nmodel = \"fake\"",
        "takes a prompt, not a class; models that do: letters",
    ),
    (
        "prompt = \"a\"\nmodel = \"sd\"",
        "unknown model `sd`; known: fake, letters",
    ),
    (
        "prompt = \"a\"\nverifiers = [\"nice\"]",
        "unknown verifier `nice`; known: bright, left",
    ),
    ("prompt = \"a\"\nverifiers = []", "no verifier is optimised"),
    (
        "prompt = \"a\"\nverifiers = [\"left\", \"left\"]",
        "named twice",
    ),
    ("prompt = \"a\"\nwatch = [\"bright\"]", "named twice"),
    ("prompt = \"a\"\nobjective = \"even\"", "only watched"),
    ("prompt = \"a\"\nobjective = \"rank(\"", "cannot read"),
    (
        "prompt = \"a\"\nverifiers = [\"left\", \"bright\"]\nobjective = \"left\"",
        "not in the obj",
    ),
    (
        "prompt = \"a\"\nuntil = \"nice=1\"",
        "names verifier `nice`",
    ),
    ("prompt = \"a\"\nuntil = \"nice\"", "is no target"),
    ("prompt = \"a\"\nbudget = \"12\"", "is no budget"),
    (
        "prompt = \"a\"\nbudget = \"5nfe\"",
        "smallest that works is 6nfe",
    ),
    (
        "prompt = \"a\"\nsteps = 0",
        "steps is 0; it must be between 1 and 1000",
    ),
    ("prompt = \"a\"\nsteps = 1001", "steps is 1001"),
    ("prompt = \"a\"\nsteps = -1", "invalid value"),
    ("prompt = \"a\"\nsteps = \"many\"", "invalid type"),
    ("prompt = \"a\"\nsearch-steps = 0", "search-steps is 0"),
    ("prompt = \"a\"\nguidance = nan", "guidance is NaN"),
    ("prompt = \"a\"\nguidance = -1.0", "guidance is -1"),
    (
        "prompt = \"a\"\nsolver = \"magic\"",
        "unknown solver `magic`",
    ),
    ("prompt = \"a\"\nseed = -1", "invalid value"),
    ("prompt = \"a\"\nbatch = 0", "batch is 0"),
    ("prompt = \"a\"\nbatch = 257", "batch is 257"),
    ("prompt = \"a\"\ncount = 65", "count is 65"),
    ("prompt = \"a\"\nsteepness = 3", "unknown field `steepness`"),
    (
        "prompt = \"a\"\n[search]\nmethod = \"genetic\"",
        "unknown search `genetic`; known: random",
    ),
    ("prompt = \"a\"\n[search]\nmethod = 3", "unknown search"),
    (
        "prompt = \"a\"\n[search]\nneighbours = 4",
        "search random: unknown field `neighbours`",
    ),
    (
        "prompt = \"a\"\n[search]\nmethod = \"paths\"\ncosine = 0.5",
        "unknown field `cosine`",
    ),
    (
        "prompt = \"a\"\n[search]\nmethod = \"zero-order\"\ncosine = 1.0",
        "cosine is 1",
    ),
    (
        "prompt = \"a\"\n[search]\nmethod = \"zero-order\"\nneighbours = 0",
        "neighbours is 0",
    ),
    (
        "prompt = \"a\"\n[search]\nmethod = \"paths\"\nbackward = 0.1",
        "backward",
    ),
];

#[test]
fn refusals_say_what_is_wrong() {
    for (text, part) in REFUSED {
        let result = Spec::from_toml(text).and_then(|spec| spec.check(&registry()));
        let message = result.expect_err(text).to_string();
        assert!(
            message.contains(part),
            "{text:?} said {message:?}, not {part:?}"
        );
    }
    let large = format!("prompt = \"a\" # {}", "x".repeat(1 << 20));
    assert!(matches!(
        Spec::from_toml(&large),
        Err(SpecError::TooLarge(_))
    ));
}

/// Once it failed when its directory was there, and could not be gone on with.
#[test]
fn a_prompt_has_a_limit() {
    let registry = registry();
    let check = |letters| {
        let prompt = Some("\u{1}".repeat(letters));
        let asked = Spec {
            prompt,
            ..Spec::default()
        };
        asked.check(&registry)
    };
    assert!(check(10_000).is_ok());
    let error = check(10_001).unwrap_err().to_string();
    assert_eq!(
        error,
        "prompt is 10001 characters long; it must be at most 10000"
    );
}

#[test]
fn one_line_searches_are_read_or_refused() {
    for text in ["zero-order neighbours", "zero-order cosine=0.5 cosine=0.6"] {
        assert!(
            text.parse::<noisesearch::spec::SearchTable>().is_err(),
            "{text}"
        );
    }
    let spec = Spec {
        prompt: Some("a".into()),
        search: "zero-order, stuck=retry".parse().unwrap(),
        ..Spec::default()
    };
    assert!(
        spec.check(&registry())
            .unwrap()
            .to_toml()
            .unwrap()
            .contains("stuck = \"retry\"")
    );
}
