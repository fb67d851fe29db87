use super::*;
use crate::parity::{self, Golden, Manifest, input};
use serde_json::{Value, json};

const SD15: &str = include_str!("../../../../../parity/goldens/unet-sd15.json");
const SDXL: &str = include_str!("../../../../../parity/goldens/unet-sdxl.json");

/// What `parity/unet.py` asks: time 436.5.
const LEVEL: f32 = 0.4375;

/// Of a part or of the whole; measured are 2e-6 at most. Seen to fail with another eps in each
/// kind of norm, with `attention_head_dim` read as a dimension and with the other GELU.
const PART: f64 = 4e-6;

fn load(golden: &Golden) -> (UNet, UNetConfig) {
    load_at(golden, &Place::cpu())
}

fn load_at(golden: &Golden, place: &Place) -> (UNet, UNetConfig) {
    let config = UNetConfig::new(golden.config.clone()).unwrap();
    let mut weights = golden.weights().unwrap();
    let unet = UNet::load(Source::new(&mut weights, place), &config).unwrap();
    weights.finish().unwrap();
    (unet, config)
}

/// The two rows of `parity/unet.py`.
fn rows(config: &UNetConfig) -> Vec<Encoded> {
    let words = input("words", &[2, 7, config.cross_attention_dim]).unwrap();
    let sizes = [
        [64.0, 48.0, 0.0, 0.0, 64.0, 48.0],
        [1024.0, 512.0, 8.0, 16.0, 128.0, 256.0],
    ];
    let row = |i: usize| {
        let mut tensors = vec![words.get(i).unwrap()];
        if config.addition_embed_type.is_some() {
            let pooled = input("pooled", &[2, 10]).unwrap().get(i).unwrap();
            tensors.push(config.added(&pooled, sizes[i]).unwrap());
        }
        Encoded { tensors }
    };
    (0..2).map(row).collect()
}

fn flat(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn golden_unets_match_part_by_part() {
    for place in parity::places().unwrap() {
        for text in [SD15, SDXL] {
            matches_at(text, &place);
        }
    }
}

fn matches_at(text: &str, place: &Place) {
    let golden = Golden::parse(text).unwrap();
    let (unet, config) = load_at(&golden, place);
    let rows = rows(&config);
    let rows: Vec<&Encoded> = rows.iter().collect();
    let x = input("x", &[2, 4, 10, 6]).unwrap();
    let mut parts = 0;
    let mut watch = |tap: &str, x: &Tensor| {
        parts += 1;
        println!("{tap}: {:.1e}", golden.error(tap, x)?);
        golden.check(tap, x, PART)
    };
    let given = unet.given(436.5, &rows).unwrap();
    let inside = channels_last(&parity::at(place, &x).unwrap()).unwrap();
    unet.forward(&inside, &given, &mut watch).unwrap();
    assert_eq!(parts, 2 + 2 * config.block_out_channels.len());
    let out = unet.predict(&x, Level::new(LEVEL).unwrap(), &rows).unwrap();
    println!("out: {:.1e}", golden.error("out", &out).unwrap());
    golden.check("out", &out, PART).unwrap();
}

#[test]
fn a_row_does_not_depend_on_its_neighbours() {
    for text in [SD15, SDXL] {
        let (unet, config) = load(&Golden::parse(text).unwrap());
        let rows = rows(&config);
        let at = Level::new(0.9).unwrap();
        let x = input("x", &[2, 4, 8, 8]).unwrap();
        let both = unet.predict(&x, at, &[&rows[0], &rows[1]]).unwrap();
        for (i, row) in rows.iter().enumerate() {
            let alone = unet
                .predict(&x.narrow(0, i, 1).unwrap(), at, &[row])
                .unwrap();
            assert_eq!(flat(&alone), flat(&both.get(i).unwrap()));
        }
    }
}

#[test]
fn rows_that_do_not_fit_are_errors() {
    let (unet, _) = load(&Golden::parse(SDXL).unwrap());
    let x = input("x", &[1, 4, 8, 8]).unwrap();
    let words = input("words", &[7, 20]).unwrap();
    let wrong = input("words", &[7, 19]).unwrap();
    let added = input("added", &[58]).unwrap();
    for tensors in [vec![], vec![words.clone()], vec![wrong, added.clone()]] {
        let row = Encoded { tensors };
        assert!(unet.predict(&x, Level::NOISE, &[&row]).is_err());
    }
    let row = Encoded {
        tensors: vec![words, added],
    };
    assert!(unet.predict(&x, Level::NOISE, &[&row]).is_ok());
}

#[test]
fn published_layouts_are_asked_for_exactly() {
    for text in [
        include_str!("../../../../../parity/manifests/sd15-unet.json"),
        include_str!("../../../../../parity/manifests/sdxl-unet.json"),
    ] {
        let manifest = Manifest::parse(text).unwrap();
        let config = UNetConfig::new(manifest.config.clone()).unwrap();
        manifest.check(|s| UNet::load(s, &config)).unwrap();
    }
}

#[test]
fn what_is_not_run_is_named() {
    let golden = Golden::parse(SDXL).unwrap();
    let cases: [(&str, Value, &str); 17] = [
        ("in_channels", json!(9), "in_channels"),
        ("norm_num_groups", json!(0), "block_out_channels"),
        ("norm_num_groups", json!(5), "block_out_channels"),
        ("block_out_channels", json!([]), "block_out_channels"),
        ("block_out_channels", json!([16, 24]), "down_block_types"),
        ("down_block_types", json!(["AttnDownBlock2D"]), "AttnDown"),
        ("layers_per_block", json!(0), "layers_per_block"),
        ("layers_per_block", json!([1, 2]), "the layout"),
        ("attention_head_dim", json!([1, 2]), "attention_head_dim"),
        ("attention_head_dim", json!(5), "attention_head_dim"),
        (
            "attention_head_dim",
            json!([1, 2, 4, 4]),
            "attention_head_dim",
        ),
        (
            "transformer_layers_per_block",
            json!(1_u64 << 40),
            "transformer_layers",
        ),
        ("addition_embed_type", json!("image"), "addition_embed_type"),
        (
            "addition_time_embed_dim",
            json!(1_u64 << 62),
            "projection_class",
        ),
        ("norm_eps", json!(1e-6), "norm_eps"),
        ("time_cond_proj_dim", json!(256), "time_cond_proj_dim"),
        ("timestep_post_act", json!("silu"), "timestep_post_act"),
    ];
    for (field, value, says) in cases {
        let mut config = golden.config.clone();
        config[field] = value;
        let error = UNetConfig::new(config).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
