//! The normalisation that a SentencePiece model carries (Kudo and Richardson 2018, arXiv
//! 1808.06226, section 3.4): the longest known prefix of the rest of a text is replaced, or else
//! one character is kept. (The tokenizers library takes the shortest prefix of a short grapheme
//! instead, and so loses an accent after a wide letter; T5 was trained with the longest.)
//!
//! The rules are `[bytes of the trie: u32][trie: u32 a unit][replacements, each with a final 0]`,
//! the trie a double array whose values are places among the replacements.

use super::TextError;

/// Bytes of one replacement; the longest of NFKC has 33.
const REPLACEMENT_BYTES_MAX: usize = 256;

/// Rules of replacement.
#[derive(Debug, Default)]
pub(super) struct Charsmap {
    units: Vec<u32>,
    replacements: String,
}

impl Charsmap {
    /// Reads rules; no bytes are no rules. `file` is named in errors.
    pub(super) fn parse(file: &'static str, bytes: &[u8]) -> Result<Self, TextError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let damaged = || TextError::Damaged {
            file,
            fault: "its normalisation rules are not in the format",
        };
        let (size, rest) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
        let size = u32::from_le_bytes(*size) as usize;
        let (units, replacements) = rest.split_at_checked(size).ok_or_else(damaged)?;
        let units = units.chunks_exact(4);
        let replacements = str::from_utf8(replacements).map_err(|_| damaged())?;
        if replacements
            .split('\0')
            .any(|r| r.len() > REPLACEMENT_BYTES_MAX)
        {
            return Err(damaged());
        }
        Ok(Self {
            units: units
                .map(|u| u32::from_le_bytes([u[0], u[1], u[2], u[3]]))
                .collect(),
            replacements: replacements.to_owned(),
        })
    }

    /// A text with its replacements.
    pub(super) fn apply(&self, text: &str) -> String {
        let (mut out, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(first) = rest.chars().next() {
            let (length, replacement) = match self.longest(rest) {
                Some(found) => found,
                None => (first.len_utf8(), &rest[..first.len_utf8()]),
            };
            out.push_str(replacement);
            rest = &rest[length..];
        }
        out
    }

    /// The longest known prefix of a text, in bytes, and what replaces it.
    fn longest<'a>(&'a self, text: &str) -> Option<(usize, &'a str)> {
        let mut found = None;
        let unit = |at: u32| self.units.get(at as usize).copied();
        let mut at = offset(unit(0)?);
        for (length, &byte) in (1..).zip(text.as_bytes()) {
            at ^= u32::from(byte);
            let Some(node) = unit(at) else { break };
            if byte == 0 || label(node) != u32::from(byte) {
                break;
            }
            at ^= offset(node);
            if has_value(node) && text.is_char_boundary(length) {
                found = unit(at).map(|leaf| (length, value(leaf))).or(found);
            }
        }
        let (length, start) = found?;
        let replacement = self.replacements.get(start as usize..)?;
        Some((length, replacement.split('\0').next()?))
    }
}

/// A unit's byte; values have none.
fn label(unit: u32) -> u32 {
    unit & (1 << 31 | 0xFF)
}

/// Where a unit's children are, relative to it.
fn offset(unit: u32) -> u32 {
    (unit >> 10) << ((unit & (1 << 9)) >> 6)
}

/// Whether one of the children is a value.
fn has_value(unit: u32) -> bool {
    unit >> 8 & 1 == 1
}

/// A value.
fn value(unit: u32) -> u32 {
    unit & !(1 << 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rules whose trie says that `A`, and `AB` if it is there, have values.
    fn rules(units: &[(usize, u32)], replacements: &str) -> Charsmap {
        let mut trie = vec![0u32; 1024];
        units.iter().for_each(|&(at, unit)| trie[at] = unit);
        let mut bytes = 4096u32.to_le_bytes().to_vec();
        bytes.extend(trie.iter().flat_map(|u| u.to_le_bytes()));
        bytes.extend(replacements.as_bytes());
        Charsmap::parse("spiece.model", &bytes).unwrap()
    }

    #[test]
    fn the_longest_prefix_is_replaced() {
        let a = 256 ^ 65;
        let children = a ^ 512;
        let b = children ^ 66;
        let units = [
            (0, 256 << 10),
            (a as usize, 512 << 10 | 1 << 8 | 65),
            (children as usize, 1 << 31),
            (b as usize, 768 << 10 | 1 << 8 | 66),
            ((b ^ 768) as usize, 1 << 31 | 2),
        ];
        let rules = rules(&units, "x\0yz\0");
        assert_eq!(rules.apply("ABACéA"), "yzxCéx");
    }

    #[test]
    fn damaged_rules_are_refused_or_harmless() {
        let parse = |bytes: &[u8]| Charsmap::parse("spiece.model", bytes);
        assert!(parse(&[1, 0, 0]).is_err());
        assert!(parse(&[255, 255, 255, 255, 0]).is_err());
        assert!(parse(&[0, 0, 0, 0, 0xFF]).is_err());
        assert_eq!(parse(&[0, 0, 0, 0]).unwrap().apply("AB"), "AB");
        // Children outside the trie, and a value outside the replacements.
        assert_eq!(rules(&[(0, u32::MAX)], "").apply("AB"), "AB");
        let a = 256 ^ 65;
        let outside = [
            (0, 256 << 10),
            (a, 512 << 10 | 1 << 8 | 65),
            (a ^ 512, 1 << 31 | 9),
        ];
        assert_eq!(rules(&outside, "x\0").apply("AB"), "AB");
    }
}
