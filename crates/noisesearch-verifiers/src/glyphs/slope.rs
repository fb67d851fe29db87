//! A judge backwards: how a class logit changes with the pixels.

use super::judge::{Judge, Pool, SIDE, pooled, relu};
use candle_core::{Device, Result, Tensor};
use noisesearch_models::nn::backward;
use noisesearch_models::nn::buffer::Arena;
use noisesearch_models::nn::conv::{Conv3x3, Padded};
use noisesearch_models::nn::gemm::Epilogue;

/// The weights that are needed on the way back.
#[derive(Debug)]
pub(super) struct Transposed {
    convs: Vec<Conv3x3>,
    /// `[classes, features]`.
    head: Vec<f32>,
}

impl Transposed {
    fn new(judge: &Judge) -> Self {
        let convs = judge.layers.iter().map(|(conv, _)| conv.transposed());
        Self {
            convs: convs.collect(),
            head: judge.head.unpack(),
        }
    }
}

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
        let transposed = self.transposed.get_or_init(|| Transposed::new(self));
        let slope = self.arenas.with(|arena| {
            let given = self.layers_of(arena, &pixels);
            self.back(arena, transposed, &given, class)
        });
        Tensor::from_vec(slope, wanted.as_slice(), &Device::Cpu)
    }

    /// What every layer gives for a picture.
    fn layers_of(&self, arena: &mut Arena, picture: &[f32]) -> Vec<Given> {
        let (mut image, mut side) = (arena.take(picture.len()), SIDE);
        image.copy_from_slice(picture);
        let (mut channels, mut given) = (1, Vec::with_capacity(self.layers.len()));
        for (conv, pool) in &self.layers {
            let mut out = arena.take(side * side * conv.outputs());
            convolve(arena, self, conv, [side, channels], &image, &mut out);
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
    fn back(&self, arena: &mut Arena, to: &Transposed, given: &[Given], class: usize) -> Vec<f32> {
        let features = self.head.inputs();
        let pixels = given.last().map_or(1, |last| last.side * last.side);
        let row = to.head[class * features..][..features].iter();
        let mut d: Vec<f32> = row.map(|w| w / pixels as f32).collect();
        d = d.repeat(pixels);
        let layers = self.layers.iter().zip(&to.convs).zip(given);
        for (((conv, pool), back), Given { image, side }) in layers.rev() {
            let shape = [*side, *side, conv.outputs()];
            let mut wide = vec![0.0; image.len()];
            match pool {
                Pool::Keep => wide = d,
                Pool::Mean => backward::average_pool(shape, &d, &mut wide),
                Pool::Max => backward::max_pool(image, shape, &d, &mut wide),
            }
            backward::relu(image, &mut wide);
            d = vec![0.0; side * side * back.outputs()];
            convolve(arena, self, back, [*side, conv.outputs()], &wide, &mut d);
        }
        d
    }
}

/// `conv` of `image: [side, side, channels]`.
fn convolve(
    arena: &mut Arena,
    judge: &Judge,
    conv: &Conv3x3,
    [side, channels]: [usize; 2],
    image: &[f32],
    out: &mut [f32],
) {
    let mut padded = Padded::take(arena, [side, side, channels]);
    padded.fill(image);
    conv.apply(judge.isa, &padded, out, Epilogue::Store);
    padded.give(arena);
}
