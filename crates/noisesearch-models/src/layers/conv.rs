//! Convolutions and upsampling of images `[b, height, width, channels]`.

mod lines;

pub use lines::Before;

use super::floats::{ARENAS, PART, Summand, channels_first, channels_last, floats, on_cpu, share};
use super::{Loaded, Source, add, add_to_pixels, finished, fused};
use crate::nn::buffer::Arena;
use crate::nn::gemm::{Epilogue, PackedWeight, Windows};
use crate::nn::isa::Isa;
use crate::nn::tiles::TILE;
use candle_core::{Result, Tensor, bail};
use lines::Lines;
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

/// An image that a convolution reads.
struct Image<'a> {
    lines: Lines<'a>,
    /// Height and width without border.
    size: [usize; 2],
    /// Columns of the result.
    columns: usize,
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
    /// `[outputs, channels, kernel height, kernel width]` and a bias `[outputs]`.
    Plain(Tensor, Tensor),
}

/// Floats of an image among which one thread looks for the largest at a time.
const LARGEST_PART: usize = 1 << 16;

/// Lines that one thread makes at a time at least: every part reads the lines above and below its
/// own once more.
const LINES: usize = 4;

/// A convolution of fewer channels or outputs is always made in f32; it costs next to nothing.
const THIN: usize = 16;

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
            // The first and the last layer of a network meet the latents or pixels themselves.
            let thin = channels.min(outputs) < THIN;
            Weight::Packed(if thin { packed } else { source.keep(packed) })
        } else {
            let [height, width] = geometry.kernel;
            Weight::Plain(
                source.send(weight, &[outputs, channels, height, width])?,
                source.send(bias, &[outputs])?,
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
        self.around(x, Before::Nothing, None)
    }

    /// The same, with what comes before it. `plus`, which has the shape of the result or is
    /// `[b, outputs]` for all pixels, is added to the result.
    pub fn around(&self, x: &Tensor, before: Before, plus: Option<&Tensor>) -> Result<Tensor> {
        let (b, h, w, c) = x.dims4()?;
        let size = before.size([h, w]);
        let Some([lines, columns]) = self.geometry.output(size) else {
            bail!("an image of {h}x{w} is smaller than the kernel of {self:?}")
        };
        if c != self.channels {
            bail!(
                "a convolution of {} channels was given {x:?}",
                self.channels
            )
        }
        let shape = [b, lines, columns, self.outputs];
        if let Some(y) = plus.filter(|y| y.dims() != shape && y.dims() != [b, self.outputs]) {
            bail!("a convolution with a result {shape:?} was to be added to {y:?}")
        }
        match &self.weight {
            Weight::Packed(weight) if on_cpu(x) => self.packed(weight, x, before, plus),
            Weight::Packed(_) => bail!("a convolution on the CPU was given {x:?}"),
            Weight::Plain(weight, bias) => {
                let y = self.plain(weight, &before.plain(x)?)?;
                let finish = |y| finished(y, Some(bias), None);
                match plus {
                    Some(plus) if plus.dims() == shape && fused::takes(&y, self.outputs) => {
                        fused::join(plus, &y, None, Some(bias))?.launch()
                    }
                    Some(plus) if plus.dims() == shape => add(&finish(y)?, plus),
                    Some(plus) => add_to_pixels(&finish(y)?, plus),
                    None => finish(y),
                }
            }
        }
    }

    fn packed(
        &self,
        weight: &PackedWeight,
        x: &Tensor,
        before: Before,
        plus: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (b, h, w, c) = x.dims4()?;
        let size = before.size([h, w]);
        let [lines, columns] = self.geometry.output(size).unwrap_or_default();
        let mut out = vec![0.0; b * lines * columns * self.outputs];
        let (x, plus) = (x.contiguous()?, plus.map(Tensor::contiguous).transpose()?);
        let (reading, adding) = (
            x.storage_and_layout(),
            plus.as_ref().map(Tensor::storage_and_layout),
        );
        let (images, adding) = (floats(&reading)?, adding.as_ref().map(floats).transpose()?);
        let results = out.chunks_exact_mut(lines * columns * self.outputs);
        ARENAS.with(|arena| {
            for (i, (x, out)) in images.chunks_exact(h * w * c).zip(results).enumerate() {
                let image = Image {
                    lines: Lines::new(x, [w, c], before),
                    size,
                    columns,
                };
                let summand = adding.map(|all| &all[i * all.len() / b..][..all.len() / b]);
                self.of_image(arena, weight, image, (Summand(summand), out));
            }
        });
        Tensor::from_vec(out, (b, lines, columns, self.outputs), x.device())
    }

    /// The convolution of one image, from a copy with a border: in bf16 where products can read
    /// that, which is half as many bytes, else in f32.
    fn of_image(
        &self,
        arena: &mut Arena,
        weight: &PackedWeight,
        image: Image,
        to: (Summand, &mut [f32]),
    ) {
        let (isa, lines, size) = (Isa::best(), &image.lines, image.size);
        let [height, width] = self.geometry.padded(size);
        let len = height * width * self.channels;
        let count = to.1.len() / self.outputs;
        if weight.reads_in_place(&self.windows(&[], count, &image)) {
            let behind = TILE * self.geometry.stride * self.channels;
            let mut padded = arena.take_halves(len + behind);
            self.pad(size, &mut padded[..len], |y, out| {
                lines.write_rounded(y, out)
            });
            self.multiply(&image, to, |first, count, out| {
                let windows = self.windows(&padded[first..], count, &image);
                weight.apply_rounded(isa, windows, out, Epilogue::Store);
            });
            arena.give_halves(padded);
        } else {
            let mut padded = arena.take(len);
            self.pad(size, &mut padded, |y, out| lines.write(y, out));
            let parts = padded.par_chunks(LARGEST_PART);
            let largest = parts.map(|part| weight.largest(isa, part)).max().flatten();
            self.multiply(&image, to, |first, count, out| {
                let windows = Windows {
                    largest,
                    ..self.windows(&padded[first..], count, &image)
                };
                weight.apply(isa, windows, out, Epilogue::Store);
            });
            arena.give(padded);
        }
    }

    /// Writes what is read, line by line, into a border of zeros.
    fn pad<T: Copy + Default + Send>(
        &self,
        [h, w]: [usize; 2],
        padded: &mut [T],
        write: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let c = self.channels;
        let [top, left] = self.geometry.before;
        let line = (w + left + self.geometry.after[1]) * c;
        let all = padded.par_chunks_exact_mut(line).enumerate();
        all.for_each(|(y, line)| {
            if !(top..top + h).contains(&y) {
                return line.fill(T::default());
            }
            let (before, rest) = line.split_at_mut(left * c);
            let (inside, after) = rest.split_at_mut(w * c);
            before.fill(T::default());
            after.fill(T::default());
            write(y - top, inside);
        });
    }

    /// `count` windows from the beginning of some lines of a bordered image on.
    fn windows<'a, T>(&self, data: &'a [T], count: usize, image: &Image) -> Windows<'a, T> {
        let (c, stride) = (self.channels, self.geometry.stride);
        let [_, width] = self.geometry.padded(image.size);
        let [kernel, across] = self.geometry.kernel;
        Windows {
            data,
            count,
            width: image.columns,
            step: stride * c,
            line_step: stride * width * c,
            runs: kernel,
            run_len: across * c,
            run_step: width * c,
            largest: None,
        }
    }

    /// The convolution of one bordered image, a few lines at a time. `product` is told the first
    /// number of the image that they look at and how many windows they are.
    fn multiply(
        &self,
        image: &Image,
        (summand, out): (Summand, &mut [f32]),
        product: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) {
        let columns = image.columns;
        let [_, width] = self.geometry.padded(image.size);
        let row = columns * self.outputs;
        let even = share(out.len() / self.outputs);
        let part = even.min(PART.max(LINES * columns)).div_ceil(columns);
        let step = part * self.geometry.stride * width * self.channels;
        let parts = out.par_chunks_mut(part * row).enumerate();
        parts.for_each(|(i, out)| {
            product(i * step, out.len() / self.outputs, out);
            summand.add(out, i * part * row, self.outputs);
        });
    }

    /// Without its bias.
    fn plain(&self, weight: &Tensor, x: &Tensor) -> Result<Tensor> {
        let Geometry {
            before,
            after,
            stride,
            ..
        } = self.geometry;
        let x = channels_first(x)?
            .pad_with_zeros(2, before[0], after[0])?
            .pad_with_zeros(3, before[1], after[1])?;
        channels_last(&x.conv2d(weight, 0, stride, 1, 1)?)
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
    use crate::layers::testing::{close, each_place, file, here, values};
    use crate::layers::{GroupNorm, Place, Products, SumOrder};

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
                let x = here(place, &x);
                close(&conv.forward(&x).unwrap(), &want, 2e-6);
            });
        }
    }

    #[test]
    fn what_is_around_a_convolution_is_as_if_apart() {
        let x = values(&[2, 9, 12, 8], 1);
        let (weight, bias) = (values(&[20, 8, 3, 3], 2), values(&[20], 3));
        let (scale, shift) = (values(&[8], 4), values(&[8], 5));
        let tensors = [
            ("conv.weight", &weight),
            ("conv.bias", &bias),
            ("norm.weight", &scale),
            ("norm.bias", &shift),
        ];
        each_place(|place| {
            let mut weights = file(&tensors);
            let mut s = Source::new(&mut weights, place);
            let conv = Conv2d::load(s.at("conv"), [8, 20], Geometry::SAME_3X3).unwrap();
            let norm = GroupNorm::load(s.at("norm"), 8, 4, 1e-5).unwrap();
            let here = |x: Tensor| here(place, &x);
            let x = here(x.clone());
            let (image, row) = (here(values(&[2, 9, 12, 20], 6)), here(values(&[2, 20], 7)));
            let plain = conv.forward(&norm.silu(&x).unwrap()).unwrap();
            let got = conv.around(&x, Before::Norm(&norm), Some(&image)).unwrap();
            close(&got, &add(&plain, &image).unwrap(), 0.0);
            let got = conv.around(&x, Before::Norm(&norm), Some(&row)).unwrap();
            close(&got, &add_to_pixels(&plain, &row).unwrap(), 0.0);
            let large = upsample(&x).and_then(|x| x.narrow(1, 0, 17)?.narrow(2, 0, 24));
            let want = conv.forward(&large.unwrap()).unwrap();
            let got = conv.around(&x, Before::Doubled([17, 24]), None).unwrap();
            close(&got, &want, 0.0);
            assert!(conv.around(&x, Before::Nothing, Some(&x)).is_err());
        });
    }

    /// An image of 16 columns is rounded once and read in place, one of 24 is gathered.
    #[test]
    fn an_image_in_bf16_gives_the_same_bits_however_it_is_read() {
        let wide = values(&[1, 6, 24, 32], 1);
        let narrow = wide.narrow(2, 0, 16).unwrap().contiguous().unwrap();
        let (weight, bias) = (values(&[20, 32, 3, 3], 2), values(&[20], 3));
        let (scale, shift) = (values(&[32], 4), values(&[32], 5));
        let tensors = [
            ("conv.weight", &weight),
            ("conv.bias", &bias),
            ("norm.weight", &scale),
            ("norm.bias", &shift),
        ];
        for order in SumOrder::ALL {
            let place = Place {
                products: Products::Bf16(order),
                ..Place::cpu()
            };
            for stride in [1, 2] {
                let mut weights = file(&tensors);
                let mut s = Source::new(&mut weights, &place);
                let geometry = Geometry::square(3, stride, 1);
                let conv = Conv2d::load(s.at("conv"), [32, 20], geometry).unwrap();
                let norm = GroupNorm::load(s.at("norm"), 32, 4, 1e-5).unwrap();
                // The last columns see what only one of the images has.
                let shared = |y: Tensor| y.narrow(2, 0, 15 / stride).unwrap();
                let of = |x: &Tensor| shared(conv.forward(x).unwrap());
                close(&of(&narrow), &of(&wide), 0.0);
                let apart = norm.silu(&narrow).and_then(|x| conv.forward(&x)).unwrap();
                let got = conv.around(&narrow, Before::Norm(&norm), None).unwrap();
                close(&got, &apart, 0.0);
            }
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
