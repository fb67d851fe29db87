//! A tower backwards: how a number that is made of its outputs changes with the pixels.

use super::see::SIDE;
use super::tower::{PICTURE, Tower};
use candle_core::{Device, Result, Tensor};
use noisesearch_models::nn::backward;
use noisesearch_models::nn::buffer::Arena;
use noisesearch_models::nn::resample::channels_first;

impl Tower {
    /// The gradient of a number with respect to the pixels of one image `[1, 3, 64, 64]` in
    /// `[0, 1]`, same shape; `cotangent` tells its gradient with respect to the outputs, which it
    /// is given.
    pub fn slope(
        &self,
        image: &Tensor,
        cotangent: impl FnOnce(&[f32]) -> Vec<f32>,
    ) -> Result<Tensor> {
        let picture = super::pictures(image)?;
        if picture.len() != PICTURE {
            candle_core::bail!(
                "a scenes verifier has a gradient for one picture, and was given {:?}",
                image.dims()
            );
        }
        let mut given = Vec::new();
        let slope = self.arenas.with(|arena| {
            let outputs = self.of_picture(arena, &picture, |x| given.push(x.to_vec()));
            self.back(arena, given, &cotangent(&outputs))
        });
        Tensor::from_vec(slope, image.shape(), &Device::Cpu)
    }

    /// From a cotangent of the outputs to one of the picture `[3, 64, 64]`; `given` is what every
    /// SiLU was given.
    fn back(&self, arena: &mut Arena, mut given: Vec<Vec<f32>>, cotangent: &[f32]) -> Vec<f32> {
        let hidden = given.pop().expect("the first head has a SiLU");
        let mut d = backward::linear(self.isa, &self.head2, cotangent);
        backward::silu(self.isa, &hidden, &mut d);
        d = backward::linear(self.isa, &self.head1, &d);
        d = backward::linear(self.isa, &self.reduce, &d);
        let sizes = self.convs.iter().scan([SIDE, SIDE], |size, (conv, _)| {
            let next = conv.output_size(*size);
            Some(std::mem::replace(size, next))
        });
        let sizes: Vec<[usize; 2]> = sizes.collect();
        let layers = self.convs.iter().zip(sizes).zip(given);
        for (((conv, adds), size), x) in layers.rev() {
            let past = adds.then(|| d.clone());
            backward::silu(self.isa, &x, &mut d);
            d = backward::conv3x3(self.isa, arena, conv, size, &d);
            for (d, past) in d.iter_mut().zip(past.into_iter().flatten()) {
                *d += past;
            }
        }
        let mut slope = vec![0.0; PICTURE];
        channels_first(&d, 3, &mut slope);
        // The tower is given `2 picture - 1`.
        slope.iter_mut().for_each(|d| *d *= 2.0);
        slope
    }
}
