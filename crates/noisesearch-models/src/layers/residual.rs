//! What a branch adds to the stream it left.

use super::floats::{copied, floats, on_cpu, share};
use super::fused;
use candle_core::{Result, Tensor};
use rayon::prelude::*;

/// `x + y`, of one shape.
pub fn add(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    if fused::takes(x, fused::width(x)) && x.shape() == y.shape() {
        return fused::join(x, y, None, None)?.launch();
    }
    if !on_cpu(x) || x.shape() != y.shape() {
        return x + y;
    }
    let mut out = copied(x)?;
    let part = share(out.len());
    let y = y.contiguous()?;
    let reading = y.storage_and_layout();
    let parts = out
        .par_chunks_mut(part)
        .zip(floats(&reading)?.par_chunks(part));
    parts.for_each(|(x, y)| x.iter_mut().zip(y).for_each(|(x, y)| *x += y));
    Tensor::from_vec(out, x.shape(), x.device())
}

/// `x + gate * y` with `x, y: [b, tokens, channels]` and `gate: [b, channels]`.
pub fn add_gated(x: &Tensor, gate: &Tensor, y: &Tensor) -> Result<Tensor> {
    let (_, tokens, channels) = x.dims3()?;
    if fused::takes(x, channels) {
        return fused::join(x, y, Some(gate), None)?.launch();
    }
    if !on_cpu(x) {
        return x + y.broadcast_mul(&gate.unsqueeze(1)?)?;
    }
    let mut out = copied(x)?;
    let (y, gate) = (y.contiguous()?, gate.contiguous()?);
    let (y, gate) = (y.storage_and_layout(), gate.storage_and_layout());
    let (y, gate) = (floats(&y)?, floats(&gate)?);
    let rows = out.par_chunks_mut(channels).zip(y.par_chunks(channels));
    rows.enumerate().for_each(|(i, (x, y))| {
        let gate = &gate[i / tokens * channels..][..channels];
        for ((x, y), gate) in x.iter_mut().zip(y).zip(gate) {
            *x += gate * y;
        }
    });
    Tensor::from_vec(out, x.shape(), x.device())
}

/// `x + y` at every pixel, with `x: [b, h, w, channels]` and `y: [b, channels]`.
pub fn add_to_pixels(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let (b, h, w, channels) = x.dims4()?;
    if fused::takes(x, channels) {
        return fused::activate(x, Some(y), None)?.launch();
    }
    if !on_cpu(x) || y.dims() != [b, channels] {
        return x.broadcast_add(&y.unsqueeze(1)?.unsqueeze(1)?);
    }
    let mut out = copied(x)?;
    let y = y.contiguous()?;
    let reading = y.storage_and_layout();
    let rows = floats(&reading)?.chunks_exact(channels);
    for (x, y) in out.chunks_exact_mut(h * w * channels).zip(rows) {
        x.par_chunks_mut(share(h * w) * channels).for_each(|part| {
            for pixel in part.chunks_exact_mut(channels) {
                pixel.iter_mut().zip(y).for_each(|(x, y)| *x += y);
            }
        });
    }
    Tensor::from_vec(out, x.shape(), x.device())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{close, values};

    #[test]
    fn sums_follow_their_formulas() {
        let (x, y) = (values(&[2, 3, 5], 1), values(&[2, 3, 5], 2));
        let gate = values(&[2, 5], 3);
        close(&add(&x, &y).unwrap(), &(&x + &y).unwrap(), 1e-7);
        let want = y
            .broadcast_mul(&gate.unsqueeze(1).unwrap())
            .and_then(|y| &x + y)
            .unwrap();
        close(&add_gated(&x, &gate, &y).unwrap(), &want, 1e-6);
        let image = values(&[2, 4, 3, 5], 4);
        let everywhere = gate.reshape((2, 1, 1, 5)).unwrap();
        let want = image.broadcast_add(&everywhere).unwrap();
        close(&add_to_pixels(&image, &gate).unwrap(), &want, 1e-7);
    }
}
