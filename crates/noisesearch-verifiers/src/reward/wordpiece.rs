//! BERT's tokenizer for text without case (Devlin et al. 2018, arXiv 1810.04805): words, then the
//! longest pieces of a vocabulary.
//!
//! ```text
//! text -> special tokens | rest
//! rest -> clean, Chinese characters alone, no accents, lower case -> words, punctuation alone
//! word -> the longest piece it starts with, then the longest `##piece` of what is left, ..
//! ```

use noisesearch_models::text::TextError;
use regex::Regex;
use std::collections::HashMap;
use unicode_normalization::UnicodeNormalization;

/// The file of a vocabulary.
pub(super) const FILE: &str = "vocab.txt";
/// Letters of a word that is looked up; a longer one is unknown.
const WORD_MAX: usize = 100;
/// Pieces of a vocabulary; BERT's has 30,522.
const PIECES_MAX: usize = 1 << 20;

/// A vocabulary that cuts text into pieces.
#[derive(Debug)]
pub struct WordPiece {
    pieces: HashMap<String, u32>,
    special: Regex,
    accent: Regex,
    other: Regex,
    punctuation: Regex,
    cls: u32,
    sep: u32,
    unknown: u32,
}

impl WordPiece {
    /// Reads `vocab.txt`, a piece a line, and adds the tokens `added` behind it.
    ///
    /// # Errors
    /// Text that is not UTF-8, too many lines, and a vocabulary without `[CLS]`, `[SEP]`, `[UNK]`.
    pub fn read(vocabulary: &[u8], added: &[&str]) -> Result<Self, TextError> {
        let damaged = |fault| TextError::Damaged { file: FILE, fault };
        let text = std::str::from_utf8(vocabulary).map_err(|_| damaged("it is not UTF-8"))?;
        let mut pieces = HashMap::new();
        for piece in text.lines().chain(added.iter().copied()) {
            let id = pieces.len() as u32;
            if pieces.insert(piece.to_owned(), id).is_some() {
                return Err(damaged("a piece is there twice"));
            }
            if pieces.len() > PIECES_MAX {
                return Err(damaged("it has over a million lines"));
            }
        }
        let id = |piece: &str| {
            let found = pieces.get(piece).copied();
            found.ok_or_else(|| TextError::NoToken {
                token: piece.to_owned(),
                wanted_by: "which every BERT has",
            })
        };
        let [cls, sep, unknown] = [id("[CLS]")?, id("[SEP]")?, id("[UNK]")?];
        let mut special = vec!["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"];
        special.extend(added);
        let special: Vec<String> = special.into_iter().map(regex::escape).collect();
        let pattern = |text: &str| Regex::new(text).map_err(|_| damaged("its tokens are too long"));
        Ok(Self {
            special: pattern(&special.join("|"))?,
            accent: pattern(r"\p{Mn}")?,
            other: pattern(r"\p{C}")?,
            punctuation: pattern(r"[[:punct:]\p{P}]")?,
            pieces,
            cls,
            sep,
            unknown,
        })
    }

    /// How many pieces there are.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether there is none; never, since a vocabulary has special tokens.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// `[CLS]`, the pieces of `text`, `[SEP]`; at most `max` in all, cut before `[SEP]`.
    pub fn encode(&self, text: &str, max: usize) -> Vec<u32> {
        let mut ids = vec![self.cls];
        let mut from = 0;
        for found in self.special.find_iter(text) {
            self.plain(&text[from..found.start()], &mut ids);
            ids.push(
                self.pieces
                    .get(found.as_str())
                    .copied()
                    .unwrap_or(self.unknown),
            );
            from = found.end();
        }
        self.plain(&text[from..], &mut ids);
        ids.truncate(max.saturating_sub(1));
        ids.push(self.sep);
        ids
    }

