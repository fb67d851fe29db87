//! The greedy oracle of the Fréchet distance, with the lab's describer.

use candle_core::{Device, Tensor};
use noisesearch_models::parity::uniform;
use noisesearch_models::task::Task;
use noisesearch_verifiers::conformance;
use noisesearch_verifiers::fid::Fid;
use noisesearch_verifiers::glyphs::judge::{Judge, SIDE};
use noisesearch_verifiers::glyphs::oracle::Oracle;
use noisesearch_verifiers::glyphs::reference;
use noisesearch_verifiers::metrics::describe::Describer;
use noisesearch_verifiers::metrics::frechet::Frechet;
use noisesearch_verifiers::verifier::{Samples, Verifier};

/// Bars of several widths and places.
fn pictures(count: usize) -> Tensor {
    let places = uniform("bars", 2 * count);
    let bar = |i: usize| {
        let (at, wide) = (10.0 + 6.0 * places[2 * i], 4.0 + 3.0 * places[2 * i + 1]);
        (0..SIDE * SIDE).map(move |p| match ((p % SIDE) as f32 - at).abs() < wide {
            true => 1.0,
            false => 0.0f32,
        })
    };
    let values: Vec<f32> = (0..count).flat_map(bar).collect();
    Tensor::from_vec(values, (count, 1, SIDE, SIDE), &Device::Cpu).unwrap()
}

fn scores(fid: &Fid, images: &Tensor) -> Vec<f64> {
    let task = Task::Class("I".into());
    let samples = Samples {
        images,
        early: None,
    };
    fid.score(&task, &samples).unwrap()
}

#[test]
fn a_score_is_the_distance_of_the_set_with_the_picture() {
    let (fid, images) = (Fid::glyphs().unwrap(), pictures(4));
    let task = Task::Class("I".into());
    conformance::verifier(&fid, &task, &images).unwrap();
    let first = scores(&fid, &images);
    fid.accept(&task, &images.narrow(0, 0, 3).unwrap()).unwrap();
    assert_eq!(fid.accepted(), 3);
    let last = scores(&fid, &images.narrow(0, 3, 1).unwrap())[0];
    assert!(last != first[3]);
    // The whole decomposition of the whole set says the same.
    let oracle = Oracle::new(Judge::oracle().unwrap());
    let features = oracle.features(&images).unwrap();
    let whole = Frechet::of_features(&features, &reference().unwrap())
        .unwrap()
        .value;
    println!("{last} for {}", -whole);
    // Only rounding is between the two ways.
    assert!((last + whole).abs() < 1e-7 * whole, "{last} for {whole}");
}

#[test]
fn another_set_of_real_pictures_is_another_verifier() {
    let oracle = || Box::new(Oracle::new(Judge::oracle().unwrap()));
    let features = reference().unwrap();
    let of = |directions| {
        let gaussian = noisesearch_verifiers::metrics::frechet::Gaussian::of(&features);
        Fid::new("oracle-fid", oracle(), &gaussian.unwrap(), directions)
    };
    let whole = Fid::glyphs().unwrap();
    assert_eq!(of(64).unwrap().id(), whole.id());
    assert!(of(32).unwrap().id() != whole.id());
    assert!(of(65).is_err());
}
