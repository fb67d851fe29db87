//! A text encoder of CLIP that stays on disk until a prompt is encoded.

use super::{ClipText, ClipTextConfig, ClipTextOutput, ClipTokenizer};
use crate::checkpoint::Checkpoint;
use crate::layers::{Place, Source};
use crate::pipeline::OpenError;
use std::sync::Arc;

/// A tokenizer, which is small, and where to find its text encoder, which is not.
#[derive(Debug)]
pub struct ClipComponent {
    checkpoint: Arc<Checkpoint>,
    component: &'static str,
    tokenizer: ClipTokenizer,
    config: ClipTextConfig,
    place: Place,
}

impl ClipComponent {
    /// Opens a tokenizer and the configuration of a text encoder, by the names of their
    /// components.
    pub fn open(
        checkpoint: &Arc<Checkpoint>,
        tokenizer: &str,
        encoder: &'static str,
        place: &Place,
    ) -> Result<Self, OpenError> {
        Ok(Self {
            tokenizer: ClipTokenizer::open(checkpoint, tokenizer)?,
            config: checkpoint.config(encoder)?,
            component: encoder,
            checkpoint: checkpoint.clone(),
            place: place.clone(),
        })
    }

    /// What the encoder's `config.json` says.
    pub fn config(&self) -> &ClipTextConfig {
        &self.config
    }

    /// Loads the encoder, encodes the texts, and lets go of it.
    pub fn encode<const N: usize>(
        &self,
        texts: [&str; N],
    ) -> Result<[ClipTextOutput; N], OpenError> {
        let mut weights = self.checkpoint.weights(self.component)?;
        let encoder = ClipText::load(Source::new(&mut weights, &self.place), &self.config)?;
        weights.finish()?;
        let encode = |text: &&str| encoder.encode(&self.tokenizer.encode(text));
        let all = texts.iter().map(encode).collect::<Result<Vec<_>, _>>()?;
        // Invariant: as many encoded as there are texts.
        Ok(all.try_into().expect("one of each text"))
    }
}
