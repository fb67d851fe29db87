//! SiT: a class-conditional transformer on patches with adaLN-zero modulation.
//!
//! Ma et al. 2024, arXiv 2401.08740, on the architecture of Peebles and Xie 2022,
//! arXiv 2212.09748. A block, with `shift, scale, gate, …` from the time and the class:
//!
//! ```text
//! x += gate1 * attention(layer_norm(x) * (1 + scale1) + shift1)
//! x += gate2 * mlp(layer_norm(x) * (1 + scale2) + shift2)
//! ```
//!
//! DiT is the same network, told the time of another path. A SiT's prediction is always the flow
//! velocity `noise - x0` at a level whose 1 is noise, however the checkpoint counts time
//! ([`TimeAxis`]); a DiT's is the noise.

mod backward;
mod block;
mod config;
mod device;
mod given;
mod parts;
mod patches;

pub use config::{SitConfig, TIME_FEATURES, TimeAxis};
pub use device::DeviceSit;

use crate::denoiser::{Encoded, Network};
use crate::gradient::NetworkGradient;
use crate::layers::Place;
use crate::nn::activation::silu;
use crate::nn::buffer::{Arena, Arenas};
use crate::nn::embed::SiluMlp;
use crate::nn::gemm::{Epilogue, PackedWeight, Windows};
use crate::nn::isa::Isa;
use crate::nn::norm::{Affine, layer_norm_modulated};
use crate::parity::Watch;
use block::{Block, LAYER_NORM_EPS};
use candle_core::{Device, Result, Tensor};
use noisesearch_core::level::Level;
use parts::Raw;
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// A SiT with its weights packed for this processor.
#[derive(Debug)]
pub struct Sit {
    config: SitConfig,
    isa: Isa,
    patch: PackedWeight,
    time: SiluMlp,
    /// `[classes + 1, hidden]`; the last row stands for no class.
    class_table: Vec<f32>,
    /// `[tokens, hidden]`.
    positions: Vec<f32>,
    blocks: Vec<Block>,
    last_modulation: PackedWeight,
    last: PackedWeight,
    arenas: Arenas,
}

impl Sit {
    /// Builds the network with whole matrices: [`Self::load_at`] in f32.
    pub fn load<E>(
        config: SitConfig,
        take: impl FnMut(&str, &[usize]) -> std::result::Result<Vec<f32>, E>,
    ) -> std::result::Result<Self, E> {
        Self::load_at(config, &Place::cpu(), take)
    }

    /// Builds the network, asking `take` once for every tensor of [`SitConfig::manifest`] by name
    /// and shape; `take` returns its floats in row-major order or an error that ends the loading.
    /// `place`, which is the CPU, tells the number format of the blocks' products; those before
    /// and after the blocks are made in f32.
    pub fn load_at<E>(
        config: SitConfig,
        place: &Place,
        take: impl FnMut(&str, &[usize]) -> std::result::Result<Vec<f32>, E>,
    ) -> std::result::Result<Self, E> {
        let keep = |raw: Raw| {
            let packed = PackedWeight::new(&raw.weight, &raw.bias, raw.bias.len(), raw.inputs);
            Ok(match raw.inside {
                true => place.keep(packed),
                false => packed,
            })
        };
        let parts = parts::read(&config, take, keep)?;
        let [first, second] = parts.time;
        let block = |layers| Block {
            layers,
            heads: config.heads,
            eps: config.norm_eps,
        };
        Ok(Self {
            isa: Isa::best(),
            patch: parts.patch,
            time: SiluMlp { first, second },
            class_table: parts.class_table,
            positions: parts.positions,
            blocks: parts.blocks.into_iter().map(block).collect(),
            last_modulation: parts.last_modulation,
            last: parts.last,
            arenas: Arenas::default(),
            config,
        })
    }

    /// The same network at another instruction level; results do not change.
    pub fn with_isa(self, isa: Isa) -> Self {
        Self { isa, ..self }
    }

    /// Its sizes.
    pub fn config(&self) -> &SitConfig {
        &self.config
    }

    /// See [`SitConfig::encode`].
    pub fn encode(&self, class: Option<u32>) -> Result<Encoded> {
        self.config.encode(class)
    }

    /// Modulations of every block and of the last layer at one level.
    fn modulate(&self, at: Level, classes: &[usize]) -> Result<Modulations> {
        let d = self.config.hidden;
        let time = self.time.apply(self.isa, &self.config.time_features(at)?);
        let mut condition: Vec<f32> = classes
            .iter()
            .flat_map(|&class| self.class_table[class * d..][..d].iter().zip(&time))
            .map(|(class, time)| time + class)
            .collect();
        silu(self.isa, &mut condition);
        let layers: Vec<&PackedWeight> = self
            .blocks
            .iter()
            .map(|b| &b.layers.modulation)
            .chain([&self.last_modulation])
            .collect();
        let by_layer = layers
            .par_iter()
            .map(|layer| {
                let mut out = vec![0.0; classes.len() * layer.outputs()];
                layer.apply(
                    self.isa,
                    Windows::rows(&condition, d),
                    &mut out,
                    Epilogue::Store,
                );
                out
            })
            .collect();
        Ok(Modulations {
            by_layer,
            classes: classes.len(),
        })
    }

