//! The scenes model of the embedded lab: text to 64x64 RGB images of coloured shapes.
//!
//! A U-Net in pixel space on the linear flow path; it predicts velocity `noise - x0`, with
//! pictures in `[-1, 1]`. Trained by `lab/scenes/train.py`; its card is `lab/README.md`.

pub mod grammar;
pub mod text;
pub mod unet;

use crate::denoiser::{Conditioner, Conditioning, Encoded, LatentShape, Network, TaskError};
use crate::layers::Place;
use crate::nn::buffer::Arenas;
use crate::nn::isa::Isa;
use crate::task::Task;
use crate::weights::{Weights, WeightsError};
use candle_core::{Device, Result, Tensor};
use grammar::{Scene, TOKENS};
use noisesearch_core::level::Level;
use rayon::prelude::*;
use text::{TextEncoder, WORDS};
use unet::{PICTURE, SIDE, UNet};

/// Shape of a picture, which is its own latent.
pub const SHAPE: LatentShape = LatentShape {
    channels: 3,
    height: SIDE,
    width: SIDE,
};

/// The network with its text encoder.
pub struct Scenes {
    text: TextEncoder,
    unet: UNet,
    isa: Isa,
    arenas: Arenas,
}

impl Scenes {
    /// Consumes every tensor of a checkpoint. `place` is the CPU.
    pub fn load(mut weights: Weights, place: &Place) -> std::result::Result<Self, WeightsError> {
        let text = TextEncoder::load(&mut weights)?;
        let unet = UNet::load(&mut unet::From {
            weights: &mut weights,
            place,
        })?;
        weights.finish()?;
        Ok(Self {
            text,
            unet,
            isa: Isa::best(),
            arenas: Arenas::default(),
        })
    }

    /// `[pooled, keys and values of each reading layer]`, see [`UNet::words`].
    fn encode_tokens(&self, tokens: &[u8; TOKENS]) -> Result<Encoded> {
        let (words, pooled) = self.text.encode(self.isa, tokens);
        let mut tensors = vec![Tensor::new(pooled, &Device::Cpu)?];
        for kv in self.unet.words(self.isa, &words) {
            let width = kv.len() / WORDS;
            tensors.push(Tensor::from_vec(kv, (WORDS, width), &Device::Cpu)?);
        }
        Ok(Encoded { tensors })
    }
}

impl Conditioner for Scenes {
    fn encode(&self, task: &Task, guidance: f32) -> std::result::Result<Conditioning, TaskError> {
        let refuse = |message: String| TaskError { message };
        let Task::Prompt(prompt) = task else {
            return Err(refuse(
                "the scenes model takes a prompt, not a class".into(),
            ));
        };
        let scene = Scene::parse(prompt).map_err(|e| refuse(e.to_string()))?;
        let encode = |tokens| {
            self.encode_tokens(tokens)
                .map_err(|e| refuse(e.to_string()))
        };
        let (cond, uncond) = (encode(&scene.tokens())?, encode(&[0; TOKENS])?);
        Ok(Conditioning {
            cond,
            uncond,
            guidance,
        })
    }
}

impl Network for Scenes {
    fn predict(&self, x: &Tensor, at: Level, rows: &[&Encoded]) -> Result<Tensor> {
        let flat = |t: &Tensor| t.flatten_all()?.to_vec1::<f32>();
        let encodings: Vec<Vec<Vec<f32>>> = distinct(rows)
            .map(|row| row.tensors.iter().map(flat).collect())
            .collect::<Result<_>>()?;
        let which = places(rows);
        let input = flat(x)?;
        let mut out = vec![0.0; input.len()];
        let pairs = out.par_chunks_mut(PICTURE).zip(input.par_chunks(PICTURE));
        pairs.zip(which).for_each(|((out, x), place)| {
            let encoding = &encodings[place];
            let words: Vec<&[f32]> = encoding[1..].iter().map(Vec::as_slice).collect();
            self.arenas.with(|arena| {
                let given = (words.as_slice(), encoding[0].as_slice());
                self.unet
                    .forward((self.isa, arena), (x, at.get()), given, out);
            });
        });
        Tensor::from_vec(out, x.shape(), x.device())
    }
}

/// The encodings of `rows` without the repetitions of neighbours.
fn distinct<'a>(rows: &'a [&'a Encoded]) -> impl Iterator<Item = &'a Encoded> {
    let new = |i: &usize| *i == 0 || !std::ptr::eq(rows[*i], rows[*i - 1]);
    (0..rows.len()).filter(new).map(|i| rows[i])
}

/// For each row, which of [`distinct`] it is.
fn places(rows: &[&Encoded]) -> Vec<usize> {
    let changes = rows.windows(2).scan(0, |place, pair| {
        *place += usize::from(!std::ptr::eq(pair[0], pair[1]));
        Some(*place)
    });
    rows.first().map(|_| 0).into_iter().chain(changes).collect()
}
