//! What a run is: named fields that must agree before its journal is continued.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Everything that decides a run's results, by name: the resolved spec, hashes of weights, ids
/// of verifiers, noise version, backend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(BTreeMap<String, Value>);

/// The first field in which two fingerprints differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name; fields inside fields are joined by dots, as in `spec.search.neighbours`.
    pub field: String,
    /// The value in the journal, as JSON; `nothing` when it has none.
    pub journal: String,
    /// The value here, likewise.
    pub here: String,
}

impl Fingerprint {
    /// Sets a field.
    ///
    /// # Errors
    /// When `value` cannot be JSON, for example a map whose keys are no strings.
    pub fn set(&mut self, name: &str, value: impl Serialize) -> Result<(), serde_json::Error> {
        self.0.insert(name.to_owned(), serde_json::to_value(value)?);
        Ok(())
    }

    /// A field.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The first difference, by field name; `self` is the journal's.
    pub fn difference(&self, here: &Self) -> Option<Difference> {
        let names: std::collections::BTreeSet<_> = self.0.keys().chain(here.0.keys()).collect();
        names
            .into_iter()
            .find_map(|name| differ(name.clone(), self.0.get(name), here.0.get(name)))
    }
}

/// Descends into objects, so that the difference is named as closely as possible.
fn differ(field: String, journal: Option<&Value>, here: Option<&Value>) -> Option<Difference> {
    if journal == here {
        return None;
    }
    if let (Some(Value::Object(a)), Some(Value::Object(b))) = (journal, here) {
        let inner = |(name, value)| differ(format!("{field}.{name}"), Some(value), b.get(name));
        let more = |name: &&String| !a.contains_key(*name);
        return a.iter().find_map(inner).or_else(|| {
            let name = b.keys().find(more)?;
            differ(format!("{field}.{name}"), None, b.get(name))
        });
    }
    Some(Difference {
        field,
        journal: shown(journal),
        here: shown(here),
    })
}

/// A value short enough for a message.
fn shown(value: Option<&Value>) -> String {
    let text = value.map_or("nothing".to_owned(), Value::to_string);
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn print(fields: &[(&str, Value)]) -> Fingerprint {
        let mut print = Fingerprint::default();
        for (name, value) in fields {
            print.set(name, value).unwrap();
        }
        print
    }

    #[test]
    fn names_the_first_difference() {
        let one = print(&[
            ("noise", json!(1)),
            ("spec", json!({"a": 1, "s": {"n": 4}})),
        ]);
        let cases = [
            (print(&[("noise", json!(1))]), "spec"),
            (print(&[("noise", json!(2)), ("spec", json!({}))]), "noise"),
            (
                print(&[
                    ("noise", json!(1)),
                    ("spec", json!({"a": 1, "s": {"n": 5}})),
                ]),
                "spec.s.n",
            ),
            (
                print(&[("noise", json!(1)), ("spec", json!({"a": 1}))]),
                "spec.s",
            ),
            (
                print(&[
                    ("noise", json!(1)),
                    ("spec", json!({"a": 1, "b": 0, "s": {"n": 4}})),
                ]),
                "spec.b",
            ),
        ];
        for (other, field) in cases {
            assert_eq!(one.difference(&other).unwrap().field, field);
            assert_eq!(other.difference(&one).unwrap().field, field);
        }
        assert_eq!(one.difference(&one.clone()), None);
        let other = print(&[
            ("noise", json!(1)),
            ("spec", json!({"a": 1, "s": {"n": 5}})),
        ]);
        let difference = one.difference(&other).unwrap();
        assert_eq!(
            (difference.journal.as_str(), difference.here.as_str()),
            ("4", "5")
        );
    }
}
