//! The tokenizer of T5 (Raffel et al. 2020, arXiv 1910.10683): SentencePiece with a unigram model.
//!
//! A text is normalised by the model's rules; each of its words, with `▁` before it, is written in
//! pieces; `</s>` ends it. The end token stays where a long text is cut.

use super::TextError;
use super::charsmap::Charsmap;
use super::files::{Files, WHOLE};
use super::sentencepiece::{Kind, SentencePiece};
use super::special::{Name, Names, Part, SPECIALS_MAX, Specials, check_count};
use super::unigram::Unigram;
use crate::checkpoint::Checkpoint;
use crate::pipeline::OpenError;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashSet;

/// What SentencePiece writes for a space.
const SPACE: char = '▁';

/// Usual names of the last token and of padding.
const END: &str = "</s>";
const PAD: &str = "<pad>";

/// Tokens `<extra_id_N>` of the published vocabularies.
const EXTRA_IDS: u32 = 100;

const MODEL: &str = "spiece.model";

/// Turns a prompt into token ids of T5.
#[derive(Debug)]
pub struct T5Tokenizer {
    charsmap: Charsmap,
    unigram: Unigram,
    specials: Specials,
    end: u32,
    pad: u32,
}

/// What is read of a `tokenizer.json`.
#[derive(Deserialize)]
struct TokenizerJson {
    model: Model,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    added_tokens: Vec<Added>,
}

#[derive(Deserialize)]
struct Model {
    unk_id: u32,
    vocab: Vec<(String, f64)>,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
}

impl T5Tokenizer {
    /// Opens a component of a checkpoint, such as `tokenizer` or `tokenizer_2`.
    pub fn open(checkpoint: &Checkpoint, component: &str) -> Result<Self, OpenError> {
        let files = Files::read(checkpoint, component, &[MODEL])?;
        Self::from_files(&files).map_err(|error| OpenError::text(component, error))
    }

    /// From the files of a tokenizer's folder: `spiece.model`, or `tokenizer.json`.
    pub fn from_files(files: &Files) -> Result<Self, TextError> {
        let names = Names::read(files)?;
        if let Some(bytes) = files.get(MODEL) {
            return Self::from_model(bytes, names);
        }
        match files.json(WHOLE)? {
            Some(tokenizer) => Self::from_json(tokenizer, names),
            None => Err(TextError::NoVocabulary { wanted: MODEL }),
        }
    }

    fn from_model(bytes: &[u8], names: Names) -> Result<Self, TextError> {
        let SentencePiece { pieces, charsmap } = SentencePiece::parse(bytes)?;
        let count = pieces.len() as u32;
        let extra = names
            .extra_ids
            .unwrap_or(EXTRA_IDS)
            .min(SPECIALS_MAX as u32);
        let extra = (0..extra).map(|i| (format!("<extra_id_{i}>"), count + extra - 1 - i));
        let mut specials: Vec<(String, u32)> = extra.collect();
        let (mut normal, mut unknown) = (Vec::new(), None);
        for (id, piece) in (0..).zip(pieces) {
            match piece.kind {
                Kind::Normal => normal.push((piece.text, id, piece.score)),
                Kind::Control => specials.push((piece.text, id)),
                Kind::Unknown => {
                    unknown = Some(id);
                    specials.push((piece.text, id));
                }
                Kind::Unused => {}
            }
        }
        let unknown = unknown.ok_or(TextError::Damaged {
            file: MODEL,
            fault: "it has no piece for unknown characters",
        })?;
        let unigram = Unigram::new(MODEL, normal, unknown)?;
        Self::new(Charsmap::parse(MODEL, &charsmap)?, unigram, specials, names)
    }

