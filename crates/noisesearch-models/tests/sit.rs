//! SiT against its definition, written out in f64, and its promises about bits.

use candle_core::{DType, Device, Tensor};
use noisesearch_core::level::Level;
use noisesearch_models::denoiser::{Encoded, Network};
use noisesearch_models::models::sit::{Sit, SitConfig, TIME_FEATURES, TimeAxis};
use noisesearch_models::nn::isa::Isa;
use std::collections::HashMap;
use std::convert::Infallible;

/// Small, and everything that can differ from 1 does.
const CONFIG: SitConfig = SitConfig {
    input_size: 12,
    patch: 2,
    channels: 3,
    hidden: 40,
    depth: 2,
    heads: 2,
    mlp_ratio: 3,
    classes: 5,
    learn_sigma: true,
    time: TimeAxis::DataAtOne,
    norm_eps: 1e-6,
};

fn wave(len: usize, seed: f64, size: f64) -> Vec<f32> {
    let at = |i: usize| (((i as f64 + seed) * 12.9898).sin() * 43758.5453).sin() * size;
    (0..len).map(|i| at(i) as f32).collect()
}

fn weight(name: &str, shape: &[usize]) -> Vec<f32> {
    let seed = name
        .bytes()
        .fold(7u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b)));
    let inputs: usize = if shape.len() == 1 {
        4
    } else {
        shape[1..].iter().product()
    };
    wave(
        shape.iter().product(),
        f64::from(seed % 10_000),
        1.5 / (inputs as f64).sqrt(),
    )
}

fn load(config: SitConfig) -> Sit {
    let Ok(sit) = Sit::load(config, |name, shape| {
        Ok::<_, Infallible>(weight(name, shape))
    });
    sit
}

fn predict(sit: &Sit, x: &[f32], level: f32, classes: &[Option<u32>]) -> Vec<f32> {
    let c = sit.config();
    let shape = (classes.len(), c.channels, c.input_size, c.input_size);
    let x = Tensor::from_slice(x, shape, &Device::Cpu).unwrap();
    let rows: Vec<Encoded> = classes
        .iter()
        .map(|&class| sit.encode(class).unwrap())
        .collect();
    let rows: Vec<&Encoded> = rows.iter().collect();
    let out = sit.predict(&x, Level::new(level).unwrap(), &rows).unwrap();
    out.flatten_all().unwrap().to_vec1().unwrap()
}

/// The definition, one image at a time; every matrix is a list of rows.
struct Plain {
    config: SitConfig,
    tensors: HashMap<String, Vec<f64>>,
}

type Rows = Vec<Vec<f64>>;

