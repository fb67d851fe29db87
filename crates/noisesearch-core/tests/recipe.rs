//! Recipes: what is legal, and that every form reads back as what was written.

use noisesearch_core::level::Level;
use noisesearch_core::limits::MOVES_MAX;
use noisesearch_core::recipe::{Move, NAME_MAX, Recipe, RecipeError, RecipeId};
use proptest::prelude::*;

fn level(value: f32) -> Level {
    Level::new(value).unwrap()
}

fn denoise(to: f32, steps: u16) -> Move {
    Move::Denoise {
        to: level(to),
        steps,
    }
}

/// Turns raw draws into moves that are legal where they happen.
fn legal(raw: Vec<(u8, u32, u16, f32)>) -> Vec<Move> {
    let mut at = 1.0f32;
    let mut moves = Vec::new();
    for (kind, draw, steps, unit) in raw {
        let (down, up) = (at * unit, at + (1.0 - at) * unit);
        let step = match kind {
            0 if at == 1.0 => Move::Nudge {
                draw,
                cosine: 1.9 * unit - 0.95,
            },
            1 if down < at => Move::Denoise {
                to: level(down),
                steps,
            },
            2 if up > at => Move::Renoise {
                draw,
                to: level(up),
            },
            3 if down < at => Move::Diffuse {
                draw,
                to: level(down),
                steps,
            },
            4 if at == 1.0 => Move::Ascend {
                verifier: format!("v-{draw:x}").parse().unwrap(),
                rate: 1.0 - unit,
                steps,
            },
            _ => continue,
        };
        at = step.to().map_or(at, Level::get);
        moves.push(step);
    }
    moves
}

fn recipes() -> impl Strategy<Value = Recipe> {
    let raw = prop::collection::vec((0..5u8, any::<u32>(), 1..u16::MAX, 0.0..1.0f32), 0..40);
    (any::<u64>(), raw).prop_map(|(root, raw)| Recipe {
        root,
        moves: legal(raw),
    })
}

proptest! {
    #[test]
    fn every_form_reads_back(recipe in recipes()) {
        recipe.check().unwrap();
        prop_assert_eq!(&Recipe::from_bytes(&recipe.bytes()).unwrap(), &recipe);
        prop_assert_eq!(&recipe.to_string().parse::<Recipe>().unwrap(), &recipe);
        let json = serde_json::to_string(&recipe).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Recipe>(&json).unwrap(), &recipe);
        prop_assert_eq!(recipe.id().to_string().parse::<RecipeId>().unwrap(), recipe.id());
    }

    #[test]
    fn prefix_of_moves_is_prefix_of_bytes(recipe in recipes(), cut in 0..40usize) {
        let cut = cut.min(recipe.moves.len());
        let prefix = Recipe { root: recipe.root, moves: recipe.moves[..cut].to_vec() };
        prop_assert!(recipe.bytes().starts_with(&prefix.bytes()));
        prop_assert_eq!(prefix.id() == recipe.id(), cut == recipe.moves.len());
    }

    #[test]
    fn any_bytes_are_refused_or_canonical(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() { *first %= 2 }
        if let Ok(recipe) = Recipe::from_bytes(&bytes) {
            recipe.check().unwrap();
        }
    }

    #[test]
    fn any_text_is_refused_or_legal(text in "(root [0-9]{1,21})?( ?\\| ?[a-z#0-9. -]{0,20}){0,4}") {
        if let Ok(recipe) = text.parse::<Recipe>() {
            recipe.check().unwrap();
        }
    }
}

