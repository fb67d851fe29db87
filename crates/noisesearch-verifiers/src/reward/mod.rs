//! ImageReward (Xu et al. 2023, arXiv 2304.05977): what people prefer, learned from comparisons of
//! pictures of one prompt.
//!
//! ```text
//! f = text encoder([CLS] prompt [SEP], vision transformer(picture))[CLS]
//! score = (mlp(f) - 0.167..) / 1.033..       linear layers 768-1024-128-64-16-1, nothing between
//! ```
//!
//! The keys are those of the published `ImageReward.pt`; `scripts/convert_image_reward.py` turns
//! that file into safetensors.

mod config;
pub mod med;
pub mod wordpiece;

pub use config::{Config, Sizes};

use crate::image::{Entry, finite};
use crate::preprocess::{Fit, Middle, Preprocess};
use crate::verifier::{Samples, Verifier, VerifierId};
use crate::vision::block::{Block, Names};
use crate::vision::{patches, with_class};
use candle_core::{DType, Result, Tensor};
use med::Med;
use noisesearch_models::checkpoint::{Checkpoint, CheckpointError};
use noisesearch_models::layers::{LayerNorm, Linear, Loaded, Place, Source};
use noisesearch_models::pipeline::OpenError;
use noisesearch_models::task::Task;
use noisesearch_models::weights::Weights;
use std::path::PathBuf;
use wordpiece::WordPiece;

/// Tokens of a prompt, `[CLS]` and `[SEP]` included; the rest of a longer one is not read.
const TOKENS_MAX: usize = 35;
/// Tokens behind BERT's own vocabulary.
const ADDED: [&str; 2] = ["[DEC]", "[ENC]"];
/// Mean and standard deviation of the scores of the pictures it was trained on.
const MEAN: f64 = 0.167_173_628_300_524_26;
const STD: f64 = 1.033_339_496_605_407_2;
/// Channels of the two projections, which only the training used.
const PROJECTION: usize = 256;
/// Version of the preprocessing and arithmetic.
const VERSION: u32 = 1;

/// Names of a vision block's tensors, those of timm.
const NAMES: Names = Names {
    norms: ["norm1", "norm2"],
    attention: "attn",
    qkv: &["qkv"],
    out: "attn.proj",
    mlp: ["mlp.fc1", "mlp.fc2"],
    scales: None,
};

/// The network with its weights.
#[derive(Debug)]
pub struct Network {
    side: usize,
    patch: usize,
    embed: Linear,
    class: Tensor,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
    text: Med,
    head: Vec<Linear>,
}

impl Network {
    /// Takes the tensors of the network.
    pub fn load(mut s: Source, config: &Config) -> Loaded<Self> {
        let width = config.block.width;
        let tokens = (config.side / config.patch).pow(2) + 1;
        let mut inputs = config.text.width;
        let mut head = Vec::with_capacity(config.head.len());
        // Dropout layers are counted in the names of the first three.
        for (outputs, index) in config.head.iter().zip([0, 2, 4, 6, 7]) {
            head.push(Linear::load(
                s.at(format!("mlp.layers.{index}")),
                inputs,
                *outputs,
            )?);
            inputs = *outputs;
        }
        let mut s = s.at("blip");
        for (name, inputs) in [("vision_proj", width), ("text_proj", config.text.width)] {
            let mut unused = s.at(name);
            unused.floats("weight", &[PROJECTION, inputs])?;
            unused.floats("bias", &[PROJECTION])?;
        }
        let text = Med::load(s.at("text_encoder"), &config.text)?;
        let mut v = s.at("visual_encoder");
        let embed = Linear::patches(v.at("patch_embed.proj"), [3, config.patch], width, true)?;
        Ok(Self {
            side: config.side,
            patch: config.patch,
            embed,
            class: v.tensor("cls_token", &[1, 1, width])?,
            positions: v.tensor("pos_embed", &[1, tokens, width])?,
            blocks: (0..config.depth)
                .map(|i| Block::load(v.at(format!("blocks.{i}")), config.block, &NAMES))
                .collect::<Loaded<_>>()?,
            norm: LayerNorm::load(v.at("norm"), width, config.block.eps)?,
            text,
            head,
        })
    }

    /// `images: [b, 3, side, side]`, preprocessed, to tokens `[b, patches + 1, width]`.
    pub fn see(&self, images: &Tensor) -> Result<Tensor> {
        let x = self
            .embed
            .forward(&patches(images, self.side, self.patch)?)?;
        let width = x.dim(2)?;
        let class = self.class.reshape(width)?;
        let mut x = with_class(&class, &x, &self.positions.squeeze(0)?)?;
        for block in &self.blocks {
            x = block.forward(&x, None)?;
        }
        self.norm.forward(&x)
    }

