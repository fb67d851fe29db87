//! Layer norm, RMS norm and group norm.

use super::floats::{floats, on_cpu, share};
use super::{Activation, Loaded, Source, fused};
use crate::nn::group_norm;
use crate::nn::isa::Isa;
use crate::nn::norm::{self, Affine};
use candle_core::{D, DType, Result, Tensor};
use rayon::prelude::*;

/// `(x - mean) / sqrt(var + eps)` over the last dimension, times a scale plus a shift.
#[derive(Debug)]
pub struct LayerNorm {
    /// Scale and shift, `[channels]`; all ones and zeros where the layer has none.
    scale: Tensor,
    shift: Tensor,
    eps: f32,
}

impl LayerNorm {
    /// Takes `weight` and `bias`, both `[channels]`.
    pub fn load(mut s: Source, channels: usize, eps: f32) -> Loaded<Self> {
        Ok(Self {
            scale: s.tensor("weight", &[channels])?,
            shift: s.tensor("bias", &[channels])?,
            eps,
        })
    }

    /// A layer norm without weights, for the place of `s`.
    pub fn bare(s: &Source, channels: usize, eps: f32) -> Loaded<Self> {
        Ok(Self {
            scale: s.send(vec![1.0; channels], &[channels])?,
            shift: s.send(vec![0.0; channels], &[channels])?,
            eps,
        })
    }

    /// `x: [.., channels]`, same shape.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if fused::takes(x, self.scale.elem_count()) {
            let affine = [&self.scale, &self.shift];
            return fused::layer_norm(x, affine, 0.0, self.eps)?.launch();
        }
        if !on_cpu(x) {
            let y = standardised(x, self.eps)?.to_dtype(x.dtype())?;
            return y.broadcast_mul(&self.scale)?.broadcast_add(&self.shift);
        }
        let (scale, shift) = (
            self.scale.storage_and_layout(),
            self.shift.storage_and_layout(),
        );
        let (scale, shift) = (floats(&scale)?, floats(&shift)?);
        let affine = Affine { scale, shift };
        by_rows(x, |x, out| {
            norm::layer_norm(Isa::best(), x, self.eps, affine, out);
        })
    }

    /// `(1 + scale) * norm(x) + shift` with `x: [b, tokens, channels]` and `shift, scale:
    /// [b, channels]`, of a layer norm without weights (adaLN).
    pub fn modulated(&self, x: &Tensor, shift: &Tensor, scale: &Tensor) -> Result<Tensor> {
        let (_, tokens, channels) = x.dims3()?;
        if !on_cpu(x) {
            return modulated(x, shift, scale, self.eps);
        }
        let mut out = vec![0.0; x.elem_count()];
        let [x, shift, scale] = [x.contiguous()?, shift.contiguous()?, scale.contiguous()?];
        let [rows, shift, scale] = [&x, &shift, &scale].map(Tensor::storage_and_layout);
        let (rows, shift, scale) = (floats(&rows)?, floats(&shift)?, floats(&scale)?);
        let rows = rows.par_chunks(channels);
        let rows = rows.zip(out.par_chunks_mut(channels));
        rows.enumerate().for_each(|(i, (x, out))| {
            let at = i / tokens * channels;
            let affine = Affine {
                scale: &scale[at..][..channels],
                shift: &shift[at..][..channels],
            };
            norm::layer_norm_modulated(Isa::best(), x, self.eps, affine, out);
        });
        Tensor::from_vec(out, x.shape(), x.device())
    }
}

/// [`LayerNorm::modulated`] elsewhere than in f32 on the CPU.
pub(crate) fn modulated(x: &Tensor, shift: &Tensor, scale: &Tensor, eps: f32) -> Result<Tensor> {
    if fused::takes(x, fused::width(x)) {
        return fused::layer_norm(x, [scale, shift], 1.0, eps)?.launch();
    }
    let scale = scale.affine(1.0, 1.0)?.unsqueeze(1)?;
    let y = standardised(x, eps)?.to_dtype(x.dtype())?;
    y.broadcast_mul(&scale)?.broadcast_add(&shift.unsqueeze(1)?)
}

/// `scale * x / sqrt(mean(x^2) + eps)` over the last dimension.
#[derive(Debug)]
pub struct RmsNorm {
    scale: Tensor,
    eps: f32,
}

impl RmsNorm {
    /// Takes the scale `name: [channels]`.
    pub fn load(mut s: Source, name: &str, channels: usize, eps: f32) -> Loaded<Self> {
        let scale = s.tensor(name, &[channels])?;
        Ok(Self { scale, eps })
    }

