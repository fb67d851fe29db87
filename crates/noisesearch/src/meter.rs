//! The only way to a denoiser: every row that runs is counted.

use candle_core::{Result, Tensor};
use noisesearch_core::level::Level;
use noisesearch_models::denoiser::{Conditioning, Denoiser, LatentShape};
use std::sync::atomic::{AtomicU64, Ordering};

/// A denoiser that counts.
pub struct Meter {
    denoiser: Box<dyn Denoiser>,
    nfe: AtomicU64,
}

impl Meter {
    /// A meter at zero before `denoiser`.
    pub fn new(denoiser: Box<dyn Denoiser>) -> Self {
        Self {
            denoiser,
            nfe: AtomicU64::new(0),
        }
    }

    /// Evaluations so far: rows times calls, those that failed included.
    pub fn nfe(&self) -> u64 {
        self.nfe.load(Ordering::Relaxed)
    }
}

impl Denoiser for Meter {
    fn shape(&self) -> LatentShape {
        self.denoiser.shape()
    }

    fn denoise(&self, x: &Tensor, at: Level, cond: &Conditioning) -> Result<Tensor> {
        self.nfe.fetch_add(x.dim(0)? as u64, Ordering::Relaxed);
        self.denoiser.denoise(x, at, cond)
    }

    fn passes_per_row(&self, cond: &Conditioning) -> u64 {
        self.denoiser.passes_per_row(cond)
    }
}
