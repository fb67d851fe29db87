//! A T5 encoder that stays on disk until a prompt is encoded.

use super::{T5Config, T5Encoder, T5Tokenizer};
use crate::checkpoint::Checkpoint;
use crate::layers::{Place, Source};
use crate::pipeline::OpenError;
use candle_core::{DType, Tensor};
use std::sync::Arc;

/// A tokenizer, which is small, and where to find its encoder, which is not.
#[derive(Debug)]
pub struct T5Component {
    checkpoint: Arc<Checkpoint>,
    component: &'static str,
    tokenizer: T5Tokenizer,
    config: T5Config,
    place: Place,
}

/// Which tokens of a padded text are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padded {
    /// All: padding is attended to, and is part of the result.
    Kept,
    /// The text's own, up to its end token. It is as if padding were masked.
    Dropped,
}

impl T5Component {
    /// Opens a tokenizer and the configuration of an encoder, by the names of their components.
    pub fn open(
        checkpoint: &Arc<Checkpoint>,
        tokenizer: &str,
        encoder: &'static str,
        place: &Place,
    ) -> Result<Self, OpenError> {
        Ok(Self {
            tokenizer: T5Tokenizer::open(checkpoint, tokenizer)?,
            config: checkpoint.config(encoder)?,
            component: encoder,
            checkpoint: checkpoint.clone(),
            place: without_f16(place),
        })
    }

    /// What the encoder's `config.json` says.
    pub fn config(&self) -> &T5Config {
        &self.config
    }

    /// Loads the encoder, encodes the texts, each cut or padded to `max` tokens, and lets go of
    /// it: `[n, d_model]` in the encoder's number format, which is never f16.
    pub fn encode<const N: usize>(
        &self,
        texts: [&str; N],
        max: usize,
        padded: Padded,
    ) -> Result<[Tensor; N], OpenError> {
        let mut weights = self.checkpoint.weights(self.component)?;
        let encoder = T5Encoder::load(Source::new(&mut weights, &self.place), &self.config)?;
        weights.finish()?;
        let encode = |text: &&str| {
            let (tokens, real) = self.tokenizer.encode(text, max);
            match padded {
                Padded::Kept => encoder.encode(&tokens, None),
                Padded::Dropped => encoder.encode(&tokens[..real], None),
            }
        };
        let all = texts.iter().map(encode).collect::<Result<Vec<_>, _>>()?;
        // Invariant: as many encoded as there are texts.
        Ok(all.try_into().expect("one of each text"))
    }
}

/// The same place, with bf16 for f16, in which the published encoders overflow.
fn without_f16(place: &Place) -> Place {
    let dtype = match place.dtype {
        DType::F16 => DType::BF16,
        other => other,
    };
    let device = place.device.clone();
    Place { device, dtype }
}