impl Plain {
    fn new(config: SitConfig) -> Self {
        let widen = |(name, shape): (String, Vec<usize>)| {
            let floats = weight(&name, &shape).into_iter().map(f64::from).collect();
            (name, floats)
        };
        Self {
            config,
            tensors: config.manifest().into_iter().map(widen).collect(),
        }
    }

    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let weight = &self.tensors[&format!("{name}.weight")];
        let bias = &self.tensors[&format!("{name}.bias")];
        let dot = |w: &[f64]| -> f64 { w.iter().zip(x).map(|(w, x)| w * x).sum() };
        weight
            .chunks(x.len())
            .zip(bias)
            .map(|(w, b)| dot(w) + b)
            .collect()
    }

    fn condition(&self, t: f64, class: usize) -> Vec<f64> {
        let half = TIME_FEATURES / 2;
        let angle = |i: usize| t * (-(10_000f64.ln()) * i as f64 / half as f64).exp();
        let features: Vec<f64> = (0..half)
            .map(|i| angle(i).cos())
            .chain((0..half).map(|i| angle(i).sin()))
            .collect();
        let hidden = silu(&self.linear("t_embedder.mlp.0", &features));
        let time = self.linear("t_embedder.mlp.2", &hidden);
        let d = self.config.hidden;
        let class = &self.tensors["y_embedder.embedding_table.weight"][class * d..][..d];
        time.iter().zip(class).map(|(t, c)| t + c).collect()
    }

    fn attention(&self, name: &str, x: &Rows) -> Rows {
        let (d, heads) = (self.config.hidden, self.config.heads);
        let dim = d / heads;
        let qkv: Rows = x
            .iter()
            .map(|x| self.linear(&format!("{name}.qkv"), x))
            .collect();
        let part = |row: &Vec<f64>, head: usize, which: usize| -> Vec<f64> {
            row[which * d + head * dim..][..dim].to_vec()
        };
        let mut out = vec![vec![0.0; d]; x.len()];
        for (i, out) in out.iter_mut().enumerate() {
            for head in 0..heads {
                let q = part(&qkv[i], head, 0);
                let score = |k: Vec<f64>| -> f64 { q.iter().zip(k).map(|(q, k)| q * k).sum() };
                let scores = qkv
                    .iter()
                    .map(|row| score(part(row, head, 1)) / (dim as f64).sqrt());
                let weights: Vec<f64> = scores.map(f64::exp).collect();
                let total: f64 = weights.iter().sum();
                for (row, w) in qkv.iter().zip(weights) {
                    for (o, v) in out[head * dim..][..dim].iter_mut().zip(part(row, head, 2)) {
                        *o += w / total * v;
                    }
                }
            }
        }
        out.iter()
            .map(|x| self.linear(&format!("{name}.proj"), x))
            .collect()
    }

    fn block(&self, i: usize, x: &mut Rows, condition: &[f64]) {
        let m = self.linear(&format!("blocks.{i}.adaLN_modulation.1"), condition);
        let m: Vec<&[f64]> = m.chunks(self.config.hidden).collect();
        let h = x.iter().map(|x| modulate(x, m[0], m[1])).collect();
        add_gated(x, m[2], self.attention(&format!("blocks.{i}.attn"), &h));
        let mlp = |x: &Vec<f64>| {
            let inside = self.linear(&format!("blocks.{i}.mlp.fc1"), &modulate(x, m[3], m[4]));
            self.linear(&format!("blocks.{i}.mlp.fc2"), &gelu(&inside))
        };
        let h = x.iter().map(mlp).collect();
        add_gated(x, m[5], h);
    }

    /// `noise - x0` for one image `[c, h, w]`.
    fn predict(&self, image: &[f32], level: f64, class: usize) -> Vec<f64> {
        let SitConfig {
            input_size: n,
            patch: p,
            channels: c,
            hidden: d,
            ..
        } = self.config;
        let condition = silu(&self.condition(1.0 - level, class));
        let mut x: Rows = Vec::new();
        for (token, position) in self.tensors["pos_embed"].chunks(d).enumerate() {
            let (y, z) = (token / (n / p) * p, token % (n / p) * p);
            let pixel = |i: usize| (i / (p * p) * n + y + i / p % p) * n + z + i % p;
            let patch: Vec<f64> = (0..c * p * p).map(|i| f64::from(image[pixel(i)])).collect();
            let projected = self.linear("x_embedder.proj", &patch);
            x.push(projected.iter().zip(position).map(|(a, b)| a + b).collect());
        }
        (0..self.config.depth).for_each(|i| self.block(i, &mut x, &condition));
        let m = self.linear("final_layer.adaLN_modulation.1", &condition);
        let mut out = vec![0.0; c * n * n];
        for (token, x) in x.iter().enumerate() {
            let y = self.linear("final_layer.linear", &modulate(x, &m[..d], &m[d..]));
            let (top, left) = (token / (n / p) * p, token % (n / p) * p);
            for (i, y) in y.iter().enumerate() {
                let (dy, dx, channel) = (i / (2 * c) / p, i / (2 * c) % p, i % (2 * c));
                if channel < c {
                    out[(channel * n + top + dy) * n + left + dx] = -y;
                }
            }
        }
        out
    }
}

fn silu(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| x / (1.0 + (-x).exp())).collect()
}

fn gelu(x: &[f64]) -> Vec<f64> {
    let root = (2.0 / std::f64::consts::PI).sqrt();
    x.iter()
        .map(|x| 0.5 * x * (1.0 + (root * (x + 0.044715 * x * x * x)).tanh()))
        .collect()
}

fn modulate(x: &[f64], shift: &[f64], scale: &[f64]) -> Vec<f64> {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    let y = x.iter().map(|x| (x - mean) / (variance + 1e-6).sqrt());
    y.zip(shift.iter().zip(scale))
        .map(|(y, (shift, scale))| y * (1.0 + scale) + shift)
        .collect()
}

