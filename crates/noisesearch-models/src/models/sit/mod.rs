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
mod patches;

pub use config::{SitConfig, TIME_FEATURES, TimeAxis};

use crate::denoiser::{Encoded, Network};
use crate::gradient::NetworkGradient;
use crate::layers::{Order, Place, timestep, timestep_closed};
use crate::models::training_index;
use crate::nn::activation::silu;
use crate::nn::buffer::{Arena, Arenas};
use crate::nn::embed::{SiluMlp, sinusoidal};
use crate::nn::gemm::{Epilogue, PackedWeight, Windows};
use crate::nn::isa::Isa;
use crate::nn::norm::{Affine, layer_norm_modulated};
use crate::parity::Watch;
use backward::Transposed;
use block::{Block, LAYER_NORM_EPS};
use candle_core::{Device, Result, Tensor};
use noisesearch_core::level::Level;
use rayon::prelude::*;
use std::sync::{Mutex, OnceLock, PoisonError};

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
    /// For the way back, made when it is first gone.
    transposed: OnceLock<Transposed>,
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
        mut take: impl FnMut(&str, &[usize]) -> std::result::Result<Vec<f32>, E>,
    ) -> std::result::Result<Self, E> {
        let mut manifest = config.manifest().into_iter();
        let mut next = || match manifest.next() {
            Some((name, shape)) => take(&name, &shape).map(|floats| (floats, shape)),
            None => unreachable!("the manifest holds every tensor that is asked for"),
        };
        let mut linear = || -> std::result::Result<_, E> {
            let ((weight, shape), (bias, _)) = (next()?, next()?);
            let inputs = shape[1..].iter().product();
            Ok((weight, bias, inputs))
        };
        let whole = |(weight, bias, k): (Vec<f32>, Vec<f32>, usize)| {
            PackedWeight::new(&weight, &bias, bias.len(), k)
        };
        let patch = linear().map(whole)?;
        let time = SiluMlp {
            first: linear().map(whole)?,
            second: linear().map(whole)?,
        };
        let mut packed = || linear().map(|layer| place.keep(whole(layer)));
        let blocks = (0..config.depth)
            .map(|_| {
                Ok(Block {
                    qkv: packed()?,
                    project: packed()?,
                    widen: packed()?,
                    narrow: packed()?,
                    modulation: packed()?,
                    heads: config.heads,
                    eps: config.norm_eps,
                })
            })
            .collect::<std::result::Result<_, E>>()?;
        let last = {
            let (weight, bias, k) = linear()?;
            patches::last_layer(&config, &weight, &bias, k)
        };
        let last_modulation = linear().map(whole)?;
        let (class_table, _) = next()?;
        let (positions, _) = next()?;
        let (isa, arenas) = (Isa::best(), Arenas::default());
        Ok(Self {
            config,
            isa,
            patch,
            time,
            class_table,
            positions,
            blocks,
            last_modulation,
            last,
            arenas,
            transposed: OnceLock::new(),
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

    /// What a row is given: a class in `0..classes`, or none.
    pub fn encode(&self, class: Option<u32>) -> Result<Encoded> {
        let class = class.map(|class| class as usize);
        if let Some(class) = class
            && class >= self.config.classes
        {
            candle_core::bail!(
                "class {class} of a model with {} classes",
                self.config.classes
            )
        }
        let class = class.unwrap_or(self.config.classes);
        Ok(Encoded {
            tensors: vec![Tensor::new(class as f32, &Device::Cpu)?],
        })
    }

    /// Class index of an encoding.
    fn class_of(&self, row: &Encoded) -> Result<usize> {
        let class = match row.tensors.first() {
            Some(class) => class.to_scalar::<f32>()? as usize,
            None => candle_core::bail!("a row of a class-conditional model has no class"),
        };
        if class > self.config.classes {
            candle_core::bail!(
                "class {class} of a model with {} classes",
                self.config.classes
            )
        }
        Ok(class)
    }

    /// Modulations of every block and of the last layer at one level.
    fn modulate(&self, at: Level, classes: &[usize]) -> Result<Modulations> {
        let d = self.config.hidden;
        let time = self.time.apply(self.isa, &self.time_features(at)?);
        let mut condition: Vec<f32> = classes
            .iter()
            .flat_map(|&class| self.class_table[class * d..][..d].iter().zip(&time))
            .map(|(class, time)| time + class)
            .collect();
        silu(self.isa, &mut condition);
        let layers: Vec<&PackedWeight> = self
            .blocks
            .iter()
            .map(|b| &b.modulation)
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

    /// The sinusoidal embedding of a level.
    fn time_features(&self, at: Level) -> Result<Vec<f32>> {
        let mut features = vec![0.0; TIME_FEATURES];
        match self.config.time {
            TimeAxis::NoiseAtOne => sinusoidal(at.get(), &mut features),
            TimeAxis::DataAtOne => sinusoidal(1.0 - at.get(), &mut features),
            TimeAxis::ClosedIndex => features = timestep_closed(training_index(at), TIME_FEATURES),
            TimeAxis::TrainingIndex => {
                let (t, order) = (training_index(at), Order::CosineFirst);
                let row = timestep(&[t], TIME_FEATURES, order, &Place::cpu())?;
                features = row.flatten_all()?.to_vec1()?;
            }
        }
        Ok(features)
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
        let size = self.config.input_size;
        let (b, c, h, w) = x.dims4()?;
        if [b, c, h, w] != [rows.len(), self.config.channels, size, size] {
            let want = [rows.len(), self.config.channels, size, size];
            candle_core::bail!("latents are {:?}, this SiT takes {want:?}", [b, c, h, w])
        }
        let classes = rows
            .iter()
            .map(|row| self.class_of(row))
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
