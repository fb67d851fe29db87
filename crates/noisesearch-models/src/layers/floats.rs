//! From CPU tensors to floats and back.

use crate::nn::buffer::Arenas;
use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor, bail};
use std::ops::Deref;
use std::sync::LazyLock;

/// Memory of the CPU route, reused by every layer.
pub(super) static ARENAS: LazyLock<Arenas> = LazyLock::new(Arenas::default);

/// Whether the kernels of [`crate::nn`] take this tensor.
pub(super) fn on_cpu(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// The floats of a contiguous f32 CPU tensor in row-major order:
/// `floats(&x.storage_and_layout())?`.
pub(crate) fn floats<'a, G>((storage, layout): &'a (G, &Layout)) -> Result<&'a [f32]>
where
    G: Deref<Target = Storage>,
{
    match (&**storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(floats)), Some((start, end))) => Ok(&floats[start..end]),
        _ => bail!("expected a contiguous f32 tensor on the CPU"),
    }
}

/// A copy of an f32 CPU tensor's floats in row-major order.
pub(super) fn copied(x: &Tensor) -> Result<Vec<f32>> {
    let x = x.contiguous()?;
    Ok(floats(&x.storage_and_layout())?.to_vec())
}

/// Rows that one thread works on at a time: all rows divided evenly, a multiple of 8 so that few
/// tiles are cut.
pub(super) fn share(rows: usize) -> usize {
    let even = rows.div_ceil(rayon::current_num_threads().max(1));
    even.next_multiple_of(8).max(8)
}

/// The most rows of a product that one thread works on at a time: what follows the product then
/// finds its results near, and threads that are held up leave more to the others.
pub(super) const PART: usize = 512;

/// What a layer adds to its result, as it works through it in parts.
pub(super) struct Summand<'a>(pub Option<&'a [f32]>);

impl Summand<'_> {
    /// Adds to the part `out` of a result whose first float is number `first`. A summand of one
    /// pixel's length, `channels`, is added to every pixel.
    pub fn add(&self, out: &mut [f32], first: usize, channels: usize) {
        match self.0 {
            None => {}
            Some(pixel) if pixel.len() == channels => {
                for out in out.chunks_exact_mut(channels) {
                    out.iter_mut().zip(pixel).for_each(|(out, y)| *out += y);
                }
            }
            Some(all) => {
                let all = &all[first..][..out.len()];
                out.iter_mut().zip(all).for_each(|(out, y)| *out += y);
            }
        }
    }
}

/// `[b, c, h, w]` to `[b, h, w, c]`.
pub fn channels_last(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 2, 3, 1))?.contiguous()
}

/// `[b, h, w, c]` to `[b, c, h, w]`.
pub fn channels_first(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 3, 1, 2))?.contiguous()
}
