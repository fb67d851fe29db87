//! Canonical bytes of a recipe, and its id: BLAKE3 of them.
//!
//! `version u8, root u64`, then each move until the end: `kind u8` and its fields in the order of
//! the enum, all little-endian (`draw u32`, `cosine f32`, `to f32`, `steps u16`, `rate f32`); a
//! verifier's name is its length as `u8` and its bytes. A prefix of the moves is a prefix of the
//! bytes.

use super::{Move, NAME_MAX, Recipe, RecipeError, VerifierName, VerifierNameError};
use crate::level::Level;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// First byte of the canonical bytes.
pub const RECIPE_VERSION: u8 = 1;

const NUDGE: u8 = 1;
const DENOISE: u8 = 2;
const RENOISE: u8 = 3;
const DIFFUSE: u8 = 4;
const ASCEND: u8 = 5;

/// BLAKE3 of a recipe's canonical bytes; shown and stored as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecipeId([u8; 32]);

/// Text that is no recipe id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no recipe id; an id is 64 lowercase hexadecimal digits")]
pub struct RecipeIdError(pub String);

impl Recipe {
    /// The canonical bytes: two recipes are the same exactly when these are.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(9 + 11 * self.moves.len());
        out.push(RECIPE_VERSION);
        out.extend(self.root.to_le_bytes());
        for step in &self.moves {
            step.write(&mut out);
        }
        out
    }

    /// Reads [`Recipe::bytes`] and checks the result.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecipeError> {
        let mut reader = Reader { bytes, at: 0 };
        let [version] = reader.take()?;
        if version != RECIPE_VERSION {
            return Err(RecipeError::Version(version));
        }
        let root = u64::from_le_bytes(reader.take()?);
        let mut moves = Vec::new();
        while reader.at < bytes.len() {
            moves.push(reader.step(moves.len() + 1)?);
        }
        Self { root, moves }.checked()
    }

    /// BLAKE3 of the canonical bytes.
    pub fn id(&self) -> RecipeId {
        RecipeId(*blake3::hash(&self.bytes()).as_bytes())
    }
}

impl Move {
    fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Move::Nudge { draw, cosine } => {
                out.push(NUDGE);
                out.extend(draw.to_le_bytes());
                out.extend((cosine + 0.0).to_le_bytes()); // one byte form for both zeros
            }
            Move::Denoise { to, steps } => {
                out.push(DENOISE);
                out.extend(to.get().to_le_bytes());
                out.extend(steps.to_le_bytes());
            }
            Move::Renoise { draw, to } => {
                out.push(RENOISE);
                out.extend(draw.to_le_bytes());
                out.extend(to.get().to_le_bytes());
            }
            Move::Diffuse { draw, to, steps } => {
                out.push(DIFFUSE);
                out.extend(draw.to_le_bytes());
                out.extend(to.get().to_le_bytes());
                out.extend(steps.to_le_bytes());
            }
            Move::Ascend {
                verifier,
                rate,
                steps,
            } => {
                let name = verifier.as_str();
                out.push(ASCEND);
                out.push(name.len() as u8); // at most NAME_MAX
                out.extend(name.as_bytes());
                out.extend(rate.to_le_bytes());
                out.extend(steps.to_le_bytes());
            }
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], RecipeError> {
        let field = self.bytes[self.at..].first_chunk::<N>();
        self.at += N;
        field.copied().ok_or(RecipeError::Truncated {
            at: self.bytes.len(),
        })
    }

    fn draw(&mut self) -> Result<u32, RecipeError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn steps(&mut self) -> Result<u16, RecipeError> {
        Ok(u16::from_le_bytes(self.take()?))
    }

    fn level(&mut self, position: usize) -> Result<Level, RecipeError> {
        let value = f32::from_le_bytes(self.take()?);
        Level::new(value).map_err(|source| RecipeError::Level { position, source })
    }

    fn name(&mut self, position: usize) -> Result<VerifierName, RecipeError> {
        let [length] = self.take()?;
        let refuse = |text: String| RecipeError::Name {
            position,
            source: VerifierNameError(text),
        };
        if usize::from(length) > NAME_MAX {
            return Err(refuse(format!("a name of {length} bytes")));
        }
        let bytes: Result<Vec<u8>, RecipeError> =
            (0..length).map(|_| Ok(self.take::<1>()?[0])).collect();
        let text = String::from_utf8_lossy(&bytes?).into_owned();
        text.parse().map_err(|_| refuse(text))
    }

    fn step(&mut self, position: usize) -> Result<Move, RecipeError> {
        let [kind] = self.take()?;
        Ok(match kind {
            NUDGE => Move::Nudge {
                draw: self.draw()?,
                cosine: f32::from_le_bytes(self.take()?),
            },
            DENOISE => Move::Denoise {
                to: self.level(position)?,
                steps: self.steps()?,
            },
            RENOISE => Move::Renoise {
                draw: self.draw()?,
                to: self.level(position)?,
            },
            DIFFUSE => Move::Diffuse {
                draw: self.draw()?,
                to: self.level(position)?,
                steps: self.steps()?,
            },
            ASCEND => Move::Ascend {
                verifier: self.name(position)?,
                rate: f32::from_le_bytes(self.take()?),
                steps: self.steps()?,
            },
            kind => return Err(RecipeError::Kind { position, kind }),
        })
    }
}

impl RecipeId {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for RecipeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RecipeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecipeId({self})")
    }
}

impl FromStr for RecipeId {
    type Err = RecipeIdError;
    fn from_str(text: &str) -> Result<Self, RecipeIdError> {
        let error = || RecipeIdError(text.chars().take(80).collect());
        let digits = text.as_bytes();
        let lower = digits
            .iter()
            .all(|d| matches!(d, b'0'..=b'9' | b'a'..=b'f'));
        if digits.len() != 64 || !lower {
            return Err(error());
        }
        let mut id = [0; 32];
        for (byte, at) in id.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| error())?;
        }
        Ok(Self(id))
    }
}

impl TryFrom<String> for RecipeId {
    type Error = RecipeIdError;
    fn try_from(text: String) -> Result<Self, RecipeIdError> {
        text.parse()
    }
}

impl From<RecipeId> for String {
    fn from(id: RecipeId) -> String {
        id.to_string()
    }
}
