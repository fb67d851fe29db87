//! 3x3 convolution as a product whose left operand is windows into a zero-bordered image.

use super::bf16::Order;
use super::buffer::{Arena, Buffer};
use super::gemm::{Epilogue, PackedWeight, Windows};
use super::isa::Isa;
use std::sync::OnceLock;

/// An image `[height + 2, width + 2, channels]` with a border of zeros, lent by an arena.
#[derive(Debug)]
pub struct Padded {
    data: Buffer,
    height: usize,
    width: usize,
    channels: usize,
}

impl Padded {
    /// Takes memory for `[height, width, channels]`; the border is zero, the inside is **not
    /// specified** until written through [`Padded::lines_mut`].
    pub fn take(arena: &mut Arena, [height, width, channels]: [usize; 3]) -> Self {
        let line = (width + 2) * channels;
        let mut data = arena.take((height + 2) * line);
        let (first, rest) = data.split_at_mut(line);
        let (inside, last) = rest.split_at_mut(height * line);
        first.fill(0.0);
        last.fill(0.0);
        for line in inside.chunks_exact_mut(line) {
            line[..channels].fill(0.0);
            line[(width + 1) * channels..].fill(0.0);
        }
        Self {
            data,
            height,
            width,
            channels,
        }
    }

    /// Gives the memory back.
    pub fn give(self, arena: &mut Arena) {
        arena.give(self.data);
    }

    /// The lines inside the border, `[width * channels]` each, from the top.
    pub fn lines_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let (channels, inside) = (self.channels, self.width * self.channels);
        let line = inside + 2 * channels;
        self.data[line..(self.height + 1) * line]
            .chunks_exact_mut(line)
            .map(move |l| &mut l[channels..][..inside])
    }

    /// Copies `image: [height, width, channels]` inside the border.
    pub fn fill(&mut self, image: &[f32]) {
        let inside = self.width * self.channels;
        for (line, source) in self.lines_mut().zip(image.chunks_exact(inside)) {
            line.copy_from_slice(source);
        }
    }

    /// Copies `image: [ceil(height / step), ceil(width / step), channels]` inside the border, its
    /// pixels `step` apart with zeros between.
    pub(super) fn fill_apart(&mut self, image: &[f32], step: usize) {
        let (channels, small) = (self.channels, self.width.div_ceil(step) * self.channels);
        for (y, line) in self.lines_mut().enumerate() {
            line.fill(0.0);
            if !y.is_multiple_of(step) {
                continue;
            }
            let pixels = line.chunks_mut(channels).step_by(step);
            let source = &image[y / step * small..][..small];
            for (pixel, source) in pixels.zip(source.chunks_exact(channels)) {
                pixel.copy_from_slice(source);
            }
        }
    }

    /// `[height, width, channels]` without the border.
    pub fn shape(&self) -> [usize; 3] {
        [self.height, self.width, self.channels]
    }
}

/// A 3x3 convolution with a border of one zero pixel.
#[derive(Debug)]
pub struct Conv3x3 {
    weight: PackedWeight,
    channels: usize,
    stride: usize,
    /// For the way back, made when it is first gone.
    back: OnceLock<Box<Conv3x3>>,
}

impl Conv3x3 {
    /// Packs `weight: [outputs, channels, 3, 3]` and `bias: [outputs]` (empty for none);
    /// `stride` is 1 or 2.
    pub fn new(weight: &[f32], bias: &[f32], channels: usize, stride: usize) -> Self {
        let inputs = 9 * channels;
        let outputs = weight.len() / inputs;
        let mut taps_first = vec![0.0; weight.len()];
        for (i, &value) in weight.iter().enumerate() {
            let (output, channel, tap) = (i / inputs, i % inputs / 9, i % 9);
            taps_first[output * inputs + tap * channels + channel] = value;
        }
        let weight = PackedWeight::new(&taps_first, bias, outputs, inputs);
        Self {
            weight,
            channels,
            stride,
            back: OnceLock::new(),
        }
    }

    /// The convolution of stride 1 without bias that takes a cotangent of this one's outputs to
    /// one of its image (see [`super::backward::conv3x3`]), in f32: its taps are those of this
    /// one, mirrored. Made when it is first asked for.
    pub(super) fn back(&self) -> &Self {
        self.back.get_or_init(|| Box::new(self.mirrored()))
    }

    fn mirrored(&self) -> Self {
        let (outputs, channels) = (self.outputs(), self.channels);
        let weight = self.weight.unpack();
        let mut mirrored = vec![0.0; weight.len()];
        for (i, &value) in weight.iter().enumerate() {
            let (output, tap, channel) = (
                i / (9 * channels),
                i % (9 * channels) / channels,
                i % channels,
            );
            mirrored[(channel * outputs + output) * 9 + 8 - tap] = value;
        }
        Self::new(&mirrored, &[], outputs, 1)
    }

    /// The same with products in bf16.
    pub fn in_bf16(self, order: Order) -> Self {
        Self {
            weight: self.weight.in_bf16(order),
            back: OnceLock::new(),
            ..self
        }
    }

    /// The same with products in int8.
    pub fn in_int8(self) -> Self {
        Self {
            weight: self.weight.in_int8(),
            back: OnceLock::new(),
            ..self
        }
    }

