//! The name of a verifier inside a recipe: short, so that a move stays a value that is copied.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Bytes in a verifier's name, at most: the longest that ships has 12.
pub const NAME_MAX: usize = 24;

/// A verifier's short name: 1 to [`NAME_MAX`] ASCII letters, digits, `-`, `_` or `.`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VerifierName {
    /// The name, then zeros.
    bytes: [u8; NAME_MAX],
}

/// Text that names no verifier in a recipe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot name a verifier in a recipe; a name is 1 to {NAME_MAX} ASCII letters, digits, \
     `-`, `_` or `.`"
)]
pub struct VerifierNameError(pub String);

impl VerifierName {
    /// The name.
    pub fn as_str(&self) -> &str {
        let end = self.bytes.iter().position(|&byte| byte == 0);
        // Every byte is ASCII: `from_str` is the only way to a name.
        std::str::from_utf8(&self.bytes[..end.unwrap_or(NAME_MAX)]).unwrap_or_default()
    }
}

impl FromStr for VerifierName {
    type Err = VerifierNameError;
    fn from_str(text: &str) -> Result<Self, VerifierNameError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if !(1..=NAME_MAX).contains(&text.len()) || !text.bytes().all(legal) {
            return Err(VerifierNameError(text.chars().take(80).collect()));
        }
        let mut bytes = [0; NAME_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { bytes })
    }
}

impl TryFrom<String> for VerifierName {
    type Error = VerifierNameError;
    fn try_from(text: String) -> Result<Self, VerifierNameError> {
        text.parse()
    }
}

impl From<VerifierName> for String {
    fn from(name: VerifierName) -> String {
        name.as_str().to_owned()
    }
}

impl fmt::Display for VerifierName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for VerifierName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierName({self})")
    }
}
