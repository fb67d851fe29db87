//! Verifiers of the glyphs models: 32x32 grey pictures of digits and capitals.
//!
//! [`classifier`] and [`self_supervised()`] may guide a search; [`oracle`] was trained apart from
//! them and evaluates.

pub mod classifier;
pub mod judge;
pub mod oracle;
pub mod reference;
mod self_supervised;
mod slope;

pub use reference::reference;
pub use self_supervised::self_supervised;

use candle_core::Result;
use noisesearch_models::lab::GLYPHS;
use noisesearch_models::task::Task;

/// Index of the class that `task` asks for.
fn class_of(task: &Task) -> Result<usize> {
    match task {
        Task::Class(name) => {
            let mut letters = name.chars();
            match (letters.next().and_then(|l| GLYPHS.find(l)), letters.next()) {
                (Some(index), None) => Ok(index),
                _ => candle_core::bail!("no glyph is called \"{name}\"; there are 0-9 and A-Z"),
            }
        }
        Task::Prompt(prompt) => candle_core::bail!(
            "a glyphs verifier judges pictures of a class, and was given the prompt \"{prompt}\""
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_single_digits_and_capitals() {
        let index = |name: &str| class_of(&Task::Class(name.into()));
        for (i, class) in GLYPHS.chars().enumerate() {
            assert_eq!(index(&class.to_string()).unwrap(), i);
        }
        for wrong in ["", "a", "10", "AB", "Ä"] {
            assert!(
                index(wrong)
                    .unwrap_err()
                    .to_string()
                    .contains("0-9 and A-Z")
            );
        }
        let prompt = class_of(&Task::Prompt("A".into()));
        assert!(prompt.unwrap_err().to_string().contains("prompt \"A\""));
    }
}
