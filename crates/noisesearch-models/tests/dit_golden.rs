//! SiT and DiT against a network of the papers' definition on timm's layers, block by block, and
//! the tensors of published sizes.

use candle_core::{DType, Error, Tensor};
use noisesearch_core::level::Level;
use noisesearch_models::denoiser::Encoded;
use noisesearch_models::layers::Place;
use noisesearch_models::models::sit::{DeviceSit, Sit, SitConfig};
use noisesearch_models::parity::{Golden, Manifest, Watch, input, places};
use std::collections::BTreeMap;

const SIT: &str = include_str!("../../../parity/goldens/sit.json");
const DIT: &str = include_str!("../../../parity/goldens/dit.json");

/// Sums in another order differ by a few roundings; the largest seen is 2e-6 of a tap's largest
/// value. An eps of 1e-5 (4e-4), the time of DiT one step later (6e-1) or the unused half of the
/// channels (2e0) are caught.
const ERROR: f64 = 5e-6;

/// A network of these weights, which predicts and shows its blocks.
type Watched<'a> =
    dyn Fn(&Tensor, Level, &[&Encoded], &mut Watch) -> candle_core::Result<Tensor> + 'a;

fn matches(text: &str) {
    let golden = Golden::parse(text).unwrap();
    for place in places().unwrap() {
        matches_at(&golden, &place);
    }
}

/// There is a network of our kernels and one of the operations of a device.
fn matches_at(golden: &Golden, place: &Place) {
    let config: SitConfig = serde_json::from_value(golden.config.clone()).unwrap();
    if place.device.is_cpu() && place.dtype == DType::F32 {
        let mut weights = golden.weights().unwrap();
        let sit = Sit::load(config, |name, shape| weights.take_vec(name, shape)).unwrap();
        weights.finish().unwrap();
        return check(golden, &|x, at, rows, watch| {
            sit.watched(x, at, rows, watch)
        });
    }
    let mut weights = golden.weights().unwrap();
    let take = |name: &str, shape: &[usize]| weights.take_vec(name, shape).map_err(Error::wrap);
    let sit = DeviceSit::load(config, place, take).unwrap();
    weights.finish().unwrap();
    check(golden, &|x, at, rows, watch| {
        sit.watched(x, at, rows, watch)
    });
}

fn check(golden: &Golden, sit: &Watched) {
    let config: SitConfig = serde_json::from_value(golden.config.clone()).unwrap();
    let encoded = [Some(3), None].map(|class| config.encode(class).unwrap());
    let rows: Vec<&Encoded> = encoded.iter().collect();
    let mut seen = 0;
    let mut check = |tap: &str, got: &Tensor| {
        seen += 1;
        golden.check(tap, got, ERROR)
    };
    let x = (input("x", &[2, 4, 8, 8]).unwrap() * 0.1).unwrap();
    let level = Level::new(0.625).unwrap();
    let out = sit(&x, level, &rows, &mut check).unwrap();
    assert_eq!(seen + 1, golden.taps.len());
    golden.check("out", &out, ERROR).unwrap();
}

#[test]
fn sit_is_the_golden_transformer() {
    matches(SIT);
}

#[test]
fn dit_is_the_golden_transformer() {
    matches(DIT);
}

#[test]
fn published_sizes_have_the_golden_tensors() {
    for (config, input_size, text) in [
        (
            SitConfig::B_2,
            32,
            include_str!("../../../parity/manifests/sit-b-2-256.json"),
        ),
        (
            SitConfig::B_2,
            64,
            include_str!("../../../parity/manifests/sit-b-2-512.json"),
        ),
        (
            SitConfig::L_2,
            32,
            include_str!("../../../parity/manifests/sit-l-2-256.json"),
        ),
        (
            SitConfig::L_2,
            64,
            include_str!("../../../parity/manifests/sit-l-2-512.json"),
        ),
        (
            SitConfig::XL_2,
            32,
            include_str!("../../../parity/manifests/sit-xl-2-256.json"),
        ),
        (
            SitConfig::XL_2,
            64,
            include_str!("../../../parity/manifests/sit-xl-2-512.json"),
        ),
    ] {
        let want = Manifest::parse(text).unwrap().tensors;
        let got = SitConfig {
            input_size,
            ..config
        };
        let got = got.manifest();
        assert_eq!(got.len(), want.len());
        assert_eq!(got.into_iter().collect::<BTreeMap<_, _>>(), want);
    }
}
