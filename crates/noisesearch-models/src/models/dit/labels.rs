//! Classes by number and by name.

use crate::checkpoint::Checkpoint;
use crate::models::names::{SHOWN, nearest};
use crate::models::unsupported;
use crate::pipeline::OpenError;
use serde_json::Value;

/// What names no class.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClassError {
    /// No class has this name.
    #[error("no class is called \"{name}\"; nearest known: {nearest}")]
    Unknown {
        /// As given, shortened.
        name: String,
        /// Up to three names, nearest first.
        nearest: String,
    },
    /// A number beyond the last class.
    #[error("class {index} does not exist; the last is {last}")]
    Beyond {
        /// As given, shortened.
        index: String,
        /// The largest number.
        last: usize,
    },
    /// A name of several classes.
    #[error("\"{name}\" is the name of several classes; give the number: {choices}")]
    Ambiguous {
        /// As given.
        name: String,
        /// Numbers and all names of the classes.
        choices: String,
    },
}

/// The index of a class among `lines`, a class each: names in lower case, separated by `, `. The
/// first name of a class goes before the other names of another.
pub(super) fn find(given: &str, lines: &[&str]) -> Result<u32, ClassError> {
    let short = || given.trim().chars().take(SHOWN).collect::<String>();
    let name = given.trim().to_lowercase().replace('_', " ");
    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()) {
        let index = name.parse().ok();
        let index = index.filter(|&index: &u32| (index as usize) < lines.len());
        return index.ok_or_else(|| ClassError::Beyond {
            index: short(),
            last: lines.len().saturating_sub(1),
        });
    }
    let called = |is: &dyn Fn(&str) -> bool| -> Vec<(u32, &str)> {
        let classes = (0..).zip(lines.iter().copied());
        classes
            .filter(|(_, line)| !name.is_empty() && is(line))
            .collect()
    };
    let first = called(&|line| line.split(", ").next() == Some(&name));
    let found = match first.is_empty() {
        true => called(&|line| line.split(", ").any(|known| known == name)),
        false => first,
    };
    let names = lines.iter().flat_map(|line| line.split(", "));
    match found[..] {
        [(index, _)] => Ok(index),
        [] => Err(ClassError::Unknown {
            nearest: nearest(&name, names.filter(|name| !name.is_empty())),
            name: short(),
        }),
        _ => {
            let choice = |(index, line): &(u32, &str)| format!("{index} ({line})");
            Err(ClassError::Ambiguous {
                choices: found.iter().map(choice).collect::<Vec<_>>().join("; "),
                name,
            })
        }
    }
}

/// Names of the classes that a checkpoint's `id2label` has by number; `None` without one.
pub(super) fn of(
    checkpoint: &Checkpoint,
    classes: usize,
) -> Result<Option<Vec<String>>, OpenError> {
    let own = checkpoint.setting("id2label").filter(|own| !own.is_null());
    own.map(|own| lines(own, classes)).transpose()
}

fn lines(id2label: &Value, classes: usize) -> Result<Vec<String>, OpenError> {
    let refuse = |found: &dyn std::fmt::Debug| {
        let want = "names by number, each below the number of classes";
        unsupported("id2label of model_index.json".into(), found, want)
    };
    let mut lines = vec![String::new(); classes];
    for (number, names) in id2label.as_object().ok_or_else(|| refuse(id2label))? {
        let index: Option<usize> = number.parse().ok();
        let line = index.and_then(|index| lines.get_mut(index));
        let (Some(line), Some(names)) = (line, names.as_str()) else {
            return Err(refuse(number));
        };
        let names: Vec<String> = names
            .split(',')
            .map(|name| name.trim().to_lowercase())
            .collect();
        *line = names.join(", ");
    }
    Ok(lines)
}
