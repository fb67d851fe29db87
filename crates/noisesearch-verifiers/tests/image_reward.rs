//! ImageReward against its reference, and against the layout of the published checkpoint.

use candle_core::{Device, Tensor};
use noisesearch_models::checkpoint::Checkpoint;
use noisesearch_models::layers::{Place, Source, channels_first};
use noisesearch_models::parity::{Golden, Manifest, at, checkpoint, input, places, uniform};
use noisesearch_models::task::Task;
use noisesearch_verifiers::conformance;
use noisesearch_verifiers::reward::wordpiece::WordPiece;
use noisesearch_verifiers::reward::{Config, ImageReward, Network, Sizes};
use noisesearch_verifiers::verifier::{Samples, Verifier};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn golden() -> Golden {
    Golden::parse(include_str!("../../../parity/goldens/image_reward.json")).unwrap()
}

/// The configuration of `parity/image_reward.py`.
fn config(json: &Value) -> Config {
    let sizes: Sizes = serde_json::from_value(json.clone()).unwrap();
    sizes.config().unwrap()
}

#[test]
fn image_reward_golden() {
    for place in places().unwrap() {
        matches_at(&place);
    }
}

fn matches_at(place: &Place) {
    let golden = golden();
    let config = config(&golden.config);
    let mut weights = golden.weights().unwrap();
    let network = Network::load(Source::new(&mut weights, place), &config).unwrap();
    weights.finish().unwrap();
    let ids: Vec<u32> = serde_json::from_value(golden.more["ids"].clone()).unwrap();
    let images = input("image", &[2, 3, config.side, config.side]).unwrap();
    let images = at(place, &images).unwrap();
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

/// A folder of the golden network: its sizes are those of its `config.json`, and a file that no
/// such network has is refused by the name of the setting.
#[test]
fn sizes_are_those_of_the_folder() {
    let golden = golden();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("imagereward");
    fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).unwrap();
    let pieces: Vec<String> = serde_json::from_value(golden.more["pieces"].clone()).unwrap();
    write("vocab.txt", pieces.join("\n").as_bytes());
    write("model.safetensors", &checkpoint(&golden.tensors));
    let open = |config: &Value| {
        write("config.json", config.to_string().as_bytes());
        ImageReward::open(&Checkpoint::of_network(&folder), Place::cpu())
    };
    open(&golden.config).unwrap();
    for (name, value) in [
        ("side", json!(0)),
        ("patch", json!(33)),
        ("width", json!(1_u64 << 40)),
        ("depth", json!(100_000)),
        ("heads", json!(5)),
        ("text_heads", json!(7)),
        ("positions", json!(34)),
        ("head", json!([20, 12, 8, 6])),
        ("head", json!([20, 12, 8, 6, 2])),
        ("head", json!([20, 0, 8, 6, 1])),
    ] {
        let mut config = golden.config.clone();
        config[name] = value;
        let error = open(&config).unwrap_err().to_string();
        assert!(error.contains(name), "{name}: {error}");
    }
    // Of the published network, which this is not.
    let error = open(&json!({})).unwrap_err().to_string();
    assert!(error.contains("number of pieces"), "{error}");
}

/// Damaged weights gave a score that is no number, as if a picture could not be judged.
#[test]
fn damaged_weights_are_an_error_and_no_score() {
    let golden = golden();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("imagereward-damaged");
    fs::create_dir_all(&folder).unwrap();
    let pieces: Vec<String> = serde_json::from_value(golden.more["pieces"].clone()).unwrap();
    fs::write(folder.join("vocab.txt"), pieces.join("\n")).unwrap();
    fs::write(folder.join("config.json"), golden.config.to_string()).unwrap();
    let mut weights = checkpoint(&golden.tensors);
    let header = u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    // Finite, or they would not be opened.
    for number in weights[8 + header..].chunks_exact_mut(4) {
        number.copy_from_slice(&1e38f32.to_le_bytes());
    }
    fs::write(folder.join("model.safetensors"), weights).unwrap();
    let verifier = ImageReward::open(&Checkpoint::of_network(&folder), Place::cpu()).unwrap();
    let images = Tensor::full(0.5f32, (1, 3, 8, 8), &Device::Cpu).unwrap();
    let samples = Samples {
        images: &images,
        early: None,
    };
    let score = verifier.score(&Task::Prompt("a".into()), &samples);
    let error = score.unwrap_err().to_string();
    assert!(error.contains("weights are damaged"), "{error}");
}
