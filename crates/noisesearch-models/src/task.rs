//! What is asked of a model: a prompt or a class.

use serde::{Deserialize, Serialize};

/// What the sample shall show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Text, in the words of a text-to-image model.
    Prompt(String),
    /// A class name of a class-conditional model.
    Class(String),
}