#[test]
fn human_form_is_fixed() {
    let moves = vec![
        Move::Nudge {
            draw: 3,
            cosine: 0.95,
        },
        denoise(0.11, 11),
        Move::Renoise {
            draw: 2,
            to: level(0.89),
        },
        Move::Diffuse {
            draw: 5,
            to: Level::CLEAN,
            steps: 9,
        },
    ];
    let recipe = Recipe { root: 7, moves };
    let text = "root 7 | nudge #3 cos 0.95 | denoise to 0.11 in 11 | renoise #2 to 0.89 \
                | diffuse #5 to 0 in 9";
    assert_eq!(recipe.to_string(), text);
    let id = "37dd76d2789ab96d47e652fa34c9fdd232a9059ec1415a3e9bf304ad9ce517e7";
    assert_eq!(
        recipe.id().to_string(),
        id,
        "the canonical bytes changed: new RECIPE_VERSION?"
    );
    assert_eq!(recipe.level(), Level::CLEAN);
}

fn ascend(rate: f32, steps: u16) -> Move {
    let verifier = "classifier".parse().unwrap();
    Move::Ascend {
        verifier,
        rate,
        steps,
    }
}

#[test]
fn an_ascent_has_a_fixed_form() {
    let recipe = Recipe {
        root: 7,
        moves: vec![ascend(0.1, 20), denoise(0.0, 20)],
    };
    let text = "root 7 | ascend classifier by 0.1 in 20 | denoise to 0 in 20";
    assert_eq!(recipe.to_string(), text);
    let name = [&[5, 10], &b"classifier"[..]].concat();
    let numbers = [0.1f32.to_le_bytes().as_slice(), &[20, 0]].concat();
    assert_eq!(recipe.bytes()[9..27], [name, numbers].concat());
    let json = serde_json::to_value(recipe.moves[0]).unwrap();
    assert_eq!(json["move"], "ascend");
    assert_eq!(json["verifier"], "classifier");
    assert_eq!(
        recipe.with_final_steps(50).unwrap().moves[0],
        ascend(0.1, 20)
    );
}

#[test]
fn illegal_ascents_are_named() {
    let check = |moves: Vec<Move>| Recipe { root: 1, moves }.check();
    for rate in [0.0, -0.1, 1.01, f32::NAN, f32::INFINITY] {
        let error = check(vec![ascend(rate, 1)]).unwrap_err();
        assert!(
            matches!(error, RecipeError::Rate { position: 1, .. }),
            "{error}"
        );
    }
    assert_eq!(
        check(vec![ascend(0.5, 0)]),
        Err(RecipeError::NoSteps { position: 1 })
    );
    let low = RecipeError::AscentBelowNoise {
        position: 2,
        level: 0.5,
    };
    assert_eq!(check(vec![denoise(0.5, 1), ascend(0.5, 1)]), Err(low));
}

#[test]
fn names_that_a_recipe_cannot_hold_are_refused() {
    let longest = "x".repeat(NAME_MAX);
    let text = |name: &str| format!("root 7 | ascend {name} by 0.1 in 20").parse::<Recipe>();
    assert!(text(&longest).is_ok() && text("dinov2-class").is_ok());
    for name in ["cmd:./score.py", "näme", &format!("{longest}x")] {
        let error = text(name).unwrap_err();
        assert!(
            matches!(error, RecipeError::Name { position: 1, .. }),
            "{error}"
        );
    }
    let good = Recipe {
        root: 7,
        moves: vec![ascend(0.1, 20)],
    };
    for (at, value) in [(10, 25), (10, 255), (10, 0), (11, b' '), (11, 0xff)] {
        let mut bytes = good.bytes();
        bytes[at] = value;
        let error = Recipe::from_bytes(&bytes).unwrap_err();
        assert!(
            matches!(error, RecipeError::Name { position: 1, .. }),
            "{at}: {error}"
        );
    }
    for cut in 10..good.bytes().len() {
        let error = Recipe::from_bytes(&good.bytes()[..cut]).unwrap_err();
        assert_eq!(error, RecipeError::Truncated { at: cut });
    }
}

