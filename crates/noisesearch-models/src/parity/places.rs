//! Where golden values are held: on the CPU, or on the device that the environment names.

use crate::layers::Place;
use candle_core::{DType, Device, Result, Tensor, bail};

/// Names the device of the tests: `cpu`, which is meant when it is not set, `cuda:0` or `metal`.
pub const TEST_DEVICE: &str = "NOISESEARCH_TEST_DEVICE";

/// A tolerance on another device, in that of the CPU: a library there sums in an order of its own
/// and rounds functions otherwise. A guess, since no device has been at hand.
const ELSEWHERE: f64 = 4.0;

fn name() -> String {
    std::env::var(TEST_DEVICE).unwrap_or_else(|_| "cpu".to_owned())
}

/// The device of the tests.
///
/// # Errors
/// There is none of this name, it is not built in, or it is not there.
pub fn device() -> Result<Device> {
    named(&name())
}

fn named(name: &str) -> Result<Device> {
    let index = name.strip_prefix("cuda:").map(str::parse);
    match (name, index) {
        ("cpu", _) => Ok(Device::Cpu),
        ("metal", _) => Device::new_metal(0),
        (_, Some(Ok(index))) => Place::cuda_device(index),
        _ => bail!("{TEST_DEVICE} is `{name}`; it is cpu, cuda:0 or metal"),
    }
}

/// That device in f32: on the CPU our kernels.
///
/// # Errors
/// As of [`device`].
pub fn place() -> Result<Place> {
    Ok(Place::new(device()?, DType::F32))
}

/// Every place where golden values are held in f32 or better. On the CPU these are both routes of
/// a layer: our kernels, and in f64 the operations of another device.
///
/// # Errors
/// As of [`device`].
pub fn places() -> Result<Vec<Place>> {
    let place = place()?;
    let wide = Place {
        dtype: DType::F64,
        ..place.clone()
    };
    Ok(match place.device.is_cpu() {
        true => vec![place, wide],
        false => vec![place],
    })
}

/// A tensor in the number format of a place, and there.
///
/// # Errors
/// Those of candle.
pub fn at(place: &Place, x: &Tensor) -> Result<Tensor> {
    x.to_device(&place.device)?.to_dtype(place.dtype)
}

/// What a tolerance that was seen on the CPU comes to on the device of the tests.
pub(crate) fn allowed(tolerance: f64) -> f64 {
    match name() == "cpu" {
        true => tolerance,
        false => ELSEWHERE * tolerance,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_names() {
        assert!(named("cpu").unwrap().is_cpu());
        for wrong in ["", "cuda", "cuda:", "cuda:x", "gpu", "CPU"] {
            let error = named(wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("`{wrong}`")), "{error}");
        }
        // An error where it is not built in or not there; never another device in its place.
        assert!(named("cuda:0").map_or(true, |device| device.is_cuda()));
    }
}