    /// The same for every head of `x: [b, tokens, heads * channels]`, which may be a part of a
    /// larger tensor; same shape, contiguous.
    pub fn by_heads(&self, x: &Tensor) -> Result<Tensor> {
        let channels = self.scale.elem_count();
        if fused::takes(x, channels) {
            return fused::rms_norm(x, &self.scale, self.eps)?.launch();
        }
        let (b, tokens, width) = x.dims3()?;
        let heads = x.reshape((b, tokens, width / channels, channels))?;
        self.forward(&heads)?.reshape(x.shape())
    }

    /// `x: [.., channels]`, same shape.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if fused::takes(x, self.scale.elem_count()) {
            return fused::rms_norm(x, &self.scale, self.eps)?.launch();
        }
        if !on_cpu(x) {
            let wide = x.to_dtype(DType::F32)?;
            let mean = wide.sqr()?.mean_keepdim(D::Minus1)?;
            let length = mean.affine(1.0, f64::from(self.eps))?.sqrt()?;
            let y = wide.broadcast_div(&length)?.to_dtype(x.dtype())?;
            return y.broadcast_mul(&self.scale);
        }
        let scale = self.scale.storage_and_layout();
        let scale = floats(&scale)?;
        by_rows(x, |x, out| {
            norm::rms_norm(Isa::best(), x, self.eps, scale, out)
        })
    }
}

/// Group norm over `[b, .., channels]`: statistics over all positions and the channels of a group
/// (Wu and He 2018, arXiv 1803.08494).
#[derive(Debug)]
pub struct GroupNorm {
    cpu: group_norm::GroupNorm,
    scale: Tensor,
    shift: Tensor,
    channels: usize,
    groups: usize,
    eps: f32,
}

impl GroupNorm {
    /// Takes `weight` and `bias`, both `[channels]`, a multiple of `groups`.
    pub fn load(mut s: Source, channels: usize, groups: usize, eps: f32) -> Loaded<Self> {
        let gamma = s.floats("weight", &[channels])?;
        let beta = s.floats("bias", &[channels])?;
        Ok(Self {
            scale: s.send(gamma.clone(), &[channels])?,
            shift: s.send(beta.clone(), &[channels])?,
            cpu: group_norm::GroupNorm::new(gamma, beta, groups, eps),
            channels,
            groups,
            eps,
        })
    }

    /// `x: [b, .., channels]`, same shape.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, false)
    }

    /// The same, then a SiLU.
    pub fn silu(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, true)
    }

    /// The norm with the statistics of one image `x: [pixels, channels]` on the CPU.
    pub(super) fn fit(&self, x: &[f32]) -> group_norm::Fitted {
        self.cpu.fit(Isa::best(), x)
    }

    /// Channels that it takes.
    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    fn apply(&self, x: &Tensor, silu: bool) -> Result<Tensor> {
        if !on_cpu(x) {
            return self.plain(x, silu);
        }
        let row = x.elem_count() / x.dim(0)?;
        let mut out = vec![0.0; x.elem_count()];
        let x = x.contiguous()?;
        let reading = x.storage_and_layout();
        let part = share(row / self.channels()) * self.channels();
        let images = floats(&reading)?.chunks_exact(row);
        for (x, out) in images.zip(out.chunks_exact_mut(row)) {
            let fitted = self.fit(x);
            let parts = x.par_chunks(part).zip(out.par_chunks_mut(part));
            parts.for_each(|(x, out)| fitted.apply(Isa::best(), x, silu, out));
        }
        Tensor::from_vec(out, x.shape(), x.device())
    }

    fn plain(&self, x: &Tensor, silu: bool) -> Result<Tensor> {
        if fused::takes(x, self.channels) {
            let norm = fused::Groups {
                scale: &self.scale,
                shift: &self.shift,
                groups: self.groups,
                eps: self.eps,
            };
            let function = silu.then_some(Activation::Silu);
            return fused::group_norm(x, &norm, function, fused::Call::launch);
        }
        let (b, channels) = (x.dim(0)?, x.dim(D::Minus1)?);
        let pixels = x.elem_count() / b / channels;
        let grouped = x.reshape((b, pixels, self.groups, channels / self.groups))?;
        let grouped = grouped.transpose(1, 2)?.contiguous()?;
        let y = standardised(&grouped.flatten_from(2)?, self.eps)?.to_dtype(x.dtype())?;
        let y = y.reshape(grouped.shape())?.transpose(1, 2)?.contiguous()?;
        let y = y.reshape(x.shape())?;
        let y = y.broadcast_mul(&self.scale)?.broadcast_add(&self.shift)?;
        if silu { y.silu() } else { Ok(y) }
    }
}

