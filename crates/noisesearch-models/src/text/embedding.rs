//! A table of learned vectors.

use crate::layers::{Loaded, Source};
use candle_core::{Result, Tensor, bail};

/// One vector a token.
#[derive(Debug)]
pub(super) struct Embedding {
    /// `[count, width]`.
    table: Tensor,
    count: usize,
}

impl Embedding {
    /// Takes `weight: [count, width]`.
    pub(super) fn load(mut s: Source, count: usize, width: usize) -> Loaded<Self> {
        let table = s.tensor("weight", &[count, width])?;
        Ok(Self { table, count })
    }

    /// The vectors of `ids`: `[1, ids, width]`.
    pub(super) fn forward(&self, ids: &[u32]) -> Result<Tensor> {
        if let Some(id) = ids.iter().find(|&&id| id as usize >= self.count) {
            bail!(
                "token {id} is not among the {} of the text encoder; its tokenizer belongs to \
                 another model",
                self.count
            )
        }
        let ids = Tensor::new(ids, self.table.device())?;
        self.table.index_select(&ids, 0)?.unsqueeze(0)
    }

    /// The first `count` vectors: `[1, count, width]`.
    pub(super) fn first(&self, count: usize) -> Result<Tensor> {
        self.table.narrow(0, 0, count)?.unsqueeze(0)
    }
}
