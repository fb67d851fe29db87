//! Golden values of reference implementations, and the deterministic weights that both sides use.
//!
//! The scripts in `parity/` fill a reference network's tensors from their names, run it, and write
//! samples of what it computed; a test here fills the same tensors, runs ours, and compares. The
//! Python twin of this file is `parity/reference.py`.

mod places;

pub use places::{TEST_DEVICE, at, device, place, places};

pub(crate) use places::allowed;

use crate::layers::{Loaded, Place, Source};
use crate::weights::{Fault, Weights, WeightsError};
use candle_core::{DType, Device, Result, Tensor, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Elements of a tap that are kept, evenly spread over its row-major order.
const SAMPLES: usize = 256;

/// `count` numbers in `[-1, 1)`: splitmix64 of the name's FNV-1a hash and the index.
pub fn uniform(name: &str, count: usize) -> Vec<f32> {
    let seed = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    (1..=count as u64)
        .map(|i| {
            let z = seed.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) >> 40) as f32 / 8_388_608.0 - 1.0
        })
        .collect()
}

/// A tensor's values: matrices keep the variance of what they multiply, one-dimensional weights
/// are about one, everything else is small.
pub fn fill(name: &str, shape: &[usize]) -> Vec<f32> {
    let mut values = uniform(name, shape.iter().product());
    let one_d = [".weight", ".scale", "_norm", "layer_norm", ".running_var"];
    let about_one = name == "weight" || one_d.iter().any(|end| name.ends_with(end));
    if shape.len() >= 2 {
        let scale = (3.0 / shape[1..].iter().product::<usize>() as f64).sqrt() as f32;
        values.iter_mut().for_each(|v| *v *= scale);
    } else if about_one {
        values.iter_mut().for_each(|v| *v = 1.0 + 0.1 * *v);
    } else {
        values.iter_mut().for_each(|v| *v *= 0.1);
    }
    values
}

/// An input of unit variance.
pub fn input(name: &str, shape: &[usize]) -> Result<Tensor> {
    let scale = 3f64.sqrt() as f32;
    let values = uniform(name, shape.iter().product());
    let values: Vec<f32> = values.into_iter().map(|v| v * scale).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// A safetensors file of filled f32 tensors, in the order of their names.
pub fn checkpoint<'a>(tensors: impl IntoIterator<Item = (&'a String, &'a Vec<usize>)>) -> Vec<u8> {
    let mut file = Vec::new();
    // Invariant: memory takes what is written.
    write_checkpoint(tensors, &mut file).expect("a file in memory");
    file
}

/// Writes a safetensors file of filled f32 tensors, in the order of their names, one at a time.
pub fn write_checkpoint<'a>(
    tensors: impl IntoIterator<Item = (&'a String, &'a Vec<usize>)>,
    file: &mut impl Write,
) -> io::Result<()> {
    let tensors: Vec<_> = tensors.into_iter().collect();
    let (mut header, mut begin) = (serde_json::Map::new(), 0);
    for &(name, shape) in &tensors {
        let end = begin + 4 * shape.iter().product::<usize>();
        let entry = serde_json::json!({
            "dtype": "F32", "shape": shape, "data_offsets": [begin, end],
        });
        header.insert(name.clone(), entry);
        begin = end;
    }
    let mut header = serde_json::Value::Object(header).to_string();
    header.extend(std::iter::repeat_n(' ', header.len().wrapping_neg() % 8));
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    for (name, shape) in tensors {
        let bytes: Vec<u8> = fill(name, shape)
            .into_iter()
            .flat_map(f32::to_le_bytes)
            .collect();
        file.write_all(&bytes)?;
    }
    Ok(())
}

/// Is shown what a network computes inside, by the names of the taps.
pub type Watch<'a> = dyn FnMut(&str, &Tensor) -> Result<()> + 'a;

/// What a reference computed at one place.
#[derive(Clone, Debug, Deserialize)]
pub struct Tap {
    /// Shape of the tensor.
    pub shape: Vec<usize>,
    /// At most 256 elements, evenly spread over its row-major order.
    pub values: Vec<f64>,
}

