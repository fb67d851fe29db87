//! Prints seconds of one evaluation of Stable Diffusion 1.5's U-Net at full size with made-up
//! weights, at 64x64 latents (512x512 pixels): `unet_step 1 2` for batches of 1 and 2.
//!
//! Takes 8 GB of memory while the weights are made.

use noisesearch_core::level::Level;
use noisesearch_models::denoiser::{Encoded, Network};
use noisesearch_models::layers::{Place, Source};
use noisesearch_models::models::unet::{UNet, UNetConfig};
use noisesearch_models::parity::{Manifest, checkpoint, input};
use noisesearch_models::weights::Weights;
use std::error::Error;
use std::time::Instant;

const SD15: &str = include_str!("../../../parity/manifests/sd15-unet.json");

/// Evaluations timed, of which the fastest counts.
const TIMES: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let manifest = Manifest::parse(SD15)?;
    let config = UNetConfig::new(manifest.config)?;
    let mut weights = Weights::from_bytes(checkpoint(&manifest.tensors))?;
    let unet = UNet::load(Source::new(&mut weights, &Place::cpu()), &config)?;
    weights.finish()?;
    let row = Encoded {
        tensors: vec![input("words", &[77, config.cross_attention_dim])?],
    };
    for batch in std::env::args().skip(1) {
        let batch = batch.parse()?;
        let x = input("x", &[batch, config.in_channels, 64, 64])?;
        let rows = vec![&row; batch];
        let mut best = f64::INFINITY;
        for _ in 0..TIMES {
            let start = Instant::now();
            unet.predict(&x, Level::NOISE, &rows)?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        println!(
            "batch {batch}: {best:.2} s, {:.2} s a row",
            best / batch as f64
        );
    }
    Ok(())
}
