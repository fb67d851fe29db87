//! The scenes model of the embedded lab: text to 64x64 RGB images of coloured shapes.
//!
//! A U-Net in pixel space on the linear flow path; it predicts velocity `noise - x0`, with
//! pictures in `[-1, 1]`. Trained by `lab/scenes/train.py`; its card is `lab/README.md`.

pub mod grammar;
pub mod text;
pub mod unet;

use crate::denoiser::{Conditioner, Conditioning, Encoded, LatentShape, Network, TaskError};
use crate::gradient::NetworkGradient;
use crate::layers::{Place, floats};
use crate::models::rows::runs;
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

    fn given(&self, at: Level, row: &Encoded) -> Result<Given> {
        let mut floats = row.tensors.iter().map(flat);
        let pooled = floats.next().transpose()?.unwrap_or_default();
        Ok(Given {
            words: floats.collect::<Result<_>>()?,
            modulations: self.unet.modulations(self.isa, at.get(), &pooled),
        })
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
        let runs = runs(rows);
        let given = runs.iter().map(|run| self.given(at, run.encoded));
        let given: Vec<Given> = given.collect::<Result<_>>()?;
        let by_run = runs.iter().zip(&given);
        let which: Vec<&Given> = by_run
            .flat_map(|(run, given)| vec![given; run.rows])
            .collect();
        let input = x.contiguous()?;
        let input = input.storage_and_layout();
        let input = floats(&input)?;
        let mut out = vec![0.0; input.len()];
        let pairs = out.par_chunks_mut(PICTURE).zip(input.par_chunks(PICTURE));
        pairs.zip(which).for_each(|((out, x), given)| {
            let Given { words, modulations } = given;
            let words: Vec<&[f32]> = words.iter().map(Vec::as_slice).collect();
            self.arenas.with(|arena| {
                let given = (words.as_slice(), modulations.as_slice());
                self.unet.forward((self.isa, arena), x, given, out);
            });
        });
        Tensor::from_vec(out, x.shape(), x.device())
    }

    fn gradient(&self) -> Option<&dyn NetworkGradient> {
        Some(self)
    }
}

impl NetworkGradient for Scenes {
    fn vjp(&self, x: &Tensor, at: Level, row: &Encoded, cotangent: &Tensor) -> Result<Tensor> {
        let want = [1, SHAPE.channels, SIDE, SIDE];
        if x.dims() != want || cotangent.dims() != want {
            let given = (x.dims(), cotangent.dims());
            candle_core::bail!("picture and cotangent are {given:?}, the model takes {want:?}")
        }
        let Given { words, modulations } = self.given(at, row)?;
        let words: Vec<&[f32]> = words.iter().map(Vec::as_slice).collect();
        let (x, cotangent) = (flat(x)?, flat(cotangent)?);
        let back = self.arenas.with(|arena| {
            let given = (words.as_slice(), modulations.as_slice());
            self.unet.back((self.isa, arena), &x, given, &cotangent)
        });
        Tensor::from_vec(back, want.as_slice(), &Device::Cpu)
    }
}

fn flat(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

/// What the network is given beside pictures: see [`UNet::words`] and [`UNet::modulations`].
struct Given {
    words: Vec<Vec<f32>>,
    modulations: Vec<Vec<f32>>,
}
