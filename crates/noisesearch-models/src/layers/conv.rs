//! Convolutions and upsampling of images `[b, height, width, channels]`.

use super::floats::{channels_first, channels_last, floats, on_cpu, share};
use super::{Loaded, Source};
use crate::nn::gemm::{Epilogue, PackedWeight, Windows};
use crate::nn::isa::Isa;
use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

/// Shape of a convolution's window and how it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Distance between windows, both ways.
    pub stride: usize,
    /// Lines and columns of zeros before the image.
    pub before: [usize; 2],
    /// Lines and columns of zeros after it.
    pub after: [usize; 2],
}

impl Geometry {
    /// 3x3 with one zero all around.
    pub const SAME_3X3: Self = Self::square(3, 1, 1);

    /// A square kernel with the same padding on all sides.
    pub const fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self {
            kernel: [kernel; 2],
            stride,
            before: [padding; 2],
            after: [padding; 2],
        }
    }

    /// Size of an image with its border.
    fn padded(&self, [height, width]: [usize; 2]) -> [usize; 2] {
        [
            height + self.before[0] + self.after[0],
            width + self.before[1] + self.after[1],
        ]
    }

    /// Size of what comes of an image; `None` if the kernel does not fit.
    fn output(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let [height, width] = self.padded(size);
        let lines = height.checked_sub(self.kernel[0])? / self.stride + 1;
        let columns = width.checked_sub(self.kernel[1])? / self.stride + 1;
        Some([lines, columns])
    }
}

/// A two-dimensional convolution.
#[derive(Debug)]
pub struct Conv2d {
    weight: Weight,
    geometry: Geometry,
    channels: usize,
    outputs: usize,
}

#[derive(Debug)]
enum Weight {
    /// `[outputs, kernel height * kernel width * channels]`.
    Packed(PackedWeight),
    /// `[outputs, channels, kernel height, kernel width]` and a bias `[1, outputs, 1, 1]`.
    Plain(Tensor, Tensor),
}

impl Conv2d {
    /// Takes `weight: [outputs, channels, kernel height, kernel width]` and `bias: [outputs]`.
    pub fn load(
        mut s: Source,
        [channels, outputs]: [usize; 2],
        geometry: Geometry,
    ) -> Loaded<Self> {
        let [height, width] = geometry.kernel;
        let weight = s.floats("weight", &[outputs, channels, height, width])?;
        let bias = s.floats("bias", &[outputs])?;
        Self::new(&s, weight, bias, geometry)
    }

    /// From `weight: [outputs, channels, kernel height, kernel width]` and `bias: [outputs]`, for
    /// the place of `source`.
    pub fn new(
        source: &Source,
        weight: Vec<f32>,
        bias: Vec<f32>,
        geometry: Geometry,
    ) -> Loaded<Self> {
        let taps = geometry.kernel[0] * geometry.kernel[1];
        let outputs = bias.len();
        let channels = weight.len() / outputs / taps;
        let weight = if source.place().is_cpu() {
            let inputs = taps * channels;
            let mut taps_first = vec![0.0; weight.len()];
            for (i, &value) in weight.iter().enumerate() {
                let (output, channel, tap) = (i / inputs, i % inputs / taps, i % taps);
                taps_first[output * inputs + tap * channels + channel] = value;
            }
            let packed = PackedWeight::new(&taps_first, &bias, outputs, inputs);
            Weight::Packed(source.place().keep(packed))
        } else {
            let [height, width] = geometry.kernel;
            Weight::Plain(
                source.send(weight, &[outputs, channels, height, width])?,
                source.send(bias, &[1, outputs, 1, 1])?,
            )
        };
        Ok(Self {
            weight,
            geometry,
            channels,
            outputs,
        })
    }