/// Rows of `x: [.., channels]` by all threads.
fn by_rows(x: &Tensor, work: impl Fn(&[f32], &mut [f32]) + Sync) -> Result<Tensor> {
    let channels = x.dim(D::Minus1)?;
    let part = share(x.elem_count() / channels) * channels;
    let mut out = vec![0.0; x.elem_count()];
    let x = x.contiguous()?;
    let reading = x.storage_and_layout();
    let parts = floats(&reading)?.par_chunks(part);
    parts
        .zip(out.par_chunks_mut(part))
        .for_each(|(x, out)| work(x, out));
    Tensor::from_vec(out, x.shape(), x.device())
}

/// `(x - mean) / sqrt(var + eps)` over the last dimension, in f32.
fn standardised(x: &Tensor, eps: f32) -> Result<Tensor> {
    let x = x.to_dtype(DType::F32)?;
    let x = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = x.sqr()?.mean_keepdim(D::Minus1)?;
    x.broadcast_div(&variance.affine(1.0, f64::from(eps))?.sqrt()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{close, each_place, file, here, values};

    #[test]
    fn norms_follow_their_formulas_on_both_routes() {
        let x = values(&[2, 6, 12], 1);
        let (w, b) = (values(&[12], 2), values(&[12], 3));
        let (scale, shift) = (values(&[2, 12], 4), values(&[2, 12], 5));
        let plain = standardised(&x, 1e-5).unwrap();
        let affine = |y: &Tensor| y.broadcast_mul(&w).unwrap().broadcast_add(&b).unwrap();
        let modulated = plain
            .broadcast_mul(&(scale.unsqueeze(1).unwrap() + 1.0).unwrap())
            .and_then(|y| y.broadcast_add(&shift.unsqueeze(1)?))
            .unwrap();
        each_place(|place| {
            let x = here(place, &x);
            let mut weights = file(&[("weight", &w), ("bias", &b)]);
            let layer = LayerNorm::load(Source::new(&mut weights, place), 12, 1e-5).unwrap();
            close(&layer.forward(&x).unwrap(), &affine(&plain), 1e-6);
            let bare = LayerNorm::bare(&Source::new(&mut weights, place), 12, 1e-5).unwrap();
            close(&bare.forward(&x).unwrap(), &plain, 1e-6);
            let [shift, scale] = [&shift, &scale].map(|m| here(place, m));
            let got = bare.modulated(&x, &shift, &scale).unwrap();
            close(&got, &modulated, 1e-6);
        });
    }

    #[test]
    fn rms_norm_is_the_same_on_both_routes() {
        let (x, w) = (values(&[4, 12], 1), values(&[12], 2));
        let length = (x.sqr().unwrap().mean_keepdim(1).unwrap() + 1e-6)
            .and_then(|mean| mean.sqrt())
            .unwrap();
        let want = x.broadcast_div(&length).unwrap().broadcast_mul(&w).unwrap();
        each_place(|place| {
            let x = here(place, &x);
            let mut weights = file(&[("scale", &w)]);
            let root = Source::new(&mut weights, place);
            let layer = RmsNorm::load(root, "scale", 12, 1e-6).unwrap();
            close(&layer.forward(&x).unwrap(), &want, 1e-6);
        });
    }

    #[test]
    fn group_norm_is_the_same_on_both_routes() {
        let x = values(&[2, 3, 5, 12], 1);
        let (w, b) = (values(&[12], 2), values(&[12], 3));
        let grouped = x.reshape((2, 15, 4, 3)).unwrap().transpose(1, 2).unwrap();
        let flat = grouped.contiguous().unwrap().reshape((2, 4, 45)).unwrap();
        let y = standardised(&flat, 1e-5).unwrap().reshape((2, 4, 15, 3));
        let y = y.unwrap().transpose(1, 2).unwrap().contiguous().unwrap();
        let y = y.reshape(x.shape()).unwrap();
        let want = y.broadcast_mul(&w).unwrap().broadcast_add(&b).unwrap();
        each_place(|place| {
            let x = here(place, &x);
            let mut weights = file(&[("weight", &w), ("bias", &b)]);
            let layer = GroupNorm::load(Source::new(&mut weights, place), 12, 4, 1e-5).unwrap();
            close(&layer.forward(&x).unwrap(), &want, 2e-6);
            close(&layer.silu(&x).unwrap(), &want.silu().unwrap(), 2e-6);
        });
    }
}
