//! The lines of an image on their way into a convolution.

use crate::layers::floats::ARENAS;
use crate::layers::{GroupNorm, upsample};
use crate::nn::bf16::round_to;
use crate::nn::group_norm::Fitted;
use crate::nn::isa::Isa;
use candle_core::{Result, Tensor};

/// What comes before a convolution. On the CPU it is done on the way to the bordered copy.
#[derive(Clone, Copy, Debug)]
pub enum Before<'a> {
    /// Nothing.
    Nothing,
    /// A group norm and a SiLU.
    Norm(&'a GroupNorm),
    /// Height and width doubled by repeating pixels, then cut to a size.
    Doubled([usize; 2]),
}

impl Before<'_> {
    /// Size of what comes of an image.
    pub(super) fn size(&self, [h, w]: [usize; 2]) -> [usize; 2] {
        match self {
            Before::Doubled([height, width]) => [(2 * h).min(*height), (2 * w).min(*width)],
            _ => [h, w],
        }
    }

    pub(super) fn plain(&self, x: &Tensor) -> Result<Tensor> {
        let (_, h, w, _) = x.dims4()?;
        let [height, width] = self.size([h, w]);
        match self {
            Before::Nothing => Ok(x.clone()),
            Before::Norm(norm) => norm.silu(x),
            Before::Doubled(_) => upsample(x)?.narrow(1, 0, height)?.narrow(2, 0, width),
        }
    }
}

/// The lines of an image `[h, w, c]` as a convolution reads them.
pub(super) struct Lines<'a> {
    x: &'a [f32],
    line: usize,
    channels: usize,
    fitted: Option<Fitted>,
    doubled: bool,
}

impl<'a> Lines<'a> {
    pub fn new(x: &'a [f32], [w, channels]: [usize; 2], before: Before) -> Self {
        Self {
            x,
            line: w * channels,
            channels,
            fitted: match before {
                Before::Norm(norm) => Some(norm.fit(x)),
                _ => None,
            },
            doubled: matches!(before, Before::Doubled(_)),
        }
    }

    /// Writes line `y`.
    pub fn write(&self, y: usize, out: &mut [f32]) {
        let y = if self.doubled { y / 2 } else { y };
        let x = &self.x[y * self.line..][..self.line];
        match &self.fitted {
            Some(fitted) => fitted.apply(Isa::best(), x, true, out),
            None if self.doubled => {
                for (i, pixel) in out.chunks_exact_mut(self.channels).enumerate() {
                    pixel.copy_from_slice(&x[i / 2 * self.channels..][..self.channels]);
                }
            }
            None => out.copy_from_slice(x),
        }
    }

    /// Writes line `y` rounded to bf16.
    pub fn write_rounded(&self, y: usize, out: &mut [u16]) {
        let isa = Isa::best();
        if self.fitted.is_none() && !self.doubled {
            return round_to(isa, &self.x[y * self.line..][..self.line], out);
        }
        ARENAS.with(|arena| {
            let mut line = arena.take(out.len());
            self.write(y, &mut line);
            round_to(isa, &line, out);
            arena.give(line);
        });
    }
}
