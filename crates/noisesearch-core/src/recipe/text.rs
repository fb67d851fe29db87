//! The human form: `root 7 | nudge #3 cos 0.95 | denoise to 0.11 in 11 | renoise #2 to 0.89`, and
//! `ascend classifier by 0.1 in 20`.
//! Numbers are written as the shortest decimal that reads back as the same f32.

use super::{Move, Recipe, RecipeError};
use crate::level::Level;
use std::fmt;
use std::str::FromStr;

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "root {}", self.root)?;
        self.moves
            .iter()
            .try_for_each(|step| write!(f, " | {step}"))
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Move::Nudge { draw, cosine } => write!(f, "nudge #{draw} cos {}", cosine + 0.0),
            Move::Denoise { to, steps } => write!(f, "denoise to {} in {steps}", to.get()),
            Move::Renoise { draw, to } => write!(f, "renoise #{draw} to {}", to.get()),
            Move::Diffuse { draw, to, steps } => {
                write!(f, "diffuse #{draw} to {} in {steps}", to.get())
            }
            Move::Ascend {
                verifier,
                rate,
                steps,
            } => write!(f, "ascend {verifier} by {rate} in {steps}"),
        }
    }
}

impl FromStr for Recipe {
    type Err = RecipeError;
    fn from_str(text: &str) -> Result<Self, RecipeError> {
        let mut parts = text.split('|');
        let first = parts.next().unwrap_or_default();
        let root = match words(first).as_slice() {
            ["root", root] => number(root, first)?,
            _ => return Err(syntax(first)),
        };
        let moves = parts
            .enumerate()
            .map(|(index, part)| read_move(part, index + 1));
        Self {
            root,
            moves: moves.collect::<Result<_, _>>()?,
        }
        .checked()
    }
}

fn read_move(part: &str, position: usize) -> Result<Move, RecipeError> {
    let level = |word: &str| {
        let value = number(word, part)?;
        Level::new(value).map_err(|source| RecipeError::Level { position, source })
    };
    let draw = |word: &str| number(word.strip_prefix('#').unwrap_or_default(), part);
    Ok(match *words(part).as_slice() {
        ["nudge", n, "cos", cosine] => Move::Nudge {
            draw: draw(n)?,
            cosine: number(cosine, part)?,
        },
        ["denoise", "to", to, "in", steps] => Move::Denoise {
            to: level(to)?,
            steps: number(steps, part)?,
        },
        ["renoise", n, "to", to] => Move::Renoise {
            draw: draw(n)?,
            to: level(to)?,
        },
        ["diffuse", n, "to", to, "in", steps] => Move::Diffuse {
            draw: draw(n)?,
            to: level(to)?,
            steps: number(steps, part)?,
        },
        ["ascend", verifier, "by", rate, "in", steps] => Move::Ascend {
            verifier: verifier
                .parse()
                .map_err(|source| RecipeError::Name { position, source })?,
            rate: number(rate, part)?,
            steps: number(steps, part)?,
        },
        _ => return Err(syntax(part)),
    })
}

fn words(part: &str) -> Vec<&str> {
    part.split_whitespace().collect()
}

fn number<T: FromStr>(word: &str, part: &str) -> Result<T, RecipeError> {
    word.parse().map_err(|_| syntax(part))
}

fn syntax(part: &str) -> RecipeError {
    RecipeError::Syntax {
        part: part.trim().chars().take(80).collect(),
    }
}
