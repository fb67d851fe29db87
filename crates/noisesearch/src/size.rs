//! A number of bytes as it is typed: `256MB`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A number of bytes. Written with the largest unit that needs no fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(pub u64);

/// What was typed is no number of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no size; write a whole number and its unit, for example 256MB, 2GB or 0B")]
pub struct SizeError(String);

/// Powers of a thousand, the largest first; `B` ends them all.
const UNITS: [(&str, u64); 4] = [
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let read = |(unit, bytes): &(&str, u64)| {
            let number: u64 = text.trim().strip_suffix(unit)?.trim_end().parse().ok()?;
            number.checked_mul(*bytes).map(Self)
        };
        let size = UNITS.iter().find_map(read);
        size.ok_or_else(|| SizeError(text.chars().take(80).collect()))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, bytes): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(*bytes);
        let (unit, bytes) = UNITS.iter().find(whole).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / bytes)
    }
}

impl TryFrom<String> for Size {
    type Error = SizeError;
    fn try_from(text: String) -> Result<Self, SizeError> {
        text.parse()
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_back() {
        for (text, bytes) in [
            ("256MB", 256_000_000),
            ("2GB", 2_000_000_000),
            ("1500kB", 1_500_000),
            ("0B", 0),
            ("1B", 1),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)));
            assert_eq!(Size(bytes).to_string(), text);
        }
        assert_eq!(" 3 MB ".parse(), Ok(Size(3_000_000)));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        let far = "99999999999999999999B";
        for text in [
            "",
            "MB",
            "256",
            "-1MB",
            "1.5GB",
            "1mb",
            "1TB",
            far,
            "99999999999GB",
        ] {
            let error = text.parse::<Size>().unwrap_err().to_string();
            assert!(error.contains("for example 256MB"), "{text}: {error}");
        }
    }
}