    /// `x: [b, h, w, channels]` to `[b, h', w', outputs]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, h, w, c) = x.dims4()?;
        let Some(size) = self.geometry.output([h, w]) else {
            bail!("an image of {h}x{w} is smaller than the kernel of {self:?}")
        };
        if c != self.channels {
            bail!(
                "a convolution of {} channels was given {x:?}",
                self.channels
            )
        }
        match &self.weight {
            Weight::Packed(weight) if on_cpu(x) => self.packed(weight, x, size),
            Weight::Packed(_) => bail!("a convolution on the CPU was given {x:?}"),
            Weight::Plain(weight, bias) => self.plain(weight, bias, x),
        }
    }

    fn packed(
        &self,
        weight: &PackedWeight,
        x: &Tensor,
        [lines, columns]: [usize; 2],
    ) -> Result<Tensor> {
        let (b, h, w, c) = x.dims4()?;
        let [height, width] = self.geometry.padded([h, w]);
        let [kernel, across] = self.geometry.kernel;
        let stride = self.geometry.stride;
        let mut out = vec![0.0; b * lines * columns * self.outputs];
        let (isa, part) = (Isa::best(), share(lines * columns).div_ceil(columns));
        let x = x.contiguous()?;
        let reading = x.storage_and_layout();
        let mut padded = vec![0.0; height * width * c];
        let images = floats(&reading)?.chunks_exact(h * w * c);
        for (x, out) in images.zip(out.chunks_exact_mut(lines * columns * self.outputs)) {
            self.pad(x, [w, c], &mut padded);
            let parts = out.par_chunks_mut(part * columns * self.outputs);
            parts.enumerate().for_each(|(i, out)| {
                let windows = Windows {
                    data: &padded[i * part * stride * width * c..],
                    count: out.len() / self.outputs,
                    width: columns,
                    step: stride * c,
                    line_step: stride * width * c,
                    runs: kernel,
                    run_len: across * c,
                    run_step: width * c,
                };
                weight.apply(isa, windows, out, Epilogue::Store);
            });
        }

        Tensor::from_vec(out, (b, lines, columns, self.outputs), x.device())
    }

    /// Copies an image into the middle of a bordered one, whose border stays zero.
    fn pad(&self, x: &[f32], [w, c]: [usize; 2], padded: &mut [f32]) {
        let [top, left] = self.geometry.before;
        let line = (w + left + self.geometry.after[1]) * c;
        let inside = padded[top * line..].chunks_mut(line);
        for (x, padded) in x.chunks_exact(w * c).zip(inside) {
            padded[left * c..][..w * c].copy_from_slice(x);
        }
    }

    fn plain(&self, weight: &Tensor, bias: &Tensor, x: &Tensor) -> Result<Tensor> {
        let Geometry {
            before,
            after,
            stride,
            ..
        } = self.geometry;
        let x = channels_first(x)?
            .pad_with_zeros(2, before[0], after[0])?
            .pad_with_zeros(3, before[1], after[1])?;
        let y = x.conv2d(weight, 0, stride, 1, 1)?.broadcast_add(bias)?;
        channels_last(&y)
    }
}

/// Doubles height and width by repeating pixels.
pub fn upsample(x: &Tensor) -> Result<Tensor> {
    let (b, h, w, c) = x.dims4()?;
    x.reshape((b, h, 1, w, 1, c))?
        .broadcast_as((b, h, 2, w, 2, c))?
        .contiguous()?
        .reshape((b, 2 * h, 2 * w, c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{close, each_place, file, values};

    #[test]
    fn convolutions_agree_with_candles_on_both_routes() {
        let uneven = Geometry {
            kernel: [3, 3],
            stride: 2,
            before: [0, 0],
            after: [1, 1],
        };
        let flat = Geometry {
            kernel: [1, 7],
            stride: 1,
            before: [0, 3],
            after: [0, 3],
        };
        let shapes = [
            Geometry::SAME_3X3,
            Geometry::square(3, 2, 1),
            Geometry::square(3, 2, 0),
            Geometry::square(5, 1, 2),
            Geometry::square(1, 1, 0),
            uneven,
            flat,
        ];
        let x = values(&[2, 9, 12, 5], 1);
        for geometry in shapes {
            let [h, w] = geometry.kernel;
            let (weight, bias) = (values(&[20, 5, h, w], 2), values(&[20], 3));
            let padded = channels_first(&x)
                .and_then(|x| x.pad_with_zeros(2, geometry.before[0], geometry.after[0]))
                .and_then(|x| x.pad_with_zeros(3, geometry.before[1], geometry.after[1]))
                .unwrap();
            let y = padded.conv2d(&weight, 0, geometry.stride, 1, 1).unwrap();
            let y = y.broadcast_add(&bias.reshape((1, 20, 1, 1)).unwrap());
            let want = channels_last(&y.unwrap()).unwrap();
            each_place(|place| {
                let mut weights = file(&[("weight", &weight), ("bias", &bias)]);
                let source = Source::new(&mut weights, place);
                let conv = Conv2d::load(source, [5, 20], geometry).unwrap();
                let x = x.to_dtype(place.dtype).unwrap();
                close(&conv.forward(&x).unwrap(), &want, 2e-6);
            });
        }
    }

    #[test]
    fn upsampling_repeats_pixels() {
        let x = values(&[1, 2, 3, 4], 1);
        let y = upsample(&x).unwrap();
        let want = channels_first(&x)
            .unwrap()
            .upsample_nearest2d(4, 6)
            .unwrap();
        close(&channels_first(&y).unwrap(), &want, 0.0);
    }
}
