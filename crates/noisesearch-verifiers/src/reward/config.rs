//! Sizes of ImageReward's network: those of the published one, or of a `config.json`.

use super::{TOKENS_MAX, med};
use crate::vision::block::Shape;
use crate::vision::patches_are_legal;
use noisesearch_models::layers::Activation;
use noisesearch_models::limits::{FEATURES_MAX, LAYERS_MAX};
use noisesearch_models::pipeline::OpenError;
use serde::Deserialize;

/// The file that says them.
pub(super) const FILE: &str = "config.json";
/// Linear layers of the head.
const HEAD: usize = 5;

/// Sizes of the whole network.
#[derive(Clone, Debug)]
pub struct Config {
    /// Height and width of the picture in pixels.
    pub side: usize,
    /// Height and width of a patch.
    pub patch: usize,
    /// Blocks of the vision transformer.
    pub depth: usize,
    /// One of its blocks.
    pub block: Shape,
    /// The text encoder.
    pub text: med::Config,
    /// Outputs of the linear layers behind it.
    pub head: Vec<usize>,
}

/// A `config.json`; what is not in the file is as in the published network.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Sizes {
    /// Height and width of the picture in pixels.
    pub side: usize,
    /// Height and width of a patch.
    pub patch: usize,
    /// Channels of the vision transformer; its perceptrons have four times as many.
    pub width: usize,
    /// Blocks of the vision transformer.
    pub depth: usize,
    /// Heads of its attention.
    pub heads: usize,
    /// Tokens of the vocabulary, the two behind BERT's own included.
    pub vocabulary: usize,
    /// Tokens of a text, at most.
    pub positions: usize,
    /// Channels of the text encoder.
    pub text_width: usize,
    /// Layers of the text encoder.
    pub layers: usize,
    /// Heads of its attention.
    pub text_heads: usize,
    /// Channels inside its perceptrons.
    pub hidden: usize,
    /// Outputs of the linear layers behind it.
    pub head: Vec<usize>,
}

/// ViT-L/16 and BERT base.
impl Default for Sizes {
    fn default() -> Self {
        Self {
            side: 224,
            patch: 16,
            width: 1024,
            depth: 24,
            heads: 16,
            vocabulary: 30_524,
            positions: 512,
            text_width: 768,
            layers: 12,
            text_heads: 12,
            hidden: 3072,
            head: vec![1024, 128, 64, 16, 1],
        }
    }
}

impl Sizes {
    /// What loading needs to know.
    ///
    /// # Errors
    /// Sizes that no such network has, by name.
    pub fn config(self) -> Result<Config, OpenError> {
        self.check()?;
        Ok(self.unchecked())
    }

    fn unchecked(self) -> Config {
        Config {
            side: self.side,
            patch: self.patch,
            depth: self.depth,
            block: Shape {
                width: self.width,
                heads: self.heads,
                hidden: 4 * self.width,
                eps: 1e-6,
                activation: Activation::Gelu,
            },
            text: med::Config {
                vocabulary: self.vocabulary,
                positions: self.positions,
                width: self.text_width,
                layers: self.layers,
                heads: self.text_heads,
                hidden: self.hidden,
                image_width: self.width,
            },
            head: self.head,
        }
    }

    fn check(&self) -> Result<(), OpenError> {
        let features = 1..=FEATURES_MAX;
        let sizes = [
            ("side", self.side, features.clone()),
            ("patch", self.patch, features.clone()),
            ("width", self.width, features.clone()),
            ("depth", self.depth, 1..=LAYERS_MAX),
            ("heads", self.heads, features.clone()),
            ("vocabulary", self.vocabulary, features.clone()),
            ("positions", self.positions, TOKENS_MAX..=FEATURES_MAX),
            ("text_width", self.text_width, features.clone()),
            ("layers", self.layers, 1..=LAYERS_MAX),
            ("text_heads", self.text_heads, features.clone()),
            ("hidden", self.hidden, features.clone()),
        ];
        for (name, size, legal) in sizes {
            if !legal.contains(&size) {
                let supported = format!("{} to {}", legal.start(), legal.end());
                return Err(unsupported(name, size, &supported));
            }
        }
        for (name, heads, width) in [
            ("heads", self.heads, self.width),
            ("text_heads", self.text_heads, self.text_width),
        ] {
            if width % heads != 0 {
                return Err(unsupported(name, heads, &format!("a divisor of {width}")));
            }
        }
        if self.head.len() != HEAD
            || self.head.last() != Some(&1)
            || !self.head.iter().all(|size| features.contains(size))
        {
            let found = self.head.iter().take(2 * HEAD).collect::<Vec<_>>();
            let found = format!("{found:?}");
            return Err(unsupported("head", found, "five sizes, the last of them 1"));
        }
        patches_are_legal(self.side, self.patch)
    }
}

impl Config {
    /// The published network.
    pub fn published() -> Self {
        Sizes::default().unchecked()
    }
}

fn unsupported(name: &str, found: impl std::fmt::Display, supported: &str) -> OpenError {
    OpenError::Unsupported {
        what: format!("{name} of imagereward's {FILE}"),
        found: found.to_string(),
        supported: supported.to_owned(),
    }
}
