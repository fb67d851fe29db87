//! The tokenizer of CLIP (Radford et al. 2021, arXiv 2103.00020): lower-cased byte-pair encoding,
//! always 77 tokens.
//!
//! A text is composed (NFC), its white space made single spaces, and lower-cased; contractions,
//! runs of letters, single digits and runs of anything else are its words. The end token stays
//! where a long text is cut.

use super::TextError;
use super::bpe::Bpe;
use super::files::{Files, WHOLE};
use super::open_clip;
use super::special::{Name, Names, Part, Specials, check_count, id};
use crate::checkpoint::Checkpoint;
use crate::pipeline::OpenError;
use regex::Regex;
use serde::Deserialize;
use std::collections::HashMap;
use unicode_normalization::UnicodeNormalization;

/// Usual names of the first and the last token.
const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// The vocabulary, and its merges in the order of learning.
const VOCABULARY: &str = "vocab.json";
const LEARNED: &str = "merges.txt";

/// What a word is.
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+";

/// The vocabulary of OpenAI's CLIP, which all published ones share; made by
/// `parity/clip_vocabulary.py` from the one of open_clip (MIT).
pub(super) const MERGES: &[u8] = include_bytes!("clip_merges.bin");

/// Turns a prompt into token ids of CLIP.
#[derive(Debug)]
pub struct ClipTokenizer {
    bpe: Bpe,
    words: Regex,
    /// Special tokens that are found in a text as it is, and those that are found in a clean one.
    specials: Specials,
    normalized: Specials,
    /// Cleans what is between them.
    clean: fn(&str) -> String,
    start: u32,
    end: u32,
    pad: u32,
}

/// Which of the two habits a text is cleaned and padded by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// The end token again; transformers does so.
    End,
    /// Token 0; open_clip does so, which also mends quotes, ligatures, wide characters and
    /// references of HTML in a text.
    Zero,
}

/// What is read of a `tokenizer.json`.
#[derive(Deserialize)]
struct TokenizerJson {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<Added>,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    #[serde(flatten)]
    name: Name,
}

#[derive(Deserialize)]
struct Model {
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Line(String),
    Pair(String, String),
}

impl ClipTokenizer {
    /// Tokens of every encoded text.
    pub const TOKENS: usize = 77;

    /// The vocabulary of OpenAI's CLIP, for models that come without one.
    pub fn openai(padding: Padding) -> Self {
        let start = 512 + (MERGES.len() / 4) as u32;
        let end = start + 1;
        let bpe = Bpe::numbered(MERGES);
        let named = |names: [&str; 2]| names.map(str::to_owned).into_iter().zip([start, end]);
        match padding {
            Padding::End => Self::of(bpe, named([START, END]).collect(), [start, end, end]),
            Padding::Zero => Self {
                normalized: Specials::new(named(["<start_of_text>", "<end_of_text>"]).collect()),
                clean: open_clip::clean,
                ..Self::of(bpe, vec![], [start, end, 0])
            },
        }
    }

    /// Opens a component of a checkpoint, such as `tokenizer` or `tokenizer_2`.
    pub fn open(checkpoint: &Checkpoint, component: &str) -> Result<Self, OpenError> {
        let files = Files::read(checkpoint, component, &[VOCABULARY, LEARNED])?;
        Self::from_files(&files).map_err(|error| OpenError::text(component, error))
    }

    /// From the files of a tokenizer's folder: `vocab.json` with `merges.txt`, or
    /// `tokenizer.json`; the padding of `tokenizer_config.json` or `special_tokens_map.json`.
    pub fn from_files(files: &Files) -> Result<Self, TextError> {
        let mut names = Names::read(files)?;
        if let (Some(vocabulary), Some(merges)) = (files.json(VOCABULARY)?, files.get(LEARNED)) {
            let merges = str::from_utf8(merges).map_err(|_| damaged("is not UTF-8"))?;
            let lines = merges.lines().filter(|line| !line.starts_with("#version"));
            let lines = lines.filter(|line| !line.is_empty());
            let pairs: Result<Vec<_>, _> = lines.map(pair).collect();
            return Self::new(&vocabulary, pairs?, names);
        }
        let Some(TokenizerJson {
            model,
            added_tokens,
        }) = files.json(WHOLE)?
        else {
            let wanted = "vocab.json with merges.txt";
            return Err(TextError::NoVocabulary { wanted });
        };
        let added = added_tokens.into_iter().map(|added| (added.id, added.name));
        names.added.extend(added);
        let pairs = model.merges.iter().map(|merge| match merge {
            Merge::Line(line) => pair(line),
            Merge::Pair(left, right) => Ok((left.as_str(), right.as_str())),
        });
        let pairs: Result<Vec<_>, _> = pairs.collect();
        Self::new(&model.vocab, pairs?, names)
    }

