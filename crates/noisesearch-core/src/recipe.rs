//! A candidate as a root key and a list of moves; replaying it gives the same sample.
//!
//! Every door in ([`Recipe::from_bytes`], `FromStr`, serde) admits legal recipes only;
//! [`Recipe::check`] says what is legal.

mod bytes;
mod name;
mod text;

pub use bytes::{RECIPE_VERSION, RecipeId, RecipeIdError};
pub use name::{NAME_MAX, VerifierName, VerifierNameError};

use crate::ledger::{BACKWARD_NFE, NfeRule};
use crate::level::{Level, LevelError};
use crate::limits::MOVES_MAX;
use serde::{Deserialize, Serialize};

/// One step of a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "move", rename_all = "lowercase", deny_unknown_fields)]
pub enum Move {
    /// Noise to a neighbour on the same norm shell at an exact cosine (zero-order search).
    /// Only allowed while the state is still pure noise (level 1).
    Nudge {
        /// Which direction is drawn.
        draw: u32,
        /// Cosine between the old and the new noise, in `(-1, 1)`.
        cosine: f32,
    },
    /// Deterministic solver from the present level down to `to`.
    Denoise {
        /// Level reached; below the present one.
        to: Level,
        /// Solver steps, at least 1.
        steps: u16,
    },
    /// Forward noising process up to a level (search over paths).
    Renoise {
        /// Which noise is drawn.
        draw: u32,
        /// Level reached; above the present one.
        to: Level,
    },
    /// Stochastic first-order solver with keyed noise (particle methods).
    Diffuse {
        /// Which noise is drawn.
        draw: u32,
        /// Level reached; below the present one.
        to: Level,
        /// Solver steps, at least 1.
        steps: u16,
    },
    /// Noise moved up the gradient of a verifier's score on its norm shell (first-order search,
    /// [`crate::noise::ascend`]). The score is that of the noise solved to level 0; the gradient
    /// is taken through that solve. Only allowed while the state is still pure noise (level 1).
    Ascend {
        /// Whose score rises.
        verifier: VerifierName,
        /// Length of the step as a share of the noise's norm, in `(0, 1]`.
        rate: f32,
        /// Solver steps of the solve, at least 1.
        steps: u16,
    },
}

/// A root key and the moves that follow it. Starts as pure noise at level 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Recipe {
    /// Key of every noise in this recipe.
    pub root: u64,
    /// What happens to the noise, in order; at most [`MOVES_MAX`].
    pub moves: Vec<Move>,
}

/// What serde reads before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    root: u64,
    moves: Vec<Move>,
}

impl TryFrom<Unchecked> for Recipe {
    type Error = RecipeError;
    fn try_from(Unchecked { root, moves }: Unchecked) -> Result<Self, RecipeError> {
        Self { root, moves }.checked()
    }
}

/// Why something is no legal recipe. Positions count moves from 1.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// More than [`MOVES_MAX`] moves.
    #[error("recipe has {0} moves; at most {MOVES_MAX} are allowed")]
    TooLong(usize),
    /// A nudge after the noise was denoised.
    #[error("move {position}: a nudge needs pure noise (level 1), but the level is {level}")]
    NudgeBelowNoise {
        /// Which move.
        position: usize,
        /// The level there.
        level: f32,
    },
    /// An ascent after the noise was denoised.
    #[error("move {position}: an ascent needs pure noise (level 1), but the level is {level}")]
    AscentBelowNoise {
        /// Which move.
        position: usize,
        /// The level there.
        level: f32,
    },
    /// A rate outside (0, 1].
    #[error("move {position}: rate {rate} must be above 0 and at most 1")]
    Rate {
        /// Which move.
        position: usize,
        /// The number given.
        rate: f32,
    },
    /// Bytes or text that name no verifier.
    #[error("move {position}: {source}")]
    Name {
        /// Which move.
        position: usize,
        /// The name given.
        source: VerifierNameError,
    },
    /// A cosine outside (-1, 1).
    #[error("move {position}: cosine {cosine} must lie strictly between -1 and 1")]
    Cosine {
        /// Which move.
        position: usize,
        /// The number given.
        cosine: f32,
    },
    /// A solver that is asked to go up or to stay.
    #[error("move {position}: denoising must go below level {from}, not to {to}")]
    NotDown {
        /// Which move.
        position: usize,
        /// The level before it.
        from: f32,
        /// The level asked for.
        to: f32,
    },
    /// A renoising that is asked to go down or to stay.
    #[error("move {position}: renoising must go above level {from}, not to {to}")]
    NotUp {
        /// Which move.
        position: usize,
        /// The level before it.
        from: f32,
        /// The level asked for.
        to: f32,
    },
    /// A solver without steps.
    #[error("move {position}: a solver needs at least 1 step")]
    NoSteps {
        /// Which move.
        position: usize,
    },
    /// Not a noise level.
    #[error("move {position}: {source}")]
    Level {
        /// Which move.
        position: usize,
        /// The number given.
        source: LevelError,
    },
    /// Bytes of a version that this program does not know.
    #[error("recipe bytes have version {0}; this program reads version {RECIPE_VERSION}")]
    Version(u8),
    /// Bytes that name no move.
    #[error("move {position}: unknown kind {kind}")]
    Kind {
        /// Which move.
        position: usize,
        /// The byte found.
        kind: u8,
    },
    /// Bytes that end inside a field.
    #[error("recipe bytes end early, at byte {at}")]
    Truncated {
        /// How many bytes there were.
        at: usize,
    },
    /// Text that is no recipe.
    #[error(
        "cannot read `{part}` as part of a recipe; the form is \
         `root 7 | nudge #3 cos 0.95 | denoise to 0.11 in 11 | renoise #2 to 0.89`"
    )]
    Syntax {
        /// The part between bars.
        part: String,
    },
}

