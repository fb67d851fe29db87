//! `pickscore`: which of two images of a prompt people would pick, learned from their choices
//! (Kirstain et al. 2023, arXiv 2305.01569, equation 1).
//!
//! ```text
//! score = exp(logit_scale) cos
//! ```
//!
//! The probability of one of several images is the softmax of their scores. Preprocessing is that
//! of transformers' `CLIPImageProcessor` on Pillow: the shorter side to 224 by a bicubic on bytes,
//! the middle 224x224, CLIP's means and deviations.

use super::space::{Angle, Space};
use super::{Entry, Opened};
use std::path::Path;

/// What the registry says of it.
pub const ENTRY: Entry = Entry {
    name: "pickscore",
    about: "what people would pick for the prompt; about 15 to 26",
    repository: "yuvalkirstain/PickScore_v1",
    file: "model.safetensors",
    bytes: 3_944_000_000,
    licence: "MIT",
    open,
};

/// Opens a folder of transformers' `CLIPModel`.
pub fn open(folder: &Path) -> Opened {
    let space = Space::open(folder)?;
    Angle::verifier(ENTRY.name, 1, space, |cos, scale| scale * cos)
}