    fn new(
        vocabulary: &HashMap<String, u32>,
        merges: Vec<(&str, &str)>,
        mut names: Names,
    ) -> Result<Self, TextError> {
        let added = std::mem::take(&mut names.added);
        check_count(added.len())?;
        let names = names.or(START, END, END);
        let marks = "which marks the start, end or padding of a text";
        let ids = names
            .each_ref()
            .map(|name| match id(vocabulary, name.text(), marks) {
                Err(error) => {
                    let mut added = added.iter();
                    let found = added.find(|(_, added)| added.text() == name.text());
                    found.map(|(id, _)| *id).ok_or(error)
                }
                found => found,
            });
        let [start, end, pad] = ids;
        let marks = [start?, end?, pad?];
        // What is said of an added token counts; else one that is named twice, once by its text
        // alone, is found in a text as it is.
        let plain = |text: &str| match added.values().find(|name| name.text() == text) {
            Some(added) => !added.normalized(),
            None => {
                let mut all = names.iter();
                all.any(|name| name.text() == text && !name.normalized())
            }
        };
        let named = names.iter().map(|name| (name.text(), plain(name.text())));
        let added = added
            .iter()
            .map(|(id, name)| ((name.text(), !name.normalized()), *id));
        let (raw, normalized): (Vec<_>, Vec<_>) = named
            .zip(marks)
            .chain(added)
            .partition(|((_, plain), _)| *plain);
        let raw = raw.into_iter().map(|((text, _), id)| (text.to_owned(), id));
        let normalized = normalized
            .into_iter()
            .map(|((text, _), id)| (clean(text), id));
        Ok(Self {
            normalized: Specials::new(normalized.collect()),
            ..Self::of(
                Bpe::new(vocabulary, merges, marks[1])?,
                raw.collect(),
                marks,
            )
        })
    }

    /// With special tokens that are found in a text as it is.
    fn of(bpe: Bpe, specials: Vec<(String, u32)>, [start, end, pad]: [u32; 3]) -> Self {
        Self {
            bpe,
            // Invariant: a constant, compiled by the tests.
            words: Regex::new(WORDS).expect("a valid expression"),
            specials: Specials::new(specials),
            normalized: Specials::default(),
            clean,
            start,
            end,
            pad,
        }
    }

    /// The 77 tokens of a text: start, words, end, padding.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut tokens = vec![self.start];
        for part in self.specials.split(text) {
            match part {
                Part::Token(id) => tokens.push(id),
                Part::Text(text) => self.encode_clean(&(self.clean)(text), &mut tokens),
            }
        }
        tokens.truncate(Self::TOKENS - 1);
        tokens.push(self.end);
        tokens.resize(Self::TOKENS, self.pad);
        tokens
    }

    fn encode_clean(&self, text: &str, tokens: &mut Vec<u32>) {
        for part in self.normalized.split(text) {
            match part {
                Part::Token(id) => tokens.push(id),
                Part::Text(text) => {
                    let words = self.words.find_iter(text);
                    words.for_each(|word| self.bpe.encode(word.as_str(), tokens));
                }
            }
        }
    }
}

/// Composed, with single spaces, in lower case.
fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.nfc() {
        match c.is_whitespace() {
            false => clean.extend(c.to_lowercase()),
            true if clean.ends_with(' ') => {}
            true => clean.push(' '),
        }
    }
    clean
}

fn damaged(fault: &'static str) -> TextError {
    TextError::Damaged {
        file: LEARNED,
        fault,
    }
}

/// The two parts of a merge.
fn pair(line: &str) -> Result<(&str, &str), TextError> {
    let parts = line.split_once(' ');
    parts.ok_or(damaged("a merge is not two tokens"))
}
