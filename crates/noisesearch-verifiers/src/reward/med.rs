//! BLIP's text encoder that looks at an image (Li et al. 2022, arXiv 2201.12086): BERT with a
//! cross-attention in every layer, its norms behind the sums.
//!
//! ```text
//! x = norm(x + out(attention(x, x)))
//! x = norm(x + out(attention(x, image)))
//! x = norm(x + down(gelu(up(x))))
//! ```

use candle_core::{Result, Tensor, bail};
use noisesearch_models::layers::{
    Activation, Attend, LayerNorm, Linear, Loaded, Source, add, attention,
};

/// Summand in the norms' square roots.
const EPS: f32 = 1e-12;

/// Sizes of a text encoder.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Tokens of its vocabulary.
    pub vocabulary: usize,
    /// Tokens of a text, at most.
    pub positions: usize,
    /// Channels of the stream.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// Heads of an attention.
    pub heads: usize,
    /// Channels inside a perceptron.
    pub hidden: usize,
    /// Channels of the image's tokens.
    pub image_width: usize,
}

/// The encoder with its weights.
#[derive(Debug)]
pub struct Med {
    words: Tensor,
    positions: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    own: Attention,
    image: Attention,
    up: Linear,
    down: Linear,
    norm: LayerNorm,
}

#[derive(Debug)]
struct Attention {
    query: Linear,
    /// Keys and values side by side.
    memory: Linear,
    out: Linear,
    norm: LayerNorm,
    heads: usize,
}

impl Med {
    /// Takes the tensors of the encoder.
    pub fn load(mut s: Source, config: &Config) -> Loaded<Self> {
        let mut e = s.at("embeddings");
        let words = [config.vocabulary, config.width];
        let positions = [config.positions, config.width];
        Ok(Self {
            words: e.tensor("word_embeddings.weight", &words)?,
            positions: e.tensor("position_embeddings.weight", &positions)?,
            norm: LayerNorm::load(e.at("LayerNorm"), config.width, EPS)?,
            layers: (0..config.layers)
                .map(|i| Layer::load(s.at(format!("encoder.layer.{i}")), config))
                .collect::<Loaded<_>>()?,
        })
    }

    /// `tokens` and `image: [b, m, image width]` to `[b, tokens, width]`, each row its own image.
    pub fn forward(&self, tokens: &[u32], image: &Tensor) -> Result<Tensor> {
        let (n, b) = (tokens.len(), image.dim(0)?);
        if n > self.positions.dim(0)? {
            bail!("{n} tokens for a text encoder of {:?}", self.positions)
        }
        let tokens = Tensor::new(tokens, image.device())?;
        let x = self.words.index_select(&tokens, 0)?;
        let x = add(&x, &self.positions.narrow(0, 0, n)?)?;
        let x = self.norm.forward(&x)?.unsqueeze(0)?;
        let mut x = x.broadcast_as((b, n, x.dim(2)?))?.contiguous()?;
        for layer in &self.layers {
            x = layer.forward(&x, image)?;
        }
        Ok(x)
    }
}

impl Layer {
    fn load(mut s: Source, config: &Config) -> Loaded<Self> {
        let (width, hidden) = (config.width, config.hidden);
        Ok(Self {
            own: Attention::load(s.at("attention"), config, width)?,
            image: Attention::load(s.at("crossattention"), config, config.image_width)?,
            up: Linear::load(s.at("intermediate.dense"), width, hidden)?,
            down: Linear::load(s.at("output.dense"), hidden, width)?,
            norm: LayerNorm::load(s.at("output.LayerNorm"), width, EPS)?,
        })
    }

    fn forward(&self, x: &Tensor, image: &Tensor) -> Result<Tensor> {
        let x = self.own.forward(x, x)?;
        let x = self.image.forward(&x, image)?;
        let hidden = self.up.activated(&x, Activation::Gelu)?;
        self.norm.forward(&add(&x, &self.down.forward(&hidden)?)?)
    }
}

impl Attention {
    /// Keys and values are made of `memory` channels.
    fn load(mut s: Source, config: &Config, memory: usize) -> Loaded<Self> {
        let width = config.width;
        Ok(Self {
            query: Linear::load(s.at("self.query"), width, width)?,
            memory: Linear::fused(s.at("self"), &["key", "value"], [memory, width], true)?,
            out: Linear::load(s.at("output.dense"), width, width)?,
            norm: LayerNorm::load(s.at("output.LayerNorm"), width, EPS)?,
            heads: config.heads,
        })
    }

    fn forward(&self, x: &Tensor, memory: &Tensor) -> Result<Tensor> {
        let width = x.dim(2)?;
        let memory = self.memory.forward(memory)?;
        let (k, v) = (memory.narrow(2, 0, width)?, memory.narrow(2, width, width)?);
        let how = Attend::like(&self.out, self.heads);
        let mixed = attention(&self.query.forward(x)?, &k, &v, how)?;
        self.norm.forward(&add(x, &self.out.forward(&mixed)?)?)
    }
}