fn add_gated(x: &mut Rows, gate: &[f64], h: Rows) {
    for (x, h) in x.iter_mut().zip(h) {
        x.iter_mut()
            .zip(gate)
            .zip(h)
            .for_each(|((x, g), h)| *x += g * h);
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn predictions_follow_the_definition() {
    let image = wave(3 * 12 * 12, 1.0, 1.0);
    for (level, class) in [(0.0, Some(0)), (0.75, Some(4)), (1.0, None)] {
        let got = predict(&load(CONFIG), &image, level, &[class]);
        let index = class.map_or(CONFIG.classes, |c| c as usize);
        let want = Plain::new(CONFIG).predict(&image, f64::from(level), index);
        let size = want.iter().fold(0.0f64, |m, w| m.max(w.abs()));
        for (g, w) in got.iter().zip(&want) {
            assert!(
                (f64::from(*g) - w).abs() < 5e-6 * size,
                "{g} for {w}, largest {size}"
            );
        }
    }
}

#[test]
fn time_from_noise_to_data_is_the_other_way_round() {
    let image = wave(3 * 12 * 12, 2.0, 1.0);
    let lab = load(SitConfig {
        time: TimeAxis::NoiseAtOne,
        ..CONFIG
    });
    let public = predict(&load(CONFIG), &image, 0.25, &[Some(1)]);
    let negated: Vec<f32> = predict(&lab, &image, 0.75, &[Some(1)])
        .iter()
        .map(|x| -x)
        .collect();
    assert_eq!(public, negated);
}

#[test]
fn a_row_does_not_depend_on_its_neighbours_or_on_threads() {
    let sit = load(CONFIG);
    let x = wave(7 * 3 * 12 * 12, 3.0, 1.0);
    let classes = [Some(0), None, Some(3), Some(0), Some(4), None, Some(2)];
    let together = predict(&sit, &x, 0.5, &classes);
    let each = x.chunks(3 * 12 * 12).zip(classes);
    let alone: Vec<f32> = each
        .flat_map(|(x, class)| predict(&sit, x, 0.5, &[class]))
        .collect();
    assert_eq!(bits(&together), bits(&alone));
    for threads in [1, 3, 4] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let other = pool.install(|| predict(&sit, &x, 0.5, &classes));
        assert_eq!(bits(&together), bits(&other), "{threads} threads");
    }
}

#[test]
fn every_instruction_level_gives_the_same_bits() {
    let x = wave(2 * 3 * 12 * 12, 4.0, 1.0);
    let run = |isa| {
        bits(&predict(
            &load(CONFIG).with_isa(isa),
            &x,
            0.3,
            &[Some(2), None],
        ))
    };
    let plain = run(Isa::PLAIN);
    for isa in Isa::available() {
        assert_eq!(plain, run(isa), "{isa:?}");
    }
}

#[test]
fn loading_asks_for_the_manifest_and_stops_at_an_error() {
    let mut asked = Vec::new();
    let loaded = Sit::load(CONFIG, |name, shape| {
        asked.push((name.to_string(), shape.to_vec()));
        Ok::<_, Infallible>(weight(name, shape))
    });
    assert!(loaded.is_ok());
    assert_eq!(asked, CONFIG.manifest());
    let refused = Sit::load(CONFIG, |name, shape| match name {
        "blocks.1.mlp.fc1.bias" => Err(name.to_string()),
        _ => Ok(weight(name, shape)),
    });
    assert_eq!(refused.err().as_deref(), Some("blocks.1.mlp.fc1.bias"));
}

#[test]
fn wrong_shapes_and_classes_are_errors() {
    let sit = load(CONFIG);
    assert!(sit.encode(Some(6)).is_err());
    let zeros = |c| Tensor::zeros((1, c, 12, 12), DType::F32, &Device::Cpu).unwrap();
    let row = sit.encode(None).unwrap();
    assert!(sit.predict(&zeros(4), Level::NOISE, &[&row]).is_err());
    let empty = Encoded { tensors: vec![] };
    assert!(sit.predict(&zeros(3), Level::NOISE, &[&empty]).is_err());
}