impl Recipe {
    /// Checks every move at the level where it happens: nudges only at level 1 with a cosine in
    /// (-1, 1), ascents there with a rate in (0, 1]; solvers strictly down in at least one step;
    /// renoising strictly up; at most [`MOVES_MAX`] moves.
    pub fn check(&self) -> Result<(), RecipeError> {
        if self.moves.len() > MOVES_MAX {
            return Err(RecipeError::TooLong(self.moves.len()));
        }
        let mut level = Level::NOISE;
        for (index, step) in self.moves.iter().enumerate() {
            level = step.apply(index + 1, level)?;
        }
        Ok(())
    }

    /// This recipe if it is legal.
    pub(crate) fn checked(self) -> Result<Self, RecipeError> {
        self.check().map(|()| self)
    }

    /// The level where a legal recipe ends: 1 before the first solver, 0 for a finished sample.
    pub fn level(&self) -> Level {
        self.moves
            .iter()
            .rev()
            .find_map(|step| step.to())
            .unwrap_or(Level::NOISE)
    }

    /// Function evaluations of replaying this recipe from its noise, one backwards counted as
    /// [`BACKWARD_NFE`]. A deterministic solve costs what `rule` says, a stochastic one an
    /// evaluation a step.
    pub fn nfe(&self, rule: &NfeRule) -> u64 {
        let cost = |step: &Move| match *step {
            Move::Nudge { .. } | Move::Renoise { .. } => 0,
            Move::Denoise { to, steps } => rule.nfe(steps, to),
            Move::Diffuse { steps, .. } => steps.into(),
            Move::Ascend { steps, .. } => {
                let there = rule.nfe(steps, Level::CLEAN);
                there.saturating_mul(1 + BACKWARD_NFE)
            }
        };
        let sum = |sum: u64, step| sum.saturating_add(cost(step));
        self.moves.iter().fold(0, sum)
    }

    /// The same noise solved to the end in `steps`: only for nudges and ascents followed by one
    /// denoising to level 0, because only there the winner can be made again more finely. `None`
    /// otherwise, and for `steps` 0.
    pub fn with_final_steps(&self, steps: u16) -> Option<Self> {
        let (last, before) = self.moves.split_last()?;
        let whole = matches!(last, Move::Denoise { to, .. } if *to == Level::CLEAN);
        let plain = before.iter().all(|step| step.to().is_none());
        if !whole || !plain || steps == 0 {
            return None;
        }
        let mut moves = before.to_vec();
        moves.push(Move::Denoise {
            to: Level::CLEAN,
            steps,
        });
        Some(Self {
            root: self.root,
            moves,
        })
    }
}

impl Move {
    /// The level that this move reaches; `None` when it stays (a nudge, an ascent).
    pub fn to(&self) -> Option<Level> {
        match *self {
            Move::Nudge { .. } | Move::Ascend { .. } => None,
            Move::Denoise { to, .. } | Move::Renoise { to, .. } | Move::Diffuse { to, .. } => {
                Some(to)
            }
        }
    }

    /// The level after this move, made at `level`, if it is legal there.
    fn apply(&self, position: usize, level: Level) -> Result<Level, RecipeError> {
        let from = level.get();
        match *self {
            Move::Nudge { .. } if level != Level::NOISE => Err(RecipeError::NudgeBelowNoise {
                position,
                level: from,
            }),
            Move::Nudge { cosine, .. } if cosine > -1.0 && cosine < 1.0 => Ok(level),
            Move::Nudge { cosine, .. } => Err(RecipeError::Cosine { position, cosine }),
            Move::Ascend { .. } if level != Level::NOISE => Err(RecipeError::AscentBelowNoise {
                position,
                level: from,
            }),
            Move::Ascend { steps: 0, .. } => Err(RecipeError::NoSteps { position }),
            Move::Ascend { rate, .. } if rate > 0.0 && rate <= 1.0 => Ok(level),
            Move::Ascend { rate, .. } => Err(RecipeError::Rate { position, rate }),
            Move::Denoise { to, .. } | Move::Diffuse { to, .. } if to >= level => {
                Err(RecipeError::NotDown {
                    position,
                    from,
                    to: to.get(),
                })
            }
            Move::Denoise { steps: 0, .. } | Move::Diffuse { steps: 0, .. } => {
                Err(RecipeError::NoSteps { position })
            }
            Move::Denoise { to, .. } | Move::Diffuse { to, .. } => Ok(to),
            Move::Renoise { to, .. } if to <= level => Err(RecipeError::NotUp {
                position,
                from,
                to: to.get(),
            }),
            Move::Renoise { to, .. } => Ok(to),
        }
    }
}