    /// Appends the pieces of text without special tokens.
    fn plain(&self, text: &str, ids: &mut Vec<u32>) {
        let mut letter = [0; 4];
        let mut clean = String::with_capacity(text.len());
        for c in text.chars() {
            // Most separators are whitespace, most controls are nothing: U+0085 is both, and goes.
            if matches!(c, ' ' | '\t' | '\n' | '\r') {
                clean.push(' ');
            } else if c == '\u{FFFD}' || self.other.is_match(c.encode_utf8(&mut letter)) {
                continue;
            } else {
                let pad = if is_chinese(c) { " " } else { "" };
                clean.extend([pad, c.encode_utf8(&mut letter), pad]);
            }
        }
        let bare: String = clean.nfd().collect();
        let bare = self.accent.replace_all(&bare, "");
        let lower: String = bare.chars().flat_map(char::to_lowercase).collect();
        for word in lower.split_whitespace() {
            let mut from = 0;
            for found in self.punctuation.find_iter(word) {
                self.word(&word[from..found.start()], ids);
                self.word(found.as_str(), ids);
                from = found.end();
            }
            self.word(&word[from..], ids);
        }
    }

    /// Appends the pieces of a word, or one unknown token for a word that is not made of pieces.
    fn word(&self, word: &str, ids: &mut Vec<u32>) {
        if word.is_empty() {
            return;
        }
        let start = ids.len();
        let mut rest = word;
        while !rest.is_empty() && word.chars().count() <= WORD_MAX {
            let prefix = if rest.len() == word.len() { "" } else { "##" };
            let ends = rest.char_indices().map(|(i, c)| i + c.len_utf8());
            let longest = ends.rev().find_map(|end| {
                let id = self.pieces.get(&format!("{prefix}{}", &rest[..end]))?;
                Some((*id, end))
            });
            let Some((id, end)) = longest else { break };
            ids.push(id);
            rest = &rest[end..];
        }
        if !rest.is_empty() {
            ids.truncate(start);
            ids.push(self.unknown);
        }
    }
}

/// The ranges that BERT sets apart: Chinese characters, and not Hangul, Hiragana or Katakana.
fn is_chinese(c: char) -> bool {
    matches!(
        u32::from(c),
        0x4E00..=0x9FFF
            | 0x3400..=0x4DBF
            | 0x20000..=0x2A6DF
            | 0x2A700..=0x2B73F
            | 0x2B740..=0x2B81F
            | 0x2B820..=0x2CEAF
            | 0xF900..=0xFAFF
            | 0x2F800..=0x2FA1F
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &[u8] =
        b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##b\nab\n##c\n,\n\xE4\xB8\xAD\n";

    #[test]
    fn the_longest_piece_goes_first() {
        let words = WordPiece::read(SMALL, &["[DEC]", "[ENC]"]).unwrap();
        assert_eq!(words.len(), 14);
        let inner = |text: &str| {
            let ids = words.encode(text, 99);
            assert_eq!((ids[0], ids[ids.len() - 1]), (2, 3));
            ids[1..ids.len() - 1].to_vec()
        };
        assert_eq!(inner("abbc"), [8, 7, 9]);
        assert_eq!(inner("  A\u{301},B\u{0}b\n"), [5, 10, 6, 7]);
        assert_eq!(inner("a\u{4E2D}a"), [5, 11, 5]);
        assert_eq!(inner("ax a"), [1, 5]);
        assert_eq!(inner("a[ENC]b[MASK]"), [5, 13, 6, 4]);
        assert_eq!(inner(&"a".repeat(101)), [1]);
        assert!(inner("").is_empty());
        assert_eq!(words.encode("a a a a", 4), [2, 5, 5, 3]);
    }

    #[test]
    fn a_file_that_is_no_vocabulary_is_an_error() {
        for (bytes, says) in [
            (&b"a\nb\n"[..], "lacks `[CLS]`"),
            (b"[CLS]\n[CLS]\n", "twice"),
            (b"\xFF", "UTF-8"),
        ] {
            let error = WordPiece::read(bytes, &[]).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
