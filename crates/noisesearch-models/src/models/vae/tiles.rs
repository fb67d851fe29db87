//! Decoding a large image in overlapping parts, as a limit of memory.
//!
//! A decoder's memory grows with the image: about 4 GB in f32 at 1024x1024 pixels, counted where
//! it is widest. A latent of more pixels than one tile of [`Tiling::DEFAULT`] is decoded tile by
//! tile; where tiles overlap, they are blended linearly. The result is close to that of the whole,
//! not equal: the group norms and the attention of a tile see that tile only. So an image that fits
//! one tile is never tiled.

use candle_core::{Device, Result, Tensor};
use std::ops::Range;

/// How a latent is cut, in latent pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiling {
    /// The side of the largest tile; a latent of no more than `side * side` pixels is not cut.
    pub(super) side: usize,
    /// Lines or columns that two neighbours share, at most half of `side`.
    pub(super) overlap: usize,
}

impl Tiling {
    /// Whole images up to the area of 1024x1024 pixels.
    pub(super) const DEFAULT: Self = Self {
        side: 128,
        overlap: 32,
    };

    /// `decode: [1, h, w, c]` to `[1, factor h, factor w, channels]` on the CPU, applied to the
    /// tiles of `z` and blended.
    pub(super) fn apply(
        self,
        z: &Tensor,
        factor: usize,
        decode: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let (_, h, w, _) = z.dims4()?;
        if h * w <= self.side * self.side {
            return decode(z);
        }
        let mut canvas = Canvas::new([h * factor, w * factor]);
        for lines in self.cut(h) {
            for columns in self.cut(w) {
                let tile = z.narrow(1, lines.start, lines.len())?;
                let tile = tile.narrow(2, columns.start, columns.len())?;
                let fade = self.overlap * factor;
                let at = [&lines, &columns].map(|r| r.start * factor..r.end * factor);
                canvas.blend(&decode(&tile.contiguous()?)?, at, fade)?;
            }
        }
        canvas.finish()
    }

    /// Stretches of at most `side` that cover `0..size`, each sharing `overlap` with the next.
    fn cut(self, size: usize) -> impl Iterator<Item = Range<usize>> + Clone {
        let count = match size <= self.side {
            true => 1,
            false => (size - self.overlap).div_ceil(self.side - self.overlap),
        };
        let step = (size - self.overlap.min(size)).div_ceil(count);
        let end = move |start: usize| (start + step + self.overlap).min(size);
        (0..count).map(move |i| i * step..end(i * step))
    }
}

/// An image `[height, width, channels]` that tiles are faded into.
struct Canvas {
    size: [usize; 2],
    channels: usize,
    pixels: Vec<f32>,
}

impl Canvas {
    fn new(size: [usize; 2]) -> Self {
        Self {
            size,
            channels: 0,
            pixels: vec![],
        }
    }

    /// Adds `tile: [1, h, w, channels]` at `[lines, columns]`, with weights that rise and fall
    /// over the `fade` pixels that it shares with its neighbours; weights at a pixel sum to 1.
    fn blend(
        &mut self,
        tile: &Tensor,
        [lines, columns]: [Range<usize>; 2],
        fade: usize,
    ) -> Result<()> {
        let (_, h, w, channels) = tile.dims4()?;
        let [height, width] = self.size;
        self.channels = channels;
        self.pixels.resize(height * width * channels, 0.0);
        let down = weights(&lines, height, fade);
        let across = weights(&columns, width, fade);
        let tile = tile.flatten_all()?.to_vec1::<f32>()?;
        for (i, pixel) in tile.chunks_exact(channels).enumerate().take(h * w) {
            let (y, x) = (i / w, i % w);
            let at = ((lines.start + y) * width + columns.start + x) * channels;
            for (out, value) in self.pixels[at..].iter_mut().zip(pixel) {
                *out += down[y] * across[x] * value;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Tensor> {
        let [height, width] = self.size;
        let shape = (1, height, width, self.channels);
        Tensor::from_vec(self.pixels, shape, &Device::Cpu)
    }
}

/// The weight of each line or column of a tile at `range` of an image of `size`.
fn weights(range: &Range<usize>, size: usize, fade: usize) -> Vec<f32> {
    let ramp = |distance: usize| ((distance as f32 + 0.5) / fade as f32).min(1.0);
    let weight = |at: usize| {
        let rise = if range.start == 0 {
            1.0
        } else {
            ramp(at - range.start)
        };
        let fall = if range.end == size {
            1.0
        } else {
            ramp(range.end - 1 - at)
        };
        rise.min(fall)
    };
    range.clone().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{close, values};
    use std::cell::RefCell;

    const SMALL: Tiling = Tiling {
        side: 16,
        overlap: 4,
    };

    #[test]
    fn tiles_cover_every_size_and_share_the_overlap() {
        for size in 1..200 {
            let tiles: Vec<_> = SMALL.cut(size).collect();
            assert_eq!((tiles[0].start, tiles[tiles.len() - 1].end), (0, size));
            assert!(
                tiles.iter().all(|t| t.len() <= 16 && !t.is_empty()),
                "{size}"
            );
            let shared = tiles.windows(2).all(|t| t[0].end - t[1].start == 4);
            assert!(shared, "{size}: {tiles:?}");
            let mut sums = vec![0.0; size];
            for tile in &tiles {
                let at = sums[tile.clone()].iter_mut();
                at.zip(weights(tile, size, 4)).for_each(|(s, w)| *s += w);
            }
            assert!(
                sums.iter().all(|s| (s - 1.0f32).abs() < 1e-6),
                "{size}: {sums:?}"
            );
        }
    }

    /// Pixel doubling treats every pixel alike, so tiles must not show at all; and no part that
    /// is decoded is larger than a tile.
    #[test]
    fn a_pointwise_decoder_shows_no_tiles() {
        let z = values(&[1, 37, 18, 3], 1);
        let largest = RefCell::new(0);
        let decode = |tile: &Tensor| {
            let (_, h, w, _) = tile.dims4()?;
            let mut largest = largest.borrow_mut();
            *largest = (*largest).max(h * w);
            crate::layers::upsample(tile)
        };
        let got = SMALL.apply(&z, 2, decode).unwrap();
        close(&got, &crate::layers::upsample(&z).unwrap(), 1e-6);
        assert!(*largest.borrow() <= 16 * 16);
    }

    #[test]
    fn what_fits_one_tile_is_not_cut() {
        let z = values(&[1, 8, 32, 3], 1);
        let got = SMALL.apply(&z, 1, |tile| tile.affine(2.0, 0.0)).unwrap();
        close(&got, &z.affine(2.0, 0.0).unwrap(), 0.0);
    }
}