/// A file of `parity/goldens`.
#[derive(Clone, Debug, Deserialize)]
pub struct Golden {
    /// Which implementation in which version computed it, by which script.
    pub origin: String,
    /// The configuration, as the reference's `config.json` has it.
    pub config: serde_json::Value,
    /// Every tensor of the checkpoint, with its shape.
    pub tensors: BTreeMap<String, Vec<usize>>,
    /// What the reference computed.
    pub taps: BTreeMap<String, Tap>,
    /// Whatever else the script wrote.
    #[serde(flatten)]
    pub more: BTreeMap<String, serde_json::Value>,
}

impl Golden {
    /// Reads the text of a golden file.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// The filled checkpoint.
    pub fn weights(&self) -> std::result::Result<Weights, WeightsError> {
        Weights::from_bytes(checkpoint(&self.tensors))
    }

    /// The largest difference between `got` and a tap, as a share of the tap's largest element.
    pub fn error(&self, tap: &str, got: &Tensor) -> Result<f64> {
        let Some(tap) = self.taps.get(tap) else {
            bail!("the golden file has no tap `{tap}`")
        };
        if got.dims() != tap.shape {
            bail!("{:?} for a tap of shape {:?}", got.shape(), tap.shape)
        }
        let got = got.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let place = |i: usize| match got.len() <= SAMPLES {
            true => i,
            false => i * got.len() / SAMPLES,
        };
        let (mut error, mut size) = (0.0f64, f64::MIN_POSITIVE);
        for (i, want) in tap.values.iter().enumerate() {
            let difference = (f64::from(got[place(i)]) - want).abs();
            // A NaN must not pass for a small difference, nor be forgotten.
            if difference.is_nan() || difference > error {
                error = difference;
            }
            if error.is_nan() {
                break;
            }
            size = size.max(want.abs());
        }
        Ok(error / size)
    }

    /// Fails with the tap's name and the error if `got` is further from it than `tolerance`, which
    /// is that of the CPU; see [`TEST_DEVICE`].
    pub fn check(&self, tap: &str, got: &Tensor, tolerance: f64) -> Result<()> {
        let (error, tolerance) = (self.error(tap, got)?, allowed(tolerance));
        if error <= tolerance {
            return Ok(());
        }
        bail!("{tap}: off by {error:.1e} of the largest value, allowed are {tolerance:.1e}")
    }
}

/// A file of `parity/manifests`: every tensor of a published checkpoint.
#[derive(Clone, Debug, Deserialize)]
pub struct Manifest {
    /// Which implementation in which version has them, in which configuration.
    pub origin: String,
    /// The configuration, as the reference's `config.json` has it.
    #[serde(default)]
    pub config: serde_json::Value,
    /// The number format of every tensor, as safetensors names it.
    pub dtype: String,
    /// Names and shapes.
    pub tensors: BTreeMap<String, Vec<usize>>,
}

/// Number formats of published files besides the one of the reference.
const NARROWER: [&str; 2] = ["F16", "BF16"];
/// Number formats that no tensor of a network has.
const FOREIGN: [&str; 3] = ["F64", "I64", "F8_E4M3"];

impl Manifest {
    /// Reads the text of a manifest.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// Holds a network's loader to the manifest: it must ask for exactly these tensors, each once
    /// and in its shape, and take them in the number format of the manifest and in the narrower
    /// ones of published files, but in no other. No memory is taken for them.
    ///
    /// # Panics
    /// If it takes another number format, or the manifest's is none.
    pub fn check<T>(&self, load: impl Fn(Source) -> Loaded<T>) -> Loaded<()> {
        self.check_as(|weights| weights, load)
    }

    /// The same for a file in the layout of a model's authors, read as `component`.
    pub fn check_component<T>(
        &self,
        component: &str,
        load: impl Fn(Source) -> Loaded<T>,
    ) -> Loaded<()> {
        self.check_as(|weights| weights.component(component), load)
    }

