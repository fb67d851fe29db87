//! The shipped glyphs models against the PyTorch networks that were trained.

use candle_core::{Device, Tensor};
use noisesearch_core::level::Level;
use noisesearch_models::denoiser::Network;
use noisesearch_models::models::sit::{Sit, SitConfig};
use noisesearch_models::weights::Weights;
use serde::Deserialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What `lab/glyphs/golden.py` wrote for one row.
#[derive(Deserialize)]
struct Case {
    row: usize,
    level: f32,
    label: u32,
    at: Vec<usize>,
    values: Vec<f64>,
    sum: f64,
    norm: f64,
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// The input of a row: `sin(0.37 i + row)`.
fn wave(row: usize) -> Vec<f32> {
    (0..32 * 32)
        .map(|i| (0.37 * i as f64 + row as f64).sin() as f32)
        .collect()
}

#[test]
fn glyphs_models_match_the_golden_values() {
    let text = std::fs::read_to_string(root("parity/goldens/glyphs.json")).unwrap();
    let golden: HashMap<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    for (size, config) in [
        ("base", SitConfig::GLYPHS_BASE),
        ("small", SitConfig::GLYPHS_SMALL),
    ] {
        let file = root(&format!("lab/weights/glyphs-{size}.safetensors"));
        let mut weights = Weights::open(&file).unwrap();
        let sit = Sit::load(config, |name, shape| weights.take_vec(name, shape)).unwrap();
        weights.finish().unwrap();
        let cases: Vec<Case> = serde_json::from_value(golden[size].clone()).unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let x = Tensor::from_vec(wave(case.row), (1, 1, 32, 32), &Device::Cpu).unwrap();
            let class = (case.label < 36).then_some(case.label);
            let row = sit.encode(class).unwrap();
            let v = sit
                .predict(&x, Level::new(case.level).unwrap(), &[&row])
                .unwrap();
            let v: Vec<f32> = v.flatten_all().unwrap().to_vec1().unwrap();
            let v: Vec<f64> = v.into_iter().map(f64::from).collect();
            // Errors are relative to the root mean square; 1e-5 of it is a hundred roundings.
            let size = case.norm / (v.len() as f64).sqrt();
            for (at, want) in case.at.iter().zip(&case.values) {
                let error = (v[*at] - want).abs() / size;
                assert!(
                    error < 1e-5,
                    "row {} pixel {at}: {} for {want}",
                    case.row,
                    v[*at]
                );
            }
            let (sum, norm) = (
                v.iter().sum::<f64>(),
                v.iter().map(|v| v * v).sum::<f64>().sqrt(),
            );
            let mean_error = (sum - case.sum).abs() / v.len() as f64 / size;
            assert!(mean_error < 1e-5, "row {}: sum {sum}", case.row);
            assert!(
                (norm / case.norm - 1.0).abs() < 1e-5,
                "row {}: norm {norm}",
                case.row
            );
        }
    }
}
