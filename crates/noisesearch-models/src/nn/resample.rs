//! Moves of pixels: layouts, upsampling, pixel shuffle and pooling. Images are
//! `[height, width, channels]` unless a name says otherwise; nothing but 2x2 means is computed.

/// `[channels, pixels]` -> `[pixels, channels]`.
pub fn channels_last(x: &[f32], channels: usize, out: &mut [f32]) {
    transpose(x, x.len() / channels, out);
}

/// `[pixels, channels]` -> `[channels, pixels]`.
pub fn channels_first(x: &[f32], channels: usize, out: &mut [f32]) {
    transpose(x, channels, out);
}

/// `x: [rows, columns]` -> `out: [columns, rows]`.
fn transpose(x: &[f32], columns: usize, out: &mut [f32]) {
    let rows = x.len() / columns;
    for (row, source) in x.chunks_exact(columns).enumerate() {
        for (column, &value) in source.iter().enumerate() {
            out[column * rows + row] = value;
        }
    }
}

/// Every pixel twice in both directions: one line `[width, channels]` -> `[2 * width, channels]`,
/// to be written on two lines of `out` lines.
pub fn upsample<'a>(
    x: &[f32],
    [width, channels]: [usize; 2],
    out: impl Iterator<Item = &'a mut [f32]>,
) {
    for (y, line) in out.enumerate() {
        let source = &x[y / 2 * width * channels..][..width * channels];
        let pairs = line.chunks_exact_mut(2 * channels);
        for (pair, pixel) in pairs.zip(source.chunks_exact(channels)) {
            pair[..channels].copy_from_slice(pixel);
            pair[channels..].copy_from_slice(pixel);
        }
    }
}

/// `[height, width, channels]` -> `[height / 2, width / 2, 4 * channels]`; new channel
/// `4 c + 2 dy + dx` is pixel `(2 y + dy, 2 x + dx)` of channel `c`, PyTorch's `pixel_unshuffle`.
pub fn pixel_unshuffle(x: &[f32], [height, width, channels]: [usize; 3], out: &mut [f32]) {
    for_blocks([height, width, channels], |pixel, block| {
        out[block] = x[pixel]
    });
}

/// `[height / 2, width / 2, 4 * channels]` -> `[height, width, channels]`, the inverse of
/// [`pixel_unshuffle`]; the shape given is that of `out`.
pub fn pixel_shuffle(x: &[f32], [height, width, channels]: [usize; 3], out: &mut [f32]) {
    for_blocks([height, width, channels], |pixel, block| {
        out[pixel] = x[block]
    });
}

/// Calls `visit` with the place of every value in the large and in the small image.
fn for_blocks([height, width, channels]: [usize; 3], mut visit: impl FnMut(usize, usize)) {
    for y in 0..height {
        for x in 0..width {
            let block = (y / 2 * (width / 2) + x / 2) * 4 * channels + y % 2 * 2 + x % 2;
            for c in 0..channels {
                visit((y * width + x) * channels + c, block + 4 * c);
            }
        }
    }
}

/// Mean of every 2x2 block: `[height, width, channels]` -> `[height / 2, width / 2, channels]`.
pub fn average_pool(x: &[f32], shape: [usize; 3], out: &mut [f32]) {
    pool(x, shape, out, |[a, b, c, d]| ((a + b) + (c + d)) * 0.25);
}

/// Largest of every 2x2 block: `[height, width, channels]` -> `[height / 2, width / 2, channels]`.
pub fn max_pool(x: &[f32], shape: [usize; 3], out: &mut [f32]) {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    pool(x, shape, out, |[a, b, c, d]| {
        larger(larger(a, b), larger(c, d))
    });
}

fn pool(
    x: &[f32],
    [height, width, channels]: [usize; 3],
    out: &mut [f32],
    f: impl Fn([f32; 4]) -> f32,
) {
    let line = width * channels;
    for y in 0..height / 2 {
        for z in 0..width / 2 {
            let at = 2 * y * line + 2 * z * channels;
            for c in 0..channels {
                let corner = |dy: usize, dx: usize| x[at + dy * line + dx * channels + c];
                let block = [corner(0, 0), corner(0, 1), corner(1, 0), corner(1, 1)];
                out[(y * (width / 2) + z) * channels + c] = f(block);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(len: usize) -> Vec<f32> {
        (0..len).map(|i| i as f32).collect()
    }

    #[test]
    fn layouts_are_inverses() {
        let x = counted(6);
        let (mut last, mut first) = ([0.0; 6], [0.0; 6]);
        channels_last(&x, 2, &mut last);
        assert_eq!(last, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        channels_first(&last, 2, &mut first);
        assert_eq!(first[..], x);
    }

    #[test]
    fn upsampling_repeats_pixels() {
        let mut out = [0.0; 16];
        upsample(&counted(4), [2, 1], out.chunks_exact_mut(4));
        let lines = [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]];
        assert_eq!(out[..8], lines.concat());
        assert_eq!(
            out[8..],
            lines.concat().iter().map(|x| x + 2.0).collect::<Vec<_>>()
        );
    }

    /// The order of `torch.nn.functional.pixel_unshuffle(torch.arange(8.).view(1, 2, 2, 2), 2)`.
    #[test]
    fn pixel_unshuffle_has_the_order_of_torch() {
        // Channel 0 is 0 1 / 2 3, channel 1 is 4 5 / 6 7; here channels are innermost.
        let x = [0.0, 4.0, 1.0, 5.0, 2.0, 6.0, 3.0, 7.0];
        let (mut small, mut large) = ([0.0; 8], [0.0; 8]);
        pixel_unshuffle(&x, [2, 2, 2], &mut small);
        assert_eq!(small[..], counted(8));
        pixel_shuffle(&small, [2, 2, 2], &mut large);
        assert_eq!(large, x);
    }

    #[test]
    fn pools_take_two_by_two() {
        let x = counted(16);
        let (mut mean, mut top) = ([0.0; 4], [0.0; 4]);
        average_pool(&x, [4, 4, 1], &mut mean);
        max_pool(&x, [4, 4, 1], &mut top);
        assert_eq!(mean, [2.5, 4.5, 10.5, 12.5]);
        assert_eq!(top, [5.0, 7.0, 13.0, 15.0]);
    }
}
