//! What the tests of this module share.

use super::Place;
use crate::nn::testing::wave;
use crate::parity;
use crate::weights::Weights;
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;

/// Numbers in `±1`, other ones for every seed.
pub(crate) fn values(shape: &[usize], seed: usize) -> Tensor {
    let count: usize = shape.iter().product();
    let floats = wave(count + seed, 1.0).split_off(seed);
    Tensor::from_vec(floats, shape, &Device::Cpu).unwrap()
}

/// A model file of these tensors.
pub(crate) fn file(tensors: &[(&str, &Tensor)]) -> Weights {
    let map: HashMap<_, _> = tensors
        .iter()
        .map(|&(n, t)| (n.to_owned(), t.clone()))
        .collect();
    let bytes = safetensors::serialize(&map, None).unwrap();
    Weights::from_bytes(bytes).unwrap()
}

/// Runs a check where our kernels work, and where candle's operations do, see [`parity::places`].
pub(crate) fn each_place(check: impl Fn(&Place)) {
    parity::places().unwrap().iter().for_each(check);
}

/// A tensor as a layer of this place takes it.
pub(crate) fn here(place: &Place, x: &Tensor) -> Tensor {
    parity::at(place, x).unwrap()
}

/// Every element within `tolerance` times the largest of `want`.
pub(crate) fn close(got: &Tensor, want: &Tensor, tolerance: f64) {
    assert_eq!(got.shape(), want.shape());
    let floats = |t: &Tensor| -> Vec<f32> {
        let t = t.to_dtype(DType::F32).unwrap().flatten_all().unwrap();
        t.to_vec1().unwrap()
    };
    let want: Vec<f64> = floats(want).into_iter().map(f64::from).collect();
    crate::nn::testing::assert_close(&floats(got), &want, parity::allowed(tolerance));
}
