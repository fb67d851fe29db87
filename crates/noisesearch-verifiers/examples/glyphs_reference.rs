//! Pictures in, features out: makes the reference set of the glyphs. `lab/glyphs/reference.sh`
//! runs it.
//!
//! ```text
//! stdin   pictures of 32x32 bytes, as many of each class, class by class
//! stdout  safetensors: features [pictures, 64] f16, by the oracle whose hash is in the metadata
//! ```

use candle_core::{DType, Device, Tensor};
use noisesearch_verifiers::glyphs::judge::{FEATURES, Judge, SIDE};
use noisesearch_verifiers::glyphs::oracle::Oracle;
use noisesearch_verifiers::metrics::describe::Describer;
use safetensors::tensor::{Dtype, TensorView, serialize};
use std::collections::HashMap;
use std::error::Error;
use std::io::{self, Read, Write};

fn main() -> Result<(), Box<dyn Error>> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    let count = bytes.len() / (SIDE * SIDE);
    let images = Tensor::from_vec(bytes, (count, 1, SIDE, SIDE), &Device::Cpu)?;
    let images = (images.to_dtype(DType::F32)? / 255.0)?;
    let oracle = Oracle::new(Judge::oracle()?);
    let features = oracle.features(&images)?;
    let halves = Tensor::from_slice(features.values(), features.values().len(), &Device::Cpu)?;
    let halves: Vec<half::f16> = halves.to_dtype(DType::F16)?.to_vec1()?;
    let data: Vec<u8> = halves.into_iter().flat_map(|x| x.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F16, vec![count, FEATURES], &data)?;
    let about = HashMap::from([("oracle".to_owned(), Describer::id(&oracle).1.to_owned())]);
    let file = serialize([("features", view)], Some(about))?;
    io::stdout().write_all(&file)?;
    Ok(())
}
