//! The file of a SentencePiece model (Kudo and Richardson 2018, arXiv 1808.06226): a message of
//! protocol buffers, of which this reads what encoding needs.

use super::TextError;

const FILE: &str = "spiece.model";

/// Pieces of a vocabulary; the largest published one has a million.
const PIECES_MAX: usize = 1 << 21;

/// What a piece is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Part of texts.
    Normal,
    /// Stands for what no piece can write.
    Unknown,
    /// Marks such as the end of a text; never found in a text by the model.
    Control,
    /// Not used.
    Unused,
}

/// A piece; its id is its place.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) score: f64,
    pub(super) kind: Kind,
}

/// A model.
#[derive(Debug, Default)]
pub(super) struct SentencePiece {
    pub(super) pieces: Vec<Piece>,
    /// Rules of normalisation.
    pub(super) charsmap: Vec<u8>,
}

/// A field's value.
#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Number(u64),
    Float(f32),
    Bytes(&'a [u8]),
    /// A number of 64 bits, of which the format has none.
    Wide,
}

/// The fields of a message that are still to be read.
struct Fields<'a>(&'a [u8]);

impl SentencePiece {
    /// Reads a file's content.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, TextError> {
        let mut model = Self::default();
        for field in Fields(bytes) {
            match field? {
                (1, Value::Bytes(piece)) if model.pieces.len() < PIECES_MAX => {
                    model.pieces.push(Piece::parse(piece)?);
                }
                (1, _) => return Err(damaged("it has too many pieces")),
                (2, Value::Bytes(trainer)) => check_trainer(trainer)?,
                (3, Value::Bytes(normalizer)) => model.charsmap = charsmap(normalizer)?,
                _ => {}
            }
        }
        Ok(model)
    }
}

impl Piece {
    fn parse(bytes: &[u8]) -> Result<Self, TextError> {
        let mut piece = Self {
            text: String::new(),
            score: 0.0,
            kind: Kind::Normal,
        };
        for field in Fields(bytes) {
            match field? {
                (1, Value::Bytes(text)) => {
                    let text = str::from_utf8(text).map_err(|_| damaged("a piece is not UTF-8"))?;
                    piece.text = text.to_owned();
                }
                (2, Value::Float(score)) => piece.score = score.into(),
                (3, Value::Number(kind)) => piece.kind = kind_of(kind)?,
                _ => {}
            }
        }
        Ok(piece)
    }
}

fn kind_of(number: u64) -> Result<Kind, TextError> {
    match number {
        1 => Ok(Kind::Normal),
        2 => Ok(Kind::Unknown),
        3 => Ok(Kind::Control),
        5 => Ok(Kind::Unused),
        _ => Err(TextError::Unsupported {
            what: "kind of a piece",
            found: format!("number {number}"),
            supported: "normal, unknown, control and unused pieces",
        }),
    }
}

/// The model must be a unigram model.
fn check_trainer(bytes: &[u8]) -> Result<(), TextError> {
    for field in Fields(bytes) {
        match field? {
            (3, Value::Number(1)) => {}
            (3, Value::Number(kind)) => {
                return Err(TextError::Unsupported {
                    what: "kind of SentencePiece model",
                    found: format!("number {kind}"),
                    supported: "unigram models, number 1",
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// The rules of normalisation of a model that treats white space in the usual way.
fn charsmap(bytes: &[u8]) -> Result<Vec<u8>, TextError> {
    let mut rules = Vec::new();
    for field in Fields(bytes) {
        match field? {
            (2, Value::Bytes(bytes)) => rules = bytes.to_vec(),
            (number @ 3..=5, Value::Number(0)) => {
                let names = [
                    "add_dummy_prefix",
                    "remove_extra_whitespaces",
                    "escape_whitespaces",
                ];
                return Err(TextError::Unsupported {
                    what: names[number as usize - 3],
                    found: "off".to_owned(),
                    supported: "models that have it on",
                });
            }
            _ => {}
        }
    }
    Ok(rules)
}

fn damaged(fault: &'static str) -> TextError {
    TextError::Damaged { file: FILE, fault }
}

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self, count: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }

    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let key = self.number()?;
        let value = match key & 7 {
            0 => Value::Number(self.number()?),
            1 => self.bytes(8).map(|_| Value::Wide)?,
            2 => {
                let count = self.number()?;
                Value::Bytes(self.bytes(count)?)
            }
            5 => Value::Float(f32::from_le_bytes(self.bytes(4)?.try_into().ok()?)),
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), TextError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or_else(|| damaged("a field is cut short or of an unknown kind")))
    }
}
