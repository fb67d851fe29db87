//! ImageReward against its reference, and against the layout of the published checkpoint.

use candle_core::{Device, Tensor};
use noisesearch_models::layers::{Activation, Place, Source, channels_first};
use noisesearch_models::parity::{Golden, Manifest, input, uniform};
use noisesearch_models::task::Task;
use noisesearch_verifiers::conformance;
use noisesearch_verifiers::reward::wordpiece::WordPiece;
use noisesearch_verifiers::reward::{Config, ImageReward, Network, med};
use noisesearch_verifiers::verifier::{Samples, Verifier};
use noisesearch_verifiers::vision::block::Shape;
use serde_json::Value;

fn golden() -> Golden {
    Golden::parse(include_str!("../../../parity/goldens/image_reward.json")).unwrap()
}

/// The configuration of `parity/image_reward.py`.
fn config(c: &Value) -> Config {
    let n = |key: &str| c[key].as_u64().unwrap() as usize;
    Config {
        side: n("side"),
        patch: n("patch"),
        depth: n("depth"),
        block: Shape {
            width: n("width"),
            heads: n("heads"),
            hidden: 4 * n("width"),
            eps: 1e-6,
            activation: Activation::Gelu,
        },
        text: med::Config {
            vocabulary: n("vocabulary"),
            positions: n("positions"),
            width: n("text_width"),
            layers: n("layers"),
            heads: n("text_heads"),
            hidden: n("hidden"),
            image_width: n("width"),
        },
        head: serde_json::from_value(c["head"].clone()).unwrap(),
    }
}

#[test]
fn image_reward_golden() {
    let golden = golden();
    let config = config(&golden.config);
    let place = Place::cpu();
    let mut weights = golden.weights().unwrap();
    let network = Network::load(Source::new(&mut weights, &place), &config).unwrap();
    weights.finish().unwrap();
    let ids: Vec<u32> = serde_json::from_value(golden.more["ids"].clone()).unwrap();
    let images = input("image", &[2, 3, config.side, config.side]).unwrap();
    // The order of sums differs, by 7e-7 here. Seen to fail: the vision norms' eps as 1e-5 (7e-5
    // off), the text norms' (4e-5), GELU's tanh form (2e-4), keys and values swapped, another token
    // than the first rewarded.
    let seen = network.see(&images).unwrap();
    golden.check("vision", &seen, 1e-5).unwrap();
    let text = network.read(&ids, &seen).unwrap();
    golden.check("text", &text, 1e-5).unwrap();
    let reward = network.reward(&text).unwrap();
    golden.check("reward", &reward, 1e-4).unwrap();
    let errors = [("vision", &seen), ("text", &text), ("reward", &reward)]
        .map(|(tap, got)| format!("{tap} {:.1e}", golden.error(tap, got).unwrap()));
    println!("{}", errors.join(", "));
}

/// From bytes and text to the score; a picture is a row of `parity::uniform` in 8 bits.
#[test]
fn scores_golden() {
    let golden = golden();
    let pieces: Vec<String> = serde_json::from_value(golden.more["pieces"].clone()).unwrap();
    let file = pieces.join("\n");
    let config = config(&golden.config);
    let weights = golden.weights().unwrap();
    let verifier = ImageReward::load(weights, file.as_bytes(), &config, Place::cpu()).unwrap();
    let cases: Vec<(String, String, usize, usize, f64)> =
        serde_json::from_value(golden.more["scores"].clone()).unwrap();
    for (text, name, h, w, want) in cases {
        let bytes = uniform(&name, h * w * 3)
            .into_iter()
            .map(|u| ((u + 1.0) * 127.5) as u8);
        let values: Vec<f32> = bytes.map(|byte| f32::from(byte) / 255.0).collect();
        let image = Tensor::from_vec(values, (1, h, w, 3), &Device::Cpu).unwrap();
        let images = channels_first(&image).unwrap();
        let task = Task::Prompt(text);
        let samples = Samples {
            images: &images,
            early: None,
        };
        let got = verifier.score(&task, &samples).unwrap()[0];
        println!("{got} for {want}");
        // Seen to fail: the odd border split the other way, the score not standardised.
        assert!((got - want).abs() < 1e-5, "{name}: {got} for {want}");
        let both = Tensor::cat(&[&images, &images.affine(-1.0, 1.0).unwrap()], 0).unwrap();
        conformance::verifier(&verifier, &task, &both).unwrap();
    }
    let other = golden.weights().unwrap();
    let error = ImageReward::load(other, b"[CLS]\n[SEP]\n[UNK]", &config, Place::cpu());
    assert!(error.unwrap_err().to_string().contains("number of pieces"));
}

#[test]
fn tokens_golden() {
    let golden = golden();
    let pieces: Vec<String> = serde_json::from_value(golden.more["pieces"].clone()).unwrap();
    let texts: Vec<(String, Vec<u32>)> =
        serde_json::from_value(golden.more["tokens"].clone()).unwrap();
    let file = pieces.join("\n");
    let words = WordPiece::read(file.as_bytes(), &["[DEC]", "[ENC]"]).unwrap();
    assert!(texts.len() > 20);
    for (text, ids) in texts {
        assert_eq!(words.encode(&text, 35), ids, "{text:?}");
    }
}

#[test]
fn the_published_checkpoint_is_asked_for_exactly() {
    let text = include_str!("../../../parity/manifests/image_reward.json");
    let manifest = Manifest::parse(text).unwrap();
    let load = |source: Source| Network::load(source, &Config::published());
    manifest.check(load).unwrap();
}

#[test]
fn a_text_longer_than_the_positions_is_an_error() {
    let golden = golden();
    let config = config(&golden.config);
    let place = Place::cpu();
    let mut weights = golden.weights().unwrap();
    let network = Network::load(Source::new(&mut weights, &place), &config).unwrap();
    let image = Tensor::zeros((1, 17, 32), candle_core::DType::F32, &Device::Cpu).unwrap();
    assert!(network.read(&[2; 41], &image).is_err());
    assert!(network.read(&[78], &image).is_err(), "no such token");
}