    /// One image `x: [c, h, w]` -> its prediction. `watch` is shown every block's result
    /// `[tokens, hidden]`.
    fn forward(&self, image: Image, out: &mut [f32], watch: impl Fn(usize, &[f32])) {
        let Image {
            x,
            modulations,
            parts,
        } = image;
        let isa = self.isa;
        let mut state = self.arenas.with(|arena| self.embed(arena, x, parts));
        for (i, (block, modulation)) in self.blocks.iter().zip(modulations).enumerate() {
            block.apply(isa, &self.arenas, modulation, &mut state);
            watch(i, &state.x);
        }
        let last = modulations[self.blocks.len()];
        self.arenas.with(|arena| {
            self.finish(arena, last, &mut state, out);
            state.give(arena);
        });
    }

    /// Positions and patches of `x: [c, h, w]`.
    fn embed(&self, arena: &mut Arena, x: &[f32], parts: usize) -> block::State {
        let (d, tokens) = (self.config.hidden, self.config.tokens());
        let mut state = block::State::take(arena, tokens, d, parts);
        let mut patches = arena.take(tokens * self.config.patch_floats());
        patches::cut(&self.config, x, &mut patches);
        let left = Windows::rows(&patches, self.config.patch_floats());
        state.x.copy_from_slice(&self.positions);
        self.patch
            .apply(self.isa, left, &mut state.x, Epilogue::Add);
        arena.give(patches);
        state
    }

    /// The last layer and the way back from tokens to pixels.
    fn finish(&self, arena: &mut Arena, modulation: &[f32], s: &mut block::State, out: &mut [f32]) {
        let (shift, scale) = modulation.split_at(self.config.hidden);
        let affine = Affine { scale, shift };
        layer_norm_modulated(self.isa, &s.x, LAYER_NORM_EPS, affine, &mut s.h);
        let mut patches = arena.take(self.config.tokens() * self.config.patch_floats());
        let left = Windows::rows(&s.h, self.config.hidden);
        self.last
            .apply(self.isa, left, &mut patches, Epilogue::Store);
        patches::join(&self.config, &patches, out);
        arena.give(patches);
        if self.config.time == TimeAxis::DataAtOne {
            out.iter_mut().for_each(|x| *x = -*x);
        }
    }
}

/// adaLN shifts, scales and gates for every distinct class of a batch.
struct Modulations {
    /// A layer's `[classes, outputs]`.
    by_layer: Vec<Vec<f32>>,
    classes: usize,
}

impl Modulations {
    /// Every layer's modulation for one class.
    fn of(&self, class: usize) -> Vec<&[f32]> {
        let row = |layer: &'_ Vec<f32>| layer.len() / self.classes;
        self.by_layer
            .iter()
            .map(|l| &l[class * row(l)..][..row(l)])
            .collect()
    }
}

/// Into how many parts each of `rows` images is cut so that all `threads` have work.
fn parts(rows: usize, threads: usize) -> usize {
    if rows.is_multiple_of(threads) || rows > 4 * threads {
        1
    } else {
        threads
    }
}

/// One row's work.
struct Image<'a> {
    /// `[c, h, w]`.
    x: &'a [f32],
    /// Of every block and the last layer.
    modulations: &'a [&'a [f32]],
    /// Into how many parts of tokens it is cut.
    parts: usize,
}

/// Is shown `[tokens, hidden]` of a row, a block.
type WatchBlocks<'a> = dyn Fn(usize, usize, &[f32]) + Sync + 'a;

impl Sit {
    /// [`Network::predict`], which also shows what is inside: `block.0` and so on.
    pub fn watched(
        &self,
        x: &Tensor,
        at: Level,
        rows: &[&Encoded],
        watch: &mut Watch,
    ) -> Result<Tensor> {
        let shape = (rows.len(), self.config.tokens(), self.config.hidden);
        let blocks = vec![vec![vec![]; rows.len()]; self.config.depth];
        let blocks = Mutex::new(blocks);
        let out = self.run(x, at, rows, &|row, block, x| {
            let mut blocks = blocks.lock().unwrap_or_else(PoisonError::into_inner);
            blocks[block][row] = x.to_vec();
        })?;
        let blocks = blocks.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (i, rows) in blocks.into_iter().enumerate() {
            let block = Tensor::from_vec(rows.concat(), shape, &Device::Cpu)?;
            watch(&format!("block.{i}"), &block)?;
        }
        Ok(out)
    }

    fn run(&self, x: &Tensor, at: Level, rows: &[&Encoded], watch: &WatchBlocks) -> Result<Tensor> {
        let [b, c, h, w] = self.config.fits(x, rows.len())?;
        let classes = rows
            .iter()
            .map(|row| self.config.class_of(row))
            .collect::<Result<Vec<_>>>()?;
        let mut distinct = classes.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let modulations = self.modulate(at, &distinct)?;
        let by_class: Vec<_> = (0..distinct.len()).map(|i| modulations.of(i)).collect();
        let parts = parts(b, rayon::current_num_threads());
        let x = x.flatten_all()?.to_vec1::<f32>()?;
        let mut out = vec![0.0; x.len()];
        let images = x
            .par_chunks_exact(c * h * w)
            .zip(out.par_chunks_exact_mut(c * h * w));
        let images = images.zip(&classes).enumerate();
        images.for_each(|(row, ((x, out), class))| {
            let modulations = &by_class[distinct.binary_search(class).unwrap_or_default()];
            let image = Image {
                x,
                modulations,
                parts,
            };
            self.forward(image, out, |block, x| watch(row, block, x));
        });
        Tensor::from_vec(out, (b, c, h, w), &Device::Cpu)
    }
}

impl Network for Sit {
    fn predict(&self, x: &Tensor, at: Level, rows: &[&Encoded]) -> Result<Tensor> {
        self.run(x, at, rows, &|_, _, _| {})
    }

    fn gradient(&self) -> Option<&dyn NetworkGradient> {
        Some(self)
    }
}
