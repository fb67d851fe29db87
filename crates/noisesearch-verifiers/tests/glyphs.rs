//! The glyphs' judges: golden values of PyTorch, and rows that do not see each other.

use candle_core::{Device, Tensor};
use noisesearch_models::task::Task;
use noisesearch_verifiers::glyphs::classifier::Classifier;
use noisesearch_verifiers::glyphs::judge::{Judge, SIDE};
use noisesearch_verifiers::glyphs::oracle::Oracle;
use noisesearch_verifiers::glyphs::self_supervised;
use noisesearch_verifiers::metrics::describe::Describer;
use noisesearch_verifiers::verifier::{Samples, Verifier};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

fn file(path: &str) -> Vec<u8> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn wave(row: usize) -> Vec<f32> {
    (0..SIDE * SIDE)
        .map(|i| (0.5 + 0.5 * (0.37 * i as f64 + row as f64).sin()) as f32)
        .collect()
}

fn ring() -> Vec<f32> {
    let middle = (SIDE as f64 - 1.0) / 2.0;
    (0..SIDE * SIDE)
        .map(|i| {
            let (y, x) = ((i / SIDE) as f64 - middle, (i % SIDE) as f64 - middle);
            (2.0 - ((y * y + x * x).sqrt() - 9.0).abs()).clamp(0.0, 1.0) as f32
        })
        .collect()
}

fn images(rows: &[Vec<f32>]) -> Tensor {
    Tensor::from_vec(rows.concat(), (rows.len(), 1, SIDE, SIDE), &Device::Cpu).unwrap()
}

fn assert_close(got: &[f32], want: &Value, what: &str) {
    let want: Vec<f64> = serde_json::from_value(want.clone()).unwrap();
    assert_eq!(got.len(), want.len());
    let size = want.iter().fold(0.0f64, |m, w| m.max(w.abs()));
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        let error = (f64::from(*g) - w).abs() / size;
        assert!(
            error < 1e-6,
            "{what} {i}: {g} for {w}, {error:.1e} of the largest"
        );
    }
}

#[test]
fn judges_match_the_golden_values() {
    let golden: Value = serde_json::from_slice(&file("parity/goldens/glyphs.json")).unwrap();
    for (name, judge) in [
        ("classifier", Judge::classifier()),
        ("oracle", Judge::oracle()),
    ] {
        let judge = judge.unwrap();
        let pictures = [wave(0), wave(1), ring()];
        let features = judge.features(&images(&pictures)).unwrap();
        let logits = judge.logits(&features);
        let cases = golden[name].as_array().unwrap();
        assert_eq!(cases.len(), pictures.len());
        for (row, case) in cases.iter().enumerate() {
            let what = format!("{name}, {}", case["image"]);
            assert_close(
                &features[row],
                &case["features"],
                &format!("{what}, feature"),
            );
            assert_close(&logits[row], &case["logits"], &format!("{what}, logit"));
        }
    }
}

#[test]
fn a_row_does_not_depend_on_its_neighbours() {
    let verifiers: [Box<dyn Verifier>; 3] = [
        Box::new(Classifier::new(Arc::new(Judge::classifier().unwrap()))),
        Box::new(Oracle::new(Judge::oracle().unwrap())),
        Box::new(self_supervised(Arc::new(Judge::classifier().unwrap()))),
    ];
    let task = Task::Class("O".into());
    let (finals, early) = ([ring(), wave(3), wave(5)], [wave(2), ring(), wave(5)]);
    for verifier in verifiers {
        let score = |rows: &[usize]| -> Vec<u64> {
            let pick = |from: &[Vec<f32>]| {
                images(&rows.iter().map(|&r| from[r].clone()).collect::<Vec<_>>())
            };
            let (images, early) = (pick(&finals), pick(&early));
            let samples = Samples {
                images: &images,
                early: Some(&early),
            };
            let scores = verifier.score(&task, &samples).unwrap();
            scores.into_iter().map(f64::to_bits).collect()
        };
        let together = score(&[0, 1, 2]);
        assert_eq!(together, [score(&[0]), score(&[1]), score(&[2])].concat());
        assert_eq!(score(&[2, 0]), [together[2], together[0]]);
        assert!(f64::from_bits(together[0]) != f64::from_bits(together[1]));
    }
}

#[test]
fn a_ring_is_a_zero_or_an_o() {
    let oracle = Oracle::new(Judge::oracle().unwrap());
    let features = oracle.features(&images(&[ring()])).unwrap();
    let table = oracle.probabilities(&features).unwrap();
    assert_eq!((features.dim(), table.dim(), table.len()), (64, 36, 1));
    let probabilities = table.values();
    assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    assert!(
        probabilities[0] + probabilities[24] > 0.8,
        "{probabilities:?}"
    );
}

#[test]
fn wrong_pictures_and_missing_predictions_are_refused() {
    let judge = Arc::new(Judge::classifier().unwrap());
    let task = Task::Class("A".into());
    let rgb = Tensor::zeros((2, 3, SIDE, SIDE), candle_core::DType::F32, &Device::Cpu).unwrap();
    let samples = Samples {
        images: &rgb,
        early: None,
    };
    let classifier = Classifier::new(judge.clone());
    let message = classifier.score(&task, &samples).unwrap_err().to_string();
    assert!(message.contains("[b, 1, 32, 32]"), "{message}");
    let own = self_supervised(judge);
    let message = own.score(&task, &samples).unwrap_err().to_string();
    assert!(message.contains("x0-prediction at level 0.4"), "{message}");
}