#[test]
fn illegal_moves_are_named() {
    let nudge = |cosine| Move::Nudge { draw: 0, cosine };
    let up = |to| Move::Renoise {
        draw: 0,
        to: level(to),
    };
    let check = |moves: &[Move]| {
        Recipe {
            root: 1,
            moves: moves.to_vec(),
        }
        .check()
    };
    assert_eq!(check(&[]), Ok(()));
    for cosine in [1.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(matches!(
            check(&[nudge(cosine)]),
            Err(RecipeError::Cosine { position: 1, .. })
        ));
    }
    let low = RecipeError::NudgeBelowNoise {
        position: 2,
        level: 0.5,
    };
    assert_eq!(check(&[denoise(0.5, 1), nudge(0.5)]), Err(low));
    let flat = RecipeError::NotDown {
        position: 2,
        from: 0.5,
        to: 0.5,
    };
    assert_eq!(check(&[denoise(0.5, 1), denoise(0.5, 1)]), Err(flat));
    assert_eq!(
        check(&[denoise(0.5, 0)]),
        Err(RecipeError::NoSteps { position: 1 })
    );
    let flat = RecipeError::NotUp {
        position: 2,
        from: 0.5,
        to: 0.5,
    };
    assert_eq!(check(&[denoise(0.5, 1), up(0.5)]), Err(flat));
    assert!(check(&[up(1.0)]).is_err());
    let many = |n| vec![nudge(0.5); n];
    assert_eq!(check(&many(MOVES_MAX)), Ok(()));
    assert_eq!(
        check(&many(MOVES_MAX + 1)),
        Err(RecipeError::TooLong(MOVES_MAX + 1))
    );
}

#[test]
fn damaged_forms_are_refused() {
    let good = Recipe {
        root: 7,
        moves: vec![denoise(0.0, 20)],
    };
    let bytes = good.bytes();
    for cut in (0..bytes.len()).filter(|cut| *cut != 9) {
        let error = Recipe::from_bytes(&bytes[..cut]).unwrap_err();
        assert_eq!(error, RecipeError::Truncated { at: cut });
    }
    let set = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        Recipe::from_bytes(&bytes)
    };
    assert_eq!(set(0, 2), Err(RecipeError::Version(2)));
    assert_eq!(
        set(9, 9),
        Err(RecipeError::Kind {
            position: 1,
            kind: 9
        })
    );
    assert!(matches!(
        set(13, 0x7f),
        Err(RecipeError::Level { position: 1, .. })
    ));
    for text in [
        "",
        "root",
        "root -1",
        "root 7 |",
        "root 7 | nudge 3 cos 0.5",
        "root 7 | fly",
    ] {
        assert!(
            matches!(text.parse::<Recipe>(), Err(RecipeError::Syntax { .. })),
            "{text}"
        );
    }
    let json = |text: &str| serde_json::from_str::<Recipe>(text);
    assert!(json(r#"{"root":7,"moves":[{"move":"denoise","to":0,"steps":20}]}"#).is_ok());
    assert!(json(r#"{"root":7,"moves":[{"move":"denoise","to":0,"steps":0}]}"#).is_err());
    assert!(json(r#"{"root":7,"moves":[{"move":"denoise","to":2,"steps":1}]}"#).is_err());
    assert!(json(r#"{"root":7,"moves":[],"extra":1}"#).is_err());
    assert!("AB".repeat(32).parse::<RecipeId>().is_err());
}

#[test]
fn final_steps_replace_one_whole_solve() {
    let nudge = Move::Nudge {
        draw: 1,
        cosine: 0.9,
    };
    let recipe = |moves: &[Move]| Recipe {
        root: 1,
        moves: moves.to_vec(),
    };
    let plain = recipe(&[nudge, denoise(0.0, 10)]);
    assert_eq!(
        plain.with_final_steps(50),
        Some(recipe(&[nudge, denoise(0.0, 50)]))
    );
    assert_eq!(plain.with_final_steps(0), None);
    for moves in [
        &[][..],
        &[nudge],
        &[denoise(0.1, 5)],
        &[denoise(0.1, 5), denoise(0.0, 5)],
    ] {
        assert_eq!(recipe(moves).with_final_steps(50), None);
    }
}