    fn from_json(tokenizer: TokenizerJson, names: Names) -> Result<Self, TextError> {
        let added = tokenizer.added_tokens.into_iter();
        let specials: Vec<_> = added.map(|token| (token.content, token.id)).collect();
        let pieces = tokenizer.model.vocab.into_iter().zip(0..);
        let pieces = pieces.map(|((text, score), id)| (text, id, score));
        let added: HashSet<u32> = specials.iter().map(|(_, id)| *id).collect();
        let normal = pieces.filter(|(_, id, _)| !added.contains(id));
        let unigram = Unigram::new(WHOLE, normal.collect(), tokenizer.model.unk_id)?;
        let charsmap = match rules(&tokenizer.normalizer) {
            None => vec![],
            Some(text) => base64(text).ok_or(TextError::Damaged {
                file: WHOLE,
                fault: "its normalisation rules are not base64",
            })?,
        };
        Self::new(Charsmap::parse(WHOLE, &charsmap)?, unigram, specials, names)
    }

    fn new(
        charsmap: Charsmap,
        unigram: Unigram,
        mut specials: Vec<(String, u32)>,
        mut names: Names,
    ) -> Result<Self, TextError> {
        // The model's own tokens keep their ids.
        let own: HashSet<String> = specials.iter().map(|(name, _)| name.clone()).collect();
        let added = std::mem::take(&mut names.added).into_iter();
        let added = added.filter(|(_, name)| !own.contains(name.text()));
        specials.extend(added.map(|(id, name)| (name.text().to_owned(), id)));
        check_count(specials.len())?;
        let [_, end, pad] = names.or(END, END, PAD);
        let id = |token: Name| match specials.iter().find(|(name, _)| name == token.text()) {
            Some((_, id)) => Ok(*id),
            None => Err(TextError::NoToken {
                token: token.text().to_owned(),
                wanted_by: "which marks the end or padding of a text",
            }),
        };
        Ok(Self {
            charsmap,
            unigram,
            end: id(end)?,
            pad: id(pad)?,
            specials: Specials::new(specials),
        })
    }

    /// The tokens of a text, cut or padded to `max`, and how many of them are not padding: the
    /// text's and the end token.
    pub fn encode(&self, text: &str, max: usize) -> (Vec<u32>, usize) {
        let mut tokens = Vec::new();
        for part in self.specials.split(text) {
            match part {
                Part::Token(id) => tokens.push(id),
                Part::Text(text) => self.unigram.encode(&self.escaped(text), &mut tokens),
            }
        }
        tokens.truncate(max.saturating_sub(1));
        tokens.push(self.end);
        let real = tokens.len().min(max);
        tokens.resize(max, self.pad);
        (tokens, real)
    }

    /// Normalised, with `▁` before each word and no white space.
    fn escaped(&self, text: &str) -> String {
        let normal = self.charsmap.apply(text);
        normal
            .split_whitespace()
            .fold(String::new(), |mut all, word| {
                all.push(SPACE);
                all.push_str(word);
                all
            })
    }
}

/// The rules of the first `Precompiled` normaliser, which may stand in a sequence.
fn rules(normalizer: &Value) -> Option<&str> {
    if let Some(text) = normalizer.get("precompiled_charsmap") {
        return text.as_str();
    }
    let sequence = normalizer.get("normalizers")?.as_array()?;
    sequence
        .iter()
        .find_map(|one| one.get("precompiled_charsmap")?.as_str())
}

/// The bytes of a base64 text (RFC 4648).
fn base64(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let bits = group
            .iter()
            .try_fold(0u32, |bits, &c| Some(bits << 6 | u32::from(digit(c)?)))?;
        let bits = bits << (6 * (4 - group.len()));
        // A group of n digits holds n - 1 bytes.
        bytes.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read() {
        assert_eq!(base64("").unwrap(), b"");
        assert_eq!(base64("bGlnaHQgdw==").unwrap(), b"light w");
        assert_eq!(base64("bGlnaHQgd28=").unwrap(), b"light wo");
        assert_eq!(base64("bGlnaHQgd29y").unwrap(), b"light wor");
        assert_eq!(base64("bG*n"), None);
    }
}
