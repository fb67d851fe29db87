//! A judge backwards: how a class logit changes with the pixels.

use super::judge::{Judge, Pool, SIDE, pooled, relu};
use candle_core::{Device, Result, Tensor};
use noisesearch_models::nn::backward;
use noisesearch_models::nn::buffer::Arena;
use noisesearch_models::nn::conv::Padded;
use noisesearch_models::nn::gemm::Epilogue;

/// What a layer gave before its pool, `[side, side, channels]`.
struct Given {
    image: Vec<f32>,
    side: usize,
}

impl Judge {
    /// The gradient of the logit of `class` with respect to the pixels of one image
    /// `[1, 1, 32, 32]` in `[0, 1]`, same shape.
    pub fn slope(&self, image: &Tensor, class: usize) -> Result<Tensor> {
        let wanted = [1, 1, SIDE, SIDE];
        if image.dims() != wanted || class >= self.head.outputs() {
            candle_core::bail!(
                "a glyphs verifier has a gradient for one picture {wanted:?} and a class below \
                 {}, and was given {:?} and {class}",
                self.head.outputs(),
                image.dims()
            );
        }
        let pixels = image.flatten_all()?.to_vec1::<f32>()?;
        let slope = self.arenas.with(|arena| {
            let given = self.layers_of(arena, &pixels);
            self.back(arena, &given, class)
        });
        Tensor::from_vec(slope, wanted.as_slice(), &Device::Cpu)
    }

    /// What every layer gives for a picture.
    fn layers_of(&self, arena: &mut Arena, picture: &[f32]) -> Vec<Given> {
        let (mut image, mut side) = (arena.take(picture.len()), SIDE);
        image.copy_from_slice(picture);
        let (mut channels, mut given) = (1, Vec::with_capacity(self.layers.len()));
        for (conv, pool) in &self.layers {
            let mut padded = Padded::take(arena, [side, side, channels]);
            padded.fill(&image);
            let mut out = arena.take(side * side * conv.outputs());
            conv.apply(self.isa, &padded, &mut out, Epilogue::Store);
            padded.give(arena);
            relu(&mut out);
            channels = conv.outputs();
            given.push(Given {
                image: out.to_vec(),
                side,
            });
            arena.give(image);
            (image, side) = pooled(arena, out, [side, side, channels], *pool);
        }
        arena.give(image);
        given
    }

    /// From the logit back to the pixels.
    fn back(&self, arena: &mut Arena, given: &[Given], class: usize) -> Vec<f32> {
        let mut logits = vec![0.0; self.head.outputs()];
        logits[class] = 1.0;
        let pixels = given.last().map_or(1, |last| last.side * last.side);
        let mut d = backward::linear(self.isa, &self.head, &logits);
        d.iter_mut().for_each(|d| *d /= pixels as f32);
        d = d.repeat(pixels);
        for ((conv, pool), Given { image, side }) in self.layers.iter().zip(given).rev() {
            let shape = [*side, *side, conv.outputs()];
            let mut wide = vec![0.0; image.len()];
            match pool {
                Pool::Keep => wide = d,
                Pool::Mean => backward::average_pool(shape, &d, &mut wide),
                Pool::Max => backward::max_pool(image, shape, &d, &mut wide),
            }
            backward::relu(image, &mut wide);
            d = backward::conv3x3(self.isa, arena, conv, [*side, *side], &wide);
        }
        d
    }
}
