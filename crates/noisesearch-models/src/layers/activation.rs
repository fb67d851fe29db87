//! Elementwise functions.

use super::floats::{copied, floats, on_cpu, share};
use super::fused;
use crate::nn::activation::Activation;
use crate::nn::isa::Isa;
use candle_core::{D, Result, Tensor};
use rayon::prelude::*;

/// `f(x)` for every element; same shape.
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    if fused::takes(x, fused::width(x)) {
        return fused::activate(x, None, Some(activation))?.launch();
    }
    if !on_cpu(x) {
        return plain(x, activation);
    }
    let mut out = copied(x)?;
    let part = share(out.len());
    out.par_chunks_mut(part)
        .for_each(|part| activation.apply(Isa::best(), part));
    Tensor::from_vec(out, x.shape(), x.device())
}

/// `x: [.., 2 d]`, a value and a gate side by side, to `value * f(gate): [.., d]` (GEGLU, Shazeer
/// 2020, arXiv 2002.05202).
pub fn gated(x: &Tensor, activation: Activation) -> Result<Tensor> {
    let width = x.dim(D::Minus1)?;
    let d = width / 2;
    if fused::takes(x, d) {
        return fused::gated(x, None, activation)?.launch();
    }
    if !on_cpu(x) {
        let value = x.narrow(D::Minus1, 0, d)?;
        return value * plain(&x.narrow(D::Minus1, d, d)?, activation)?;
    }
    let rows = x.elem_count() / width;
    let part = share(rows);
    let mut out = vec![0.0; rows * d];
    let x = x.contiguous()?;
    let reading = x.storage_and_layout();
    let parts = floats(&reading)?.par_chunks(part * width);
    parts
        .zip(out.par_chunks_mut(part * d))
        .for_each(|(x, out)| {
            for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(d)) {
                let (value, gate) = x.split_at(d);
                out.copy_from_slice(gate);
                activation.apply(Isa::best(), out);
                out.iter_mut().zip(value).for_each(|(out, v)| *out *= v);
            }
        });
    let mut shape = x.dims().to_vec();
    *shape.last_mut().unwrap_or(&mut 0) = d;
    Tensor::from_vec(out, shape, x.device())
}

fn plain(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Silu => x.silu(),
        Activation::Gelu => x.gelu_erf(),
        Activation::GeluTanh => x.gelu(),
        Activation::QuickGelu => {
            let e = x.affine(-1.702, 0.0)?.exp()?;
            x / e.affine(1.0, 1.0)?
        }
        Activation::Relu => x.relu(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{close, values};

    const ALL: [Activation; 5] = [
        Activation::Silu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::QuickGelu,
        Activation::Relu,
    ];

    #[test]
    fn both_routes_agree() {
        let x = (values(&[3, 50], 1) * 6.0).unwrap();
        for activation in ALL {
            let want = plain(&x, activation).unwrap();
            close(&activate(&x, activation).unwrap(), &want, 1e-6);
            let (value, gate) = (x.narrow(1, 0, 25).unwrap(), x.narrow(1, 25, 25).unwrap());
            let want = (value * plain(&gate, activation).unwrap()).unwrap();
            close(&gated(&x, activation).unwrap(), &want, 1e-6);
        }
    }
}
