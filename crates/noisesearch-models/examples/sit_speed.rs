//! Prints seconds per evaluation of a SiT with made-up weights: `sit_speed glyphs-base 1 16 64`.

use candle_core::{Device, Tensor};
use noisesearch_core::level::Level;
use noisesearch_models::denoiser::{Encoded, Network};
use noisesearch_models::models::sit::{Sit, SitConfig};
use std::convert::Infallible;
use std::time::Instant;

fn main() -> candle_core::Result<()> {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_else(|| "glyphs-base".into());
    let config = match name.as_str() {
        "glyphs-small" => SitConfig::GLYPHS_SMALL,
        "s-2" => SitConfig {
            hidden: 384,
            depth: 12,
            heads: 6,
            ..SitConfig::XL_2
        },
        _ => SitConfig::GLYPHS_BASE,
    };
    let take = |_: &str, shape: &[usize]| {
        let len = shape.iter().product();
        Ok::<_, Infallible>((0..len).map(|i| (i as f32 * 0.7).sin() * 0.05).collect())
    };
    let Ok(sit) = Sit::load(config, take);
    let row = sit.encode(Some(3))?;
    for batch in args.filter_map(|b| b.parse::<usize>().ok()) {
        let x = vec![0.3f32; batch * config.channels * config.input_size.pow(2)];
        let shape = (batch, config.channels, config.input_size, config.input_size);
        let x = Tensor::from_vec(x, shape, &Device::Cpu)?;
        let rows: Vec<&Encoded> = vec![&row; batch];
        let (mut best, start) = (f64::INFINITY, Instant::now());
        while start.elapsed().as_secs_f64() < 1.5 {
            let one = Instant::now();
            sit.predict(&x, Level::NOISE, &rows)?;
            best = best.min(one.elapsed().as_secs_f64());
        }
        println!("{name} batch {batch}: {:.3} ms", best * 1e3);
    }
    Ok(())
}
