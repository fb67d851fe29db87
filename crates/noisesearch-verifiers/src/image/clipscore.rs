//! `clipscore`: how well an image fits its prompt (Hessel et al. 2021, arXiv 2104.08718), without
//! the words "A photo depicts" that the paper puts before captions of photos.
//!
//! ```text
//! score = 2.5 max(cos, 0)
//! ```
//!
//! Preprocessing is that of transformers' `CLIPImageProcessor` on Pillow: the shorter side to 224
//! by a bicubic on bytes, the middle 224x224, CLIP's means and deviations. Ma et al. 2025 (arXiv
//! 2501.09732) report values that fit ViT-L/14; ViT-B/32 is read as well.

use super::space::{Angle, Space};
use super::{Entry, Opened};
use std::path::Path;

/// What the registry says of it.
pub const ENTRY: Entry = Entry {
    name: "clipscore",
    about: "fit of image and prompt, 0 to 2.5",
    repository: "openai/clip-vit-large-patch14",
    file: "model.safetensors",
    bytes: 1_710_000_000,
    licence: "MIT",
    open,
};

/// Opens a folder of transformers' `CLIPModel`.
pub fn open(folder: &Path) -> Opened {
    let space = Space::open(folder)?;
    Angle::verifier(ENTRY.name, 1, space, |cos, _| 2.5 * cos.max(0.0))
}
