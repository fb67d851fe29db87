//! The `[search]` table of a spec: an algorithm by name and its settings, with holes.

use crate::spec::SpecError;
use noisesearch_core::search::SearchSpec;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// The key that names the algorithm.
const METHOD: &str = "method";

/// The name that leaves the choice to a measurement.
pub const AUTO: &str = "auto";

/// The `[search]` table as typed: `method` and settings of that algorithm. Also written on one
/// line, `zero-order neighbours=8 cosine=0.9`. A setting of another algorithm is an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SearchTable(toml::Table);

impl SearchTable {
    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a measurement shall choose the search; see [`crate::advise`].
    pub fn is_auto(&self) -> bool {
        self.0.get(METHOD).and_then(toml::Value::as_str) == Some(AUTO)
    }

    /// This table with its holes filled from `base`, whose settings stay only when the algorithm
    /// does.
    pub fn over(self, base: Self) -> Self {
        let method = |table: &Self| table.0.get(METHOD).cloned();
        match (method(&self), method(&base)) {
            (Some(mine), Some(other)) if mine != other => self,
            _ => Self(base.0.into_iter().chain(self.0).collect()),
        }
    }

    /// The algorithm with its settings; `random` when none is named.
    pub fn check(mut self) -> Result<SearchSpec, SpecError> {
        let method = self.0.entry(METHOD).or_insert_with(|| "random".into());
        let method = method.as_str().unwrap_or_default().to_owned();
        if SearchSpec::named(&method).is_none() {
            let known: Vec<_> = SearchSpec::all().iter().map(SearchSpec::name).collect();
            return Err(SpecError::Unknown {
                what: "search",
                name: method.chars().take(80).collect(),
                known: known.join(", "),
            });
        }
        self.0
            .try_into()
            .map_err(|error: toml::de::Error| SpecError::Search {
                method,
                problem: error.message().to_owned(),
            })
    }
}

impl From<&SearchSpec> for SearchTable {
    fn from(spec: &SearchSpec) -> Self {
        toml::Table::try_from(spec).map(Self).unwrap_or_default()
    }
}

impl FromStr for SearchTable {
    type Err = SpecError;
    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut words = text.split([' ', ',']).filter(|word| !word.is_empty());
        let method = words.next().unwrap_or_default().to_owned();
        let problem = |problem: String| SpecError::Search {
            method: method.clone(),
            problem,
        };
        let mut table = toml::Table::new();
        for word in words {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| problem(format!("cannot read `{word}`; write key=value")))?;
            let value = toml::from_str::<toml::Table>(&format!("x = {value}"))
                .ok()
                .and_then(|mut parsed| parsed.remove("x"))
                .unwrap_or_else(|| value.into());
            if table.insert(key.to_owned(), value).is_some() {
                return Err(problem(format!("`{key}` is given twice")));
            }
        }
        table.insert(METHOD.to_owned(), method.into());
        Ok(Self(table))
    }
}
