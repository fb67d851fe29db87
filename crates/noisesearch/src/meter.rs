//! The only way to a denoiser: every row that runs is counted, forwards and backwards.

use candle_core::{Result, Tensor, bail};
use noisesearch_core::ledger::BACKWARD_NFE;
use noisesearch_core::level::Level;
use noisesearch_models::denoiser::{Conditioning, Denoiser, LatentShape};
use noisesearch_models::gradient::DenoiserGradient;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A denoiser that counts.
pub struct Meter {
    denoiser: Box<dyn Denoiser>,
    nfe: AtomicU64,
    given_up: AtomicBool,
}

impl Meter {
    /// A meter at zero before `denoiser`.
    pub fn new(denoiser: Box<dyn Denoiser>) -> Self {
        Self {
            denoiser,
            nfe: AtomicU64::new(0),
            given_up: AtomicBool::new(false),
        }
    }

    /// Evaluations so far: rows times calls, those that failed included. One backwards counts as
    /// [`BACKWARD_NFE`].
    pub fn nfe(&self) -> u64 {
        self.nfe.load(Ordering::Relaxed)
    }

    /// Whether evaluations are refused from now on, because nobody waits for them.
    pub fn give_up(&self, yes: bool) {
        self.given_up.store(yes, Ordering::Relaxed);
    }
}

impl Denoiser for Meter {
    fn shape(&self) -> LatentShape {
        self.denoiser.shape()
    }

    fn denoise(&self, x: &Tensor, at: Level, cond: &Conditioning) -> Result<Tensor> {
        if self.given_up.load(Ordering::Relaxed) {
            bail!("the search ended before this was needed");
        }
        self.nfe.fetch_add(x.dim(0)? as u64, Ordering::Relaxed);
        self.denoiser.denoise(x, at, cond)
    }

    fn passes_per_row(&self, cond: &Conditioning) -> u64 {
        self.denoiser.passes_per_row(cond)
    }

    fn gradient(&self) -> Option<Box<dyn DenoiserGradient + '_>> {
        let gradient = self.denoiser.gradient()?;
        let nfe = &self.nfe;
        Some(Box::new(MeteredGradient { gradient, nfe }))
    }
}

/// The way back, counted.
struct MeteredGradient<'a> {
    gradient: Box<dyn DenoiserGradient + 'a>,
    nfe: &'a AtomicU64,
}

impl DenoiserGradient for MeteredGradient<'_> {
    fn vjp(
        &self,
        x: &Tensor,
        at: Level,
        cond: &Conditioning,
        cotangent: &Tensor,
    ) -> Result<Tensor> {
        self.nfe.fetch_add(BACKWARD_NFE, Ordering::Relaxed);
        self.gradient.vjp(x, at, cond, cotangent)
    }
}
