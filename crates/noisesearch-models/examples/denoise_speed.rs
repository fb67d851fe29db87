//! Times one guided evaluation of the scenes model: `denoise_speed BATCH [f32|bf16]`.
//!
//! Prints the seconds of one evaluation for every line read on stdin, like
//! `benches/torch_peer.py denoise`, so that both can be timed in turn.

use candle_core::{DType, Device, Tensor};
use noisesearch_core::level::Level;
use noisesearch_models::denoiser::{Conditioner, Denoiser};
use noisesearch_models::guidance::Guided;
use noisesearch_models::layers::Place;
use noisesearch_models::models::scenes::{SHAPE, Scenes};
use noisesearch_models::path::NoisePath;
use noisesearch_models::prediction::Prediction;
use noisesearch_models::task::Task;
use noisesearch_models::weights::Weights;
use std::io::BufRead;
use std::sync::Arc;
use std::time::Instant;

const WEIGHTS: &[u8] = include_bytes!("../../../lab/weights/scenes.safetensors");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let batch: usize = std::env::args()
        .nth(1)
        .ok_or("usage: denoise_speed BATCH [f32|bf16]")?
        .parse()?;
    let place = match std::env::args().nth(2).as_deref() {
        Some("bf16") => Place::new(Device::Cpu, DType::BF16),
        _ => Place::cpu(),
    };
    let scenes = Arc::new(Scenes::load(Weights::from_bytes(WEIGHTS)?, &place)?);
    let prompt = Task::Prompt("two red circles and a blue square".into());
    let conditioning = scenes.encode(&prompt, 2.0)?;
    let guided = Guided::new(scenes, Prediction::Flow, NoisePath::Flow, SHAPE)?;
    let values: Vec<f32> = (0..batch * 3 * 64 * 64).map(|i| (i as f32).sin()).collect();
    let x = Tensor::from_vec(values, (batch, 3, 64, 64), &Device::Cpu)?;
    for line in std::io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        guided.denoise(&x, Level::new(0.5)?, &conditioning)?;
        println!("{}", start.elapsed().as_secs_f64());
    }
    Ok(())
}