    /// The text encoder's `[b, tokens, width]` for tokens of pictures. Padding, which the published
    /// code masks out, is not computed.
    pub fn read(&self, tokens: &[u32], image: &Tensor) -> Result<Tensor> {
        self.text.forward(tokens, image)
    }

    /// Scores of [`Network::read`]'s first tokens, before they are standardised: `[b]`.
    pub fn reward(&self, text: &Tensor) -> Result<Tensor> {
        let mut x = text.narrow(1, 0, 1)?.contiguous()?;
        for layer in &self.head {
            x = layer.forward(&x)?;
        }
        x.flatten_all()
    }
}

/// The entry.
pub const ENTRY: Entry = Entry {
    name: "imagereward",
    about: "human preference for the prompt, standardised; about -2 to 2",
    repository: "zai-org/ImageReward",
    file: "ImageReward.pt",
    bytes: 1_790_000_000,
    licence: "Apache-2.0",
    open: |folder| {
        let folder = Checkpoint::of_network(folder);
        Ok(Box::new(ImageReward::open(&folder, Place::cpu())?))
    },
};

/// The verifier: network, tokenizer, preprocessing.
#[derive(Debug)]
pub struct ImageReward {
    id: VerifierId,
    network: Network,
    words: WordPiece,
    place: Place,
}

impl ImageReward {
    /// Opens a folder with `model.safetensors` and `vocab.txt`, as the conversion script makes it.
    /// It is the published network unless a `config.json` there gives other [`Sizes`].
    ///
    /// # Errors
    /// Files that are missing, damaged or another network's.
    pub fn open(folder: &Checkpoint, place: Place) -> std::result::Result<Self, OpenError> {
        let vocabulary = folder.file("", wordpiece::FILE)?;
        let vocabulary = vocabulary.ok_or_else(|| CheckpointError::NoFile {
            folder: PathBuf::from(folder.name()),
            name: wordpiece::FILE.to_owned(),
        })?;
        let sizes = match folder.file("", config::FILE)? {
            Some(_) => folder.config::<Sizes>("")?,
            None => Sizes::default(),
        };
        let weights = folder.weights("")?;
        Self::load(weights, &vocabulary, &sizes.config()?, place)
    }

    /// From a network's tensors and the text of its `vocab.txt`.
    ///
    /// # Errors
    /// Another network's tensors, and a vocabulary of another size.
    pub fn load(
        mut weights: Weights,
        vocabulary: &[u8],
        config: &Config,
        place: Place,
    ) -> std::result::Result<Self, OpenError> {
        let words = WordPiece::read(vocabulary, &ADDED);
        let words = words.map_err(|source| OpenError::Text {
            component: ENTRY.name.to_owned(),
            source,
        })?;
        if words.len() != config.text.vocabulary {
            return Err(OpenError::Unsupported {
                what: format!("the number of pieces in {}", wordpiece::FILE),
                found: (words.len() - ADDED.len()).to_string(),
                supported: format!(
                    "{} (bert-base-uncased)",
                    config.text.vocabulary - ADDED.len()
                ),
            });
        }
        let id = VerifierId {
            name: ENTRY.name.into(),
            weights: weights.hash().to_owned(),
            version: VERSION,
        };
        let network = Network::load(Source::new(&mut weights, &place), config)?;
        weights.finish()?;
        Ok(Self {
            id,
            network,
            words,
            place,
        })
    }

    /// What a picture goes through: Pillow's bicubic resize of its shorter side, the middle,
    /// CLIP's colours.
    fn preprocess(&self) -> Preprocess {
        Preprocess {
            fit: Fit::Shorter {
                to: self.network.side,
                middle: Middle::Even,
            },
            ..Preprocess::clip(self.network.side)
        }
    }
}

impl Verifier for ImageReward {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn score(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let (Task::Prompt(text) | Task::Class(text)) = task;
        let tokens = self.words.encode(text, TOKENS_MAX);
        let images = self.preprocess().apply(samples.images)?;
        let images = images.to_device(&self.place.device)?;
        let seen = self.network.see(&images.to_dtype(self.place.dtype)?)?;
        let rewards = self.network.reward(&self.network.read(&tokens, &seen)?)?;
        let rewards: Vec<f32> = rewards.to_dtype(DType::F32)?.to_vec1()?;
        let standard = |reward: f32| (f64::from(reward) - MEAN) / STD;
        finite(ENTRY.name, rewards.into_iter().map(standard).collect())
    }
}
