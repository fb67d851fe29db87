//! FLUX.1 against diffusers, block by block.

use candle_core::{Result, Tensor};
use noisesearch_core::level::Level;
use noisesearch_models::denoiser::{Encoded, Network};
use noisesearch_models::layers::{Place, Source};
use noisesearch_models::models::flux::{Flux, FluxConfig};
use noisesearch_models::parity::{Golden, Manifest, input, places};

const DEV: &str = include_str!("../../../parity/goldens/flux-dev.json");
const SCHNELL: &str = include_str!("../../../parity/goldens/flux-schnell.json");

/// Sums in another order differ by a few roundings; the largest seen is 2e-6 of a tap's largest
/// value. An eps of 1e-5 (3e-4), a rotary base of 1000 (2e-2), packing lines and columns the other
/// way round (1e-1), or the last shift and scale (7e-1) are caught.
const SCHNELL_ERROR: f64 = 5e-6;
/// The guidance is embedded as 3500 times frequencies that two libraries round differently, so dev
/// is up to 1.3e-5 off.
const DEV_ERROR: f64 = 3e-5;

fn load(golden: &Golden, place: &Place) -> Flux {
    let config: FluxConfig = serde_json::from_value(golden.config.clone()).unwrap();
    config.check().unwrap();
    let mut weights = golden.weights().unwrap();
    let flux = Flux::load(Source::new(&mut weights, place), &config).unwrap();
    weights.finish().unwrap();
    flux
}

/// The two rows of `parity/flux.py`.
fn rows() -> Result<(Tensor, Vec<Encoded>)> {
    let text = (input("text", &[2, 5, 24])? * 0.1)?;
    let (x, pooled) = (
        (input("x", &[2, 4, 6, 8])? * 0.1)?,
        input("pooled", &[2, 20])?,
    );
    let row = |i| Flux::encode(&text.get(i)?, &pooled.get(i)?, 3.5);
    Ok((x, vec![row(0)?, row(1)?]))
}

fn matches(text: &str, tolerance: f64) {
    for place in places().unwrap() {
        matches_at(text, tolerance, &place);
    }
}

fn matches_at(text: &str, tolerance: f64, place: &Place) {
    let golden = Golden::parse(text).unwrap();
    let flux = load(&golden, place);
    let (x, encoded) = rows().unwrap();
    let rows: Vec<&Encoded> = encoded.iter().collect();
    let mut seen = 0;
    let mut check = |tap: &str, got: &Tensor| {
        seen += 1;
        golden.check(tap, got, tolerance)
    };
    let level = Level::new(0.625).unwrap();
    let out = flux.watched(&x, level, &rows, &mut check).unwrap();
    assert_eq!(seen + 1, golden.taps.len());
    golden.check("out", &out, tolerance).unwrap();
}

#[test]
fn dev_is_the_golden_transformer() {
    matches(DEV, DEV_ERROR);
}

#[test]
fn schnell_is_the_golden_transformer() {
    matches(SCHNELL, SCHNELL_ERROR);
}

#[test]
fn a_row_does_not_depend_on_its_neighbours() {
    let flux = load(&Golden::parse(DEV).unwrap(), &Place::cpu());
    let (x, encoded) = rows().unwrap();
    let level = Level::new(0.4).unwrap();
    let together = flux.predict(&x, level, &[&encoded[0], &encoded[1]]);
    let together = together.unwrap().bits();
    for (i, row) in encoded.iter().enumerate() {
        let alone = flux.predict(&x.narrow(0, i, 1).unwrap(), level, &[row]);
        assert_eq!(alone.unwrap().bits()[0], together[i]);
    }
    // Two rows of one encoding share what depends on it alone.
    let shared = flux
        .predict(&x, level, &[&encoded[0], &encoded[0]])
        .unwrap();
    assert_eq!(shared.bits()[0], together[0]);
}

/// Bits of every row.
trait Rows {
    fn bits(&self) -> Vec<Vec<u32>>;
}

impl Rows for Tensor {
    fn bits(&self) -> Vec<Vec<u32>> {
        let rows = self.flatten_from(1).unwrap().to_vec2::<f32>().unwrap();
        let bits = |row: Vec<f32>| row.into_iter().map(f32::to_bits).collect();
        rows.into_iter().map(bits).collect()
    }
}

#[test]
fn wrong_inputs_are_errors() {
    let flux = load(&Golden::parse(DEV).unwrap(), &Place::cpu());
    let (x, encoded) = rows().unwrap();
    let row = &encoded[0];
    assert!(flux.predict(&x, Level::NOISE, &[row]).is_err());
    let odd = x.narrow(3, 0, 7).unwrap();
    assert!(flux.predict(&odd, Level::NOISE, &[row, row]).is_err());
    let empty = Encoded { tensors: vec![] };
    assert!(flux.predict(&x, Level::NOISE, &[&empty, row]).is_err());
}

#[test]
fn published_transformers_have_the_golden_tensors() {
    for text in [
        include_str!("../../../parity/manifests/flux-dev-transformer.json"),
        include_str!("../../../parity/manifests/flux-schnell-transformer.json"),
    ] {
        let manifest = Manifest::parse(text).unwrap();
        let config: FluxConfig = serde_json::from_value(manifest.config.clone()).unwrap();
        config.check().unwrap();
        manifest.check(|s| Flux::load(s, &config)).unwrap();
    }
}
