//! The convolutional network of the scenes' learned verifiers; the twin of `ImageTower` in
//! `lab/scenes/towers.py`.
//!
//! ```text
//! x = 2 picture - 1
//! x = silu(conv(x))        where stride or channels change, else x + silu(conv(x))   five times
//! out = head2 · silu(head1 · flat(reduce(x)))
//! ```

use super::see::SIDE;
use candle_core::{Result, Tensor};
use noisesearch_models::nn::activation::silu;
use noisesearch_models::nn::buffer::{Arena, Arenas};
use noisesearch_models::nn::conv::{Conv3x3, Padded};
use noisesearch_models::nn::gemm::{Epilogue, PackedWeight, Windows};
use noisesearch_models::nn::isa::Isa;
use noisesearch_models::weights::{Weights, WeightsError};
use rayon::prelude::*;

/// Floats of a picture.
pub(super) const PICTURE: usize = 3 * SIDE * SIDE;
/// Pixels that are left after three convolutions of stride 2.
const PLACES: usize = SIDE * SIDE / 64;
const HIDDEN: usize = 256;

/// A network with its weights packed.
#[derive(Debug)]
pub(super) struct Tower {
    pub(super) isa: Isa,
    /// Each with whether its input is added to its output.
    pub(super) convs: Vec<(Conv3x3, bool)>,
    pub(super) reduce: PackedWeight,
    pub(super) head1: PackedWeight,
    pub(super) head2: PackedWeight,
    pub(super) arenas: Arenas,
}

impl Tower {
    /// Takes the tensors whose names start with `prefix`, for `outputs` numbers a picture and
    /// `width` channels after the first convolution.
    pub fn load(
        weights: &mut Weights,
        prefix: &str,
        outputs: usize,
        width: usize,
    ) -> std::result::Result<Self, WeightsError> {
        let w = width;
        let plan = [
            (3, w, 2),
            (w, 2 * w, 2),
            (2 * w, 2 * w, 1),
            (2 * w, 3 * w, 2),
            (3 * w, 3 * w, 1),
        ];
        let mut convs = Vec::new();
        for (i, (input, output, stride)) in plan.into_iter().enumerate() {
            let name = format!("{prefix}convs.{i}");
            let weight = weights.take_vec(&format!("{name}.weight"), &[output, input, 3, 3])?;
            let bias = weights.take_vec(&format!("{name}.bias"), &[output])?;
            let conv = Conv3x3::new(&weight, &bias, input, stride);
            convs.push((conv, stride == 1 && input == output));
        }
        let mut matrix =
            |name: &str, shape: &[usize]| packed(weights, &format!("{prefix}{name}"), shape);
        Ok(Self {
            isa: Isa::best(),
            convs,
            reduce: matrix("reduce", &[w, 3 * w, 1, 1])?,
            head1: matrix("head1", &[HIDDEN, PLACES * w])?,
            head2: matrix("head2", &[outputs, HIDDEN])?,
            arenas: Arenas::default(),
        })
    }

    /// Outputs for `images: [b, 3, 64, 64]` in `[0, 1]`, one list a row.
    pub fn apply(&self, images: &Tensor) -> Result<Vec<Vec<f32>>> {
        let pictures = super::pictures(images)?;
        let rows = pictures.par_chunks_exact(PICTURE);
        let of_row = |row| {
            self.arenas
                .with(|arena| self.of_picture(arena, row, |_| ()))
        };
        Ok(rows.map(of_row).collect())
    }

    /// Outputs for one picture `[3, 64, 64]`; `watch` is shown what every SiLU is given, in turn.
    pub(super) fn of_picture(
        &self,
        arena: &mut Arena,
        picture: &[f32],
        mut watch: impl FnMut(&[f32]),
    ) -> Vec<f32> {
        let (mut side, mut channels) = (SIDE, 3);
        let mut x = arena.take(PICTURE);
        for (i, pixel) in x.chunks_exact_mut(3).enumerate() {
            for (c, value) in pixel.iter_mut().enumerate() {
                *value = 2.0 * picture[c * SIDE * SIDE + i] - 1.0;
            }
        }
        for (conv, adds) in &self.convs {
            let mut padded = Padded::take(arena, [side, side, channels]);
            padded.fill(&x);
            [side, _] = conv.output_size([side, side]);
            channels = conv.outputs();
            let mut y = arena.take(side * side * channels);
            conv.apply(self.isa, &padded, &mut y, Epilogue::Store);
            watch(&y);
            silu(self.isa, &mut y);
            if *adds {
                y.iter_mut().zip(x.iter()).for_each(|(y, x)| *y += x);
            }
            padded.give(arena);
            arena.give(std::mem::replace(&mut x, y));
        }
        let flat = self.linear(&self.reduce, &x);
        arena.give(x);
        let mut hidden = self.linear(&self.head1, &flat);
        watch(&hidden);
        silu(self.isa, &mut hidden);
        self.linear(&self.head2, &hidden)
    }

    fn linear(&self, weight: &PackedWeight, x: &[f32]) -> Vec<f32> {
        let rows = Windows::rows(x, weight.inputs());
        let mut out = vec![0.0; rows.count * weight.outputs()];
        weight.apply(self.isa, rows, &mut out, Epilogue::Store);
        out
    }
}

/// Linear layer or 1x1 convolution `name` with a weight of `shape`.
pub(super) fn packed(
    weights: &mut Weights,
    name: &str,
    shape: &[usize],
) -> std::result::Result<PackedWeight, WeightsError> {
    let weight = weights.take_vec(&format!("{name}.weight"), shape)?;
    let bias = weights.take_vec(&format!("{name}.bias"), &shape[..1])?;
    Ok(PackedWeight::new(&weight, &bias, shape[0], shape[1]))
}
