//! The classes of ImageNet-1k by index and by name. Names are the lemmas of WordNet 3.0 (copyright
//! 2006 Princeton University, free to use with this notice); `parity/imagenet.py` writes the file.

use super::labels::{self, ClassError};

/// A class a line, in index order: its names in lower case, separated by `, `.
const NAMES: &str = include_str!("imagenet.txt");

/// Classes.
pub const CLASSES: u32 = 1000;

/// The index of a class, from its number or one of its names in any case; the first name of a
/// class goes before the other names of another.
pub fn class(given: &str) -> Result<u32, ClassError> {
    labels::find(given, &NAMES.lines().collect::<Vec<_>>())
}

/// The first name of a class, in lower case; `None` beyond the last class.
pub fn name(index: u32) -> Option<&'static str> {
    NAMES.lines().nth(index as usize)?.split(", ").next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_numbers_and_names() {
        assert_eq!(NAMES.lines().count(), CLASSES as usize);
        for (given, index) in [
            ("0", 0),
            ("999", 999),
            ("007", 7),
            ("tench", 0),
            ("Golden Retriever", 207),
            ("red_panda", 387),
            (" toilet tissue ", 999),
            ("tank suit", 639),
            ("partridge", 86),
        ] {
            assert_eq!(class(given), Ok(index), "{given}");
        }
        assert_eq!(name(207), Some("golden retriever"));
        assert_eq!(name(CLASSES), None);
    }

    #[test]
    fn names_of_none_or_several_classes_are_told() {
        for (given, says) in [
            ("1000", "the last is 999"),
            ("99999999999999999999", "the last is 999"),
            ("golden retreiver", "nearest known: golden retriever"),
            ("", "nearest known"),
            ("-1", "nearest known"),
            ("crane", "134 (crane); 517 (crane)"),
            ("cardigan", "264 (cardigan, cardigan welsh corgi); 474"),
        ] {
            let error = class(given).unwrap_err().to_string();
            assert!(error.contains(says), "{given}: {error}");
        }
        let long = class(&"x".repeat(10_000)).unwrap_err().to_string();
        assert!(long.len() < 300, "{long}");
    }

    #[test]
    fn every_class_has_a_name_of_its_own_but_the_cranes_and_a_swimsuit() {
        let mut unnamed = Vec::new();
        for (index, line) in (0..).zip(NAMES.lines()) {
            if !line.split(", ").any(|name| class(name) == Ok(index)) {
                unnamed.push(index);
            }
        }
        assert_eq!(unnamed, [134, 474, 517, 638]);
    }
}
