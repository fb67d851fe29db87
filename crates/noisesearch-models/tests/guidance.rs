//! Predictions and guidance against their definitions.

use candle_core::{Device, Result, Tensor};
use noisesearch_core::level::Level;
use noisesearch_models::denoiser::{Conditioning, Denoiser, Encoded, LatentShape, Network};
use noisesearch_models::guidance::Guided;
use noisesearch_models::path::{Betas, NoisePath};
use noisesearch_models::prediction::{Prediction, PredictionError};
use std::sync::{Arc, Mutex};

const SHAPE: LatentShape = LatentShape {
    channels: 2,
    height: 1,
    width: 3,
};

/// Multiplies a row by the number it is conditioned on; remembers how many rows each call had.
#[derive(Default)]
struct Scale {
    calls: Mutex<Vec<usize>>,
}

impl Network for Scale {
    fn predict(&self, x: &Tensor, _: Level, rows: &[&Encoded]) -> Result<Tensor> {
        self.calls.lock().unwrap().push(rows.len());
        assert_eq!(x.dim(0)?, rows.len());
        let factors: Vec<Tensor> = rows.iter().map(|row| row.tensors[0].clone()).collect();
        x.broadcast_mul(&Tensor::stack(&factors, 0)?.reshape((rows.len(), 1, 1, 1))?)
    }
}

fn conditioning(guidance: f32) -> Conditioning {
    let encoded = |value: f32| Encoded {
        tensors: vec![Tensor::new(value, &Device::Cpu).unwrap()],
    };
    Conditioning {
        cond: encoded(3.0),
        uncond: encoded(0.5),
        guidance,
    }
}

fn denoise(guidance: f32, rows: usize) -> (Vec<f32>, Vec<usize>) {
    let network = Arc::new(Scale::default());
    let guided = Guided::new(network.clone(), Prediction::Clean, NoisePath::Flow, SHAPE).unwrap();
    let x = Tensor::arange(0.0_f32, 6.0 * rows as f32, &Device::Cpu).unwrap();
    let x = x.reshape((rows, 2, 1, 3)).unwrap();
    let x0 = guided
        .denoise(&x, Level::NOISE, &conditioning(guidance))
        .unwrap();
    assert_eq!(x0.shape(), x.shape());
    let calls = network.calls.lock().unwrap().clone();
    (x0.flatten_all().unwrap().to_vec1().unwrap(), calls)
}

#[test]
fn guided_rows_go_through_the_network_in_one_call() {
    let (x0, calls) = denoise(2.0, 4);
    assert_eq!(calls, [8]);
    let factor = 0.5 + 2.0 * (3.0 - 0.5);
    let want: Vec<f32> = (0..24).map(|i| i as f32 * factor).collect();
    assert_eq!(x0, want);
}

#[test]
fn scale_one_is_one_pass_of_the_task_itself() {
    let (x0, calls) = denoise(1.0, 4);
    assert_eq!(calls, [4]);
    assert_eq!(x0, (0..24).map(|i| i as f32 * 3.0).collect::<Vec<_>>());
    assert_eq!(
        denoise(0.0, 1).0,
        (0..6).map(|i| i as f32 * 0.5).collect::<Vec<_>>()
    );
}

#[test]
fn passes_are_counted() {
    let guided = Guided::new(
        Arc::new(Scale::default()),
        Prediction::Clean,
        NoisePath::Flow,
        SHAPE,
    )
    .unwrap();
    let passes = [1.0, 1.5, 0.0].map(|g| guided.passes_per_row(&conditioning(g)));
    assert_eq!(passes, [1, 2, 2]);
    assert_eq!(guided.shape(), SHAPE);
}

/// Each target, made from a known x0 and noise, leads back to that x0 on every path.
#[test]
fn every_prediction_leads_back_to_the_clean_sample() {
    let (x0, e) = (0.3, -1.7);
    let vp = |betas| NoisePath::vp(betas).unwrap();
    for path in [
        NoisePath::Flow,
        vp(Betas::DDPM),
        vp(Betas::STABLE_DIFFUSION),
    ] {
        for at in [0.0_f32, 0.001, 0.11, 0.5, 0.9] {
            let p = path.at(Level::new(at).unwrap());
            let x = p.alpha * x0 + p.sigma * e;
            let targets = [
                (Prediction::Noise, e),
                (Prediction::Velocity, p.alpha * e - p.sigma * x0),
                (Prediction::Flow, e - x0),
                (Prediction::Clean, x0),
            ];
            for (prediction, output) in targets {
                let (keep, turn) = prediction.weights(p);
                let found = keep * x + turn * output;
                assert!((found - x0).abs() < 1e-12, "{prediction:?} {at}: {found}");
            }
        }
    }
}

#[test]
fn predicting_noise_needs_signal_at_level_one() {
    assert_eq!(
        Prediction::Noise.check(&NoisePath::Flow),
        Err(PredictionError)
    );
    let vp = NoisePath::vp(Betas::STABLE_DIFFUSION).unwrap();
    assert_eq!(Prediction::Noise.check(&vp), Ok(()));
    assert_eq!(Prediction::Velocity.check(&NoisePath::Flow), Ok(()));
}
