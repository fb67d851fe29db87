//! `hpsv2`: human preference between images of a prompt, version 2.1 (Wu et al. 2023, arXiv
//! 2306.09341, section 4).
//!
//! ```text
//! score = cos
//! ```
//!
//! Preprocessing is that of the `hpsv2` package: values to floats, the longer side to 224 by an
//! antialiased bicubic on floats, which may leave `[0, 1]`, black borders, CLIP's means and
//! deviations. torchvision before 0.17 left out the antialiasing, and so did scores computed with
//! it; this follows torchvision since. The prompt is cleaned by open_clip's tokenizer, which mends
//! curly quotes, ligatures, wide letters and references of HTML.

use super::space::{Angle, Space};
use super::{Entry, Opened};
use crate::preprocess::{Colours, Fit, Preprocess};
use crate::resample::Filter;
use noisesearch_models::checkpoint::CheckpointError;
use noisesearch_models::pipeline::OpenError;
use std::path::Path;

/// What the registry says of it.
pub const ENTRY: Entry = Entry {
    name: "hpsv2",
    about: "human preference for the prompt; about 0.15 to 0.35",
    repository: "xswu/HPSv2",
    file: "HPS_v2.1_compressed.pt",
    bytes: 1_972_000_000,
    licence: "Apache-2.0",
    open,
};

/// Opens a folder with the weights as safetensors, in the layout of open_clip or of transformers.
pub fn open(folder: &Path) -> Opened {
    let space = Space::open_h14(folder, steps).map_err(|error| match error {
        OpenError::Checkpoint(CheckpointError::NoWeights(folder)) => OpenError::Unsupported {
            what: format!("the weights in {}", folder.display()),
            found: "no safetensors file".into(),
            supported: format!(
                "a folder made by `scripts/convert_verifiers.py hpsv2 {} FOLDER`",
                ENTRY.file
            ),
        },
        other => other,
    })?;
    // Version 1 cleaned the prompt as transformers does.
    Angle::verifier(ENTRY.name, 2, space, |cos, _| cos)
}

fn steps(side: usize) -> Preprocess {
    Preprocess {
        side,
        fit: Fit::Longer,
        filter: Filter::Bicubic,
        colours: Colours::CLIP,
    }
}
