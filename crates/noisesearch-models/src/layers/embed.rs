//! Sinusoidal features of a time step.

use super::Place;
use candle_core::{Result, Tensor};

/// Which half of the features comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Cosines, then sines: all the diffusion models here.
    CosineFirst,
    /// Sines, then cosines: Vaswani et al. 2017.
    SineFirst,
}

/// `[times, width]`: cosines and sines of `t * 10000^(-i / half)` for `i` in `0..half`, with
/// `half = width / 2` (the form of Ho et al. 2020, arXiv 2006.11239, with no frequency shift).
/// `t` is on the scale of the network, mostly `0..1000`.
pub fn timestep(t: &[f64], width: usize, order: Order, place: &Place) -> Result<Tensor> {
    let half = width / 2;
    let mut out = Vec::with_capacity(t.len() * width);
    for t in t {
        let angles = (0..half).map(|i| {
            // The reference computes frequencies in f32; the product with a time of up to 1000
            // shows the difference.
            let exponent = -(10000f64.ln()) as f32 * i as f32 / half as f32;
            f64::from(libm::expf(exponent) * *t as f32)
        });
        let cosines = angles.clone().map(|a| libm::cos(a) as f32);
        let sines = angles.map(|a| libm::sin(a) as f32);
        match order {
            Order::CosineFirst => out.extend(cosines.chain(sines)),
            Order::SineFirst => out.extend(sines.chain(cosines)),
        }
    }
    Tensor::from_vec(out, (t.len(), width), &place.device)?.to_dtype(place.dtype)
}

/// `[width]`: cosines and sines of `t * 10000^(-i / (half - 1))` in the order of [`timestep`], so
/// that the last frequency is 1/10000 (as in the code of Ho et al.; `downscale_freq_shift=1` in
/// diffusers).
pub fn timestep_closed(t: f64, width: usize) -> Vec<f32> {
    let half = width / 2;
    let angles = (0..half).map(|i| {
        let exponent = -(10000f64.ln()) as f32 * i as f32 / (half as f32 - 1.0);
        f64::from(libm::expf(exponent) * t as f32)
    });
    let cosines = angles.clone().map(|a| libm::cos(a) as f32);
    cosines.chain(angles.map(|a| libm::sin(a) as f32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_cosines_and_sines() {
        let t = timestep(&[0.0, 3.0], 4, Order::CosineFirst, &Place::cpu()).unwrap();
        let t = t.to_vec2::<f32>().unwrap();
        assert_eq!(t[0], [1.0, 1.0, 0.0, 0.0]);
        let want = [3.0f64.cos(), 0.03f64.cos(), 3.0f64.sin(), 0.03f64.sin()];
        for (got, want) in t[1].iter().zip(want) {
            assert!((f64::from(*got) - want).abs() < 1e-6);
        }
        let t = timestep(&[3.0], 4, Order::SineFirst, &Place::cpu()).unwrap();
        assert_eq!(t.to_vec2::<f32>().unwrap()[0][0], 3.0f64.sin() as f32);
    }
}