    /// Pixels of the image from one output to the next.
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// Output channels.
    pub fn outputs(&self) -> usize {
        self.weight.outputs()
    }

    /// Height and width of what comes of an image of `height` and `width`.
    pub fn output_size(&self, [height, width]: [usize; 2]) -> [usize; 2] {
        [height.div_ceil(self.stride), width.div_ceil(self.stride)]
    }

    /// `out: [h', w', outputs] = epilogue(conv(image) + bias)`.
    pub fn apply(&self, isa: Isa, image: &Padded, out: &mut [f32], epilogue: Epilogue) {
        let [height, width, channels] = image.shape();
        assert_eq!(
            channels, self.channels,
            "image and convolution differ in channels"
        );
        let [lines, columns] = self.output_size([height, width]);
        let line = (width + 2) * channels;
        let windows = Windows {
            data: &image.data,
            count: lines * columns,
            width: columns,
            step: self.stride * channels,
            line_step: self.stride * line,
            runs: 3,
            run_len: 3 * channels,
            run_step: line,
            largest: self.weight.largest(isa, &image.data),
        };
        self.weight.apply(isa, windows, out, epilogue);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{assert_close, same_on_every_isa, wave};

    fn plain(x: &[f32], w: &[f32], bias: &[f32], shape: [usize; 3], stride: usize) -> Vec<f64> {
        let [height, width, c] = shape;
        let mut out = Vec::new();
        for y in (0..height).step_by(stride) {
            for z in (0..width).step_by(stride) {
                for (o, &b) in bias.iter().enumerate() {
                    let mut sum = f64::from(b);
                    for tap in 0..9 {
                        let (iy, iz) = (y + tap / 3, z + tap % 3);
                        if !(1..=height).contains(&iy) || !(1..=width).contains(&iz) {
                            continue;
                        }
                        for i in 0..c {
                            let pixel = x[((iy - 1) * width + iz - 1) * c + i];
                            sum += f64::from(pixel) * f64::from(w[(o * c + i) * 9 + tap]);
                        }
                    }
                    out.push(sum);
                }
            }
        }
        out
    }

    #[test]
    fn convolutions_follow_the_formula() {
        let mut arena = Arena::default();
        arena.give({
            let mut dirty = Buffer::zeros(5000);
            dirty.fill(f32::NAN);
            dirty
        });
        for (shape, outputs, stride) in [
            ([5, 7, 3], 4, 1),
            ([8, 8, 16], 33, 1),
            ([6, 8, 5], 16, 2),
            ([7, 5, 4], 3, 2),
        ] {
            let [height, width, c] = shape;
            let x = wave(height * width * c, 1.0);
            let (w, bias) = (wave(outputs * c * 9, 1.0), wave(outputs, 1.0));
            let conv = Conv3x3::new(&w, &bias, c, stride);
            let mut image = Padded::take(&mut arena, shape);
            image.fill(&x);
            let [lines, columns] = conv.output_size([height, width]);
            let got = same_on_every_isa(|isa| {
                let mut out = vec![0.0; lines * columns * conv.outputs()];
                conv.apply(isa, &image, &mut out, Epilogue::Store);
                out
            });
            image.give(&mut arena);
            assert_close(&got, &plain(&x, &w, &bias, shape, stride), 1e-6);
        }
    }

    /// In bf16 a convolution is a product of its windows, whether tiles read them in place or not.
    #[test]
    fn convolutions_in_bf16_are_near_those_in_f32() {
        for (shape, outputs, stride) in [
            ([5, 16, 32], 20, 1),
            ([9, 32, 32], 33, 2),
            ([40, 48, 64], 16, 1),
            ([8, 8, 64], 32, 1),
            ([6, 16, 12], 16, 1),
            ([7, 5, 4], 3, 2),
        ] {
            bf16_is_near_f32(shape, outputs, stride);
        }
    }

    /// Blocks of rows began inside a line of windows and went on as if it were its beginning, where
    /// lines were no whole tiles and had many channels: SDXL at 832x1216.
    #[test]
    fn lines_in_bf16_may_have_any_width() {
        bf16_is_near_f32([24, 20, 320], 16, 1);
    }

    fn bf16_is_near_f32([height, width, c]: [usize; 3], outputs: usize, stride: usize) {
        let mut arena = Arena::default();
        let x = wave(height * width * c, 1.0);
        let (w, bias) = (wave(outputs * c * 9, 1.0), wave(outputs, 1.0));
        let mut image = Padded::take(&mut arena, [height, width, c]);
        image.fill(&x);
        for order in [Order::Tile, Order::Pair] {
            let conv = || Conv3x3::new(&w, &bias, c, stride);
            let apply = |conv: &Conv3x3| {
                same_on_every_isa(|isa| {
                    let [lines, columns] = conv.output_size([height, width]);
                    let mut out = vec![0.0; lines * columns * outputs];
                    conv.apply(isa, &image, &mut out, Epilogue::Store);
                    out
                })
            };
            let (got, want) = (apply(&conv().in_bf16(order)), apply(&conv()));
            let want: Vec<f64> = want.iter().map(|&y| f64::from(y)).collect();
            assert_close(&got, &want, 6e-3);
        }
    }
}