    fn check_as<T>(
        &self,
        part: impl Fn(Weights) -> Weights,
        load: impl Fn(Source) -> Loaded<T>,
    ) -> Loaded<()> {
        let file = |dtype: &str| {
            let weights = Weights::hollow(dtype, &self.tensors);
            part(weights.unwrap_or_else(|| panic!("{dtype} is no number format")))
        };
        for dtype in NARROWER.into_iter().chain([&*self.dtype]) {
            held(file(dtype), &load)?;
        }
        for dtype in FOREIGN {
            let error = held(file(dtype), &load).err();
            let fault = error.as_ref().map(|error| &error.fault);
            let refused = matches!(fault, Some(Fault::Dtype { .. }));
            assert!(refused, "{dtype} is not refused: {error:?}");
        }
        Ok(())
    }
}

fn held<T>(mut weights: Weights, load: impl Fn(Source) -> Loaded<T>) -> Loaded<()> {
    // Not the place of our own kernels, which would pack what is not there.
    let place = Place {
        dtype: DType::BF16,
        ..Place::cpu()
    };
    load(Source::new(&mut weights, &place))?;
    weights.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of `parity/reference.py`: `uniform("a.weight", 3)`.
    #[test]
    fn both_sides_fill_alike() {
        let got = uniform("a.weight", 3);
        assert_eq!(got, UNIFORM);
        let matrix = fill("a.weight", &[2, 3]);
        assert_eq!(matrix[..3], UNIFORM.map(|u| u * 1.0));
        assert_eq!(fill("a.bias", &[3])[0], UNIFORM_BIAS * 0.1);
        assert_eq!(fill("a.weight", &[3])[0], 1.0 + 0.1 * UNIFORM[0]);
    }

    const UNIFORM: [f32; 3] = [0.341_063_62, -0.541_661_14, 0.806_667_7];
    const UNIFORM_BIAS: f32 = 0.510_771_3;

    #[test]
    fn a_checkpoint_of_filled_tensors_opens() {
        let tensors = BTreeMap::from([
            ("a.weight".to_owned(), vec![2, 3]),
            ("a.bias".to_owned(), vec![2]),
        ]);
        let mut weights = Weights::from_bytes(checkpoint(&tensors)).unwrap();
        let bias = weights.take_vec("a.bias", &[2]).unwrap();
        assert_eq!(bias, fill("a.bias", &[2]));
        weights.take_vec("a.weight", &[2, 3]).unwrap();
        weights.finish().unwrap();
    }

    #[test]
    fn a_manifest_is_asked_for_exactly() {
        use crate::layers::Linear;
        let text = r#"{"origin": "", "dtype": "F32",
            "tensors": {"a.weight": [70000, 90000], "a.bias": [70000]}}"#;
        let manifest = Manifest::parse(text).unwrap();
        // 25 GB if it were there.
        let load = |mut s: Source| Linear::load(s.at("a"), 90_000, 70_000);
        manifest.check(load).unwrap();
        let other = |mut s: Source| Linear::load(s.at("a"), 80_000, 70_000);
        manifest.check(other).unwrap_err();
        let part = |mut s: Source| Linear::unbiased(s.at("a"), 90_000, 70_000);
        manifest.check(part).unwrap_err();
        let unread = Manifest {
            dtype: "F64".into(),
            ..manifest
        };
        unread.check(load).unwrap_err();
    }

    #[test]
    fn differences_and_nans_are_seen() {
        let golden = Golden::parse(
            r#"{"origin": "", "config": {}, "tensors": {},
                "taps": {"x": {"shape": [2], "values": [1.0, -2.0]}}}"#,
        )
        .unwrap();
        let at = |values: [f32; 2]| Tensor::new(&values, &Device::Cpu).unwrap();
        assert_eq!(golden.error("x", &at([1.0, -2.0])).unwrap(), 0.0);
        assert_eq!(golden.error("x", &at([1.5, -2.0])).unwrap(), 0.25);
        assert!(golden.check("x", &at([1.5, -2.0]), 0.2).is_err());
        assert!(golden.check("x", &at([f32::NAN, -2.0]), 0.2).is_err());
        assert!(golden.check("y", &at([1.0, -2.0]), 0.2).is_err());
    }
}
