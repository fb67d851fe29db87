//! Inception-v3 (Szegedy et al. 2015, arXiv 1512.00567) as the Fréchet inception distance uses it:
//! the port of TensorFlow's network in the key layout of pytorch-fid, and what is made of it.
//!
//! ```text
//! x = 2 stretched(picture, 299x299) - 1
//! features = mean over pixels of the last block, 2048;   logits = fc(features), 1008
//! ```

pub mod blocks;
pub mod describer;
pub mod oracle;

use blocks::{Kind, Mixed, Pool, Unit};
use candle_core::{DType, Device, Result, Tensor, bail};
use noisesearch_models::layers::{Geometry, Linear, Loaded, Place, Source, channels_last};
use rayon::prelude::*;

/// Height and width of what the network sees.
pub const SIDE: usize = 299;
/// Features of a picture.
pub const FEATURES: usize = 2048;
/// Classes of the checkpoint: a thousand, and eight that were never used.
pub const CLASSES: usize = 1008;

/// Every block behind the first five units, in order.
const BLOCKS: [(&str, Kind); 11] = [
    ("Mixed_5b", Kind::A { pool: 32 }),
    ("Mixed_5c", Kind::A { pool: 64 }),
    ("Mixed_5d", Kind::A { pool: 64 }),
    ("Mixed_6a", Kind::ToSeventeen),
    ("Mixed_6b", Kind::C { narrow: 128 }),
    ("Mixed_6c", Kind::C { narrow: 160 }),
    ("Mixed_6d", Kind::C { narrow: 160 }),
    ("Mixed_6e", Kind::C { narrow: 192 }),
    ("Mixed_7a", Kind::ToEight),
    ("Mixed_7b", Kind::E { pool: Pool::Mean }),
    ("Mixed_7c", Kind::E { pool: Pool::Max }),
];

/// The network with its weights.
#[derive(Debug)]
pub struct Inception {
    stem: [Unit; 5],
    blocks: Vec<Mixed>,
    head: Linear,
    place: Place,
}

impl Inception {
    /// Takes the tensors of the network.
    pub fn load(mut s: Source) -> Loaded<Self> {
        let valid = |stride| Geometry::square(3, stride, 0);
        let one = Geometry::square(1, 1, 0);
        let mut unit = |name, channels, geometry| Unit::load(s.at(name), channels, geometry);
        let stem = [
            unit("Conv2d_1a_3x3", [3, 32], valid(2))?,
            unit("Conv2d_2a_3x3", [32, 32], valid(1))?,
            unit("Conv2d_2b_3x3", [32, 64], Geometry::SAME_3X3)?,
            unit("Conv2d_3b_1x1", [64, 80], one)?,
            unit("Conv2d_4a_3x3", [80, 192], valid(1))?,
        ];
        let mut width = 192;
        let mut blocks = Vec::with_capacity(BLOCKS.len());
        for (name, kind) in BLOCKS {
            let block = Mixed::load(s.at(name), width, kind)?;
            width = block.outputs();
            blocks.push(block);
        }
        let head = Linear::load(s.at("fc"), FEATURES, CLASSES)?;
        let place = s.place().clone();
        Ok(Self {
            stem,
            blocks,
            head,
            place,
        })
    }

    /// Features `[b, 2048]` f32 on the CPU of `images: [b, 1|3, h, w]` in `[0, 1]`; grey is
    /// repeated.
    pub fn features(&self, images: &Tensor) -> Result<Tensor> {
        let x = resized(images, SIDE)?.affine(2.0, -1.0)?;
        let x = x
            .to_device(&self.place.device)?
            .to_dtype(self.place.dtype)?;
        let features = self.of_input(&x, &mut |_, _| Ok(()))?;
        features.to_dtype(DType::F32)?.to_device(&Device::Cpu)
    }

    /// Features `[b, 2048]` of `x: [b, 3, h, w]`, at least 75 pixels each way. `watch` is shown
    /// what comes of every part, by name.
    pub fn of_input(
        &self,
        x: &Tensor,
        watch: &mut dyn FnMut(&str, &Tensor) -> Result<()>,
    ) -> Result<Tensor> {
        let mut x = channels_last(x)?;
        for (i, unit) in self.stem.iter().enumerate() {
            if i == 3 {
                x = Pool::Halve.forward(&x)?;
            }
            x = unit.forward(&x)?;
        }
        watch("Conv2d_4a_3x3", &x)?;
        x = Pool::Halve.forward(&x)?;
        for ((name, _), block) in BLOCKS.iter().zip(&self.blocks) {
            x = block.forward(&x)?;
            watch(name, &x)?;
        }
        x.flatten(1, 2)?.mean(1)
    }

    /// Logits `[b, 1008]` f32 of [`Inception::features`].
    pub fn logits(&self, features: &Tensor) -> Result<Tensor> {
        let x = features.to_device(&self.place.device)?;
        let logits = self.head.forward(&x.to_dtype(self.place.dtype)?)?;
        logits.to_dtype(DType::F32)?.to_device(&Device::Cpu)
    }
}

/// `images: [b, 1|3, h, w]` to `[b, 3, side, side]` f32 on the CPU: between the four nearest pixels
/// by their distance, also where the picture shrinks, as pytorch-fid does.
pub fn resized(images: &Tensor, side: usize) -> Result<Tensor> {
    let (b, channels, h, w) = images.dims4()?;
    if ![1, 3].contains(&channels) || h == 0 || w == 0 {
        bail!(
            "images of shape {:?}; [b, 1|3, h, w] are judged",
            images.dims()
        )
    }
    let images = images.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
    let pixels: Vec<f32> = images.flatten_all()?.to_vec1()?;
    let (rows, columns) = (between(h, side), between(w, side));
    let mut out = vec![0.0; b * 3 * side * side];
    out.par_chunks_mut(side * side)
        .enumerate()
        .for_each(|(i, out)| {
            let plane = i / 3 * channels + (i % 3).min(channels - 1);
            let plane = &pixels[plane * h * w..][..h * w];
            let lines = out.chunks_exact_mut(side).zip(&rows);
            for (out, &(y0, y1, v)) in lines {
                for (out, &(x0, x1, u)) in out.iter_mut().zip(&columns) {
                    let across = |y: usize| plane[y * w + x0] * (1.0 - u) + plane[y * w + x1] * u;
                    *out = across(y0) * (1.0 - v) + across(y1) * v;
                }
            }
        });
    Tensor::from_vec(out, (b, 3, side, side), &Device::Cpu)
}

/// For each of `to` pixels: the two of `from` that it lies between, and how near the second is.
fn between(from: usize, to: usize) -> Vec<(usize, usize, f32)> {
    let scale = from as f32 / to as f32;
    let pixel = |i: usize| {
        let at = (scale * (i as f32 + 0.5) - 0.5).max(0.0);
        let first = (at as usize).min(from - 1);
        (first, (first + 1).min(from - 1), at - first as f32)
    };
    (0..to).map(pixel).collect()
}
