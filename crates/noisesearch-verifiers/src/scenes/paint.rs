//! Colour and texture of an object, from the mean colours of its rows.
//!
//! Stripes lie along the rows with a period of 4 pixels, so rows are averaged by their number
//! modulo 4. A colour explains four such means `p` if `p ≈ bg + a (light + m (dark - light) - bg)`
//! with one cover `a` near 1 and a share of the dark tone `m` in `[0, 1]` each. The spread of `m`
//! tells striped from solid.

use noisesearch_models::models::scenes::grammar::{Colour, Texture};

/// Period of the stripes in pixels.
pub(super) const PERIOD: usize = 4;
/// Root mean square distance to the nearest colour, at most; colours are in `[0, 1]`.
const OFF_COLOUR_MAX: f32 = 0.16;
/// Spread of the dark share from which an object is striped: drawn it is 1, blurred by three
/// rows 1/3, and 0 for a solid one.
const STRIPED_FROM: f32 = 0.2;
/// Mean dark share up to which an object without stripes is solid.
const SOLID_TO: f32 = 0.35;
/// Covers `a` that are tried: thin blurred objects nowhere cover a whole pixel.
const COVERS: [f32; 3] = [1.0, 0.9, 0.8];

/// RGB of a colour and of its second tone (darker; lighter for black), each in `[0, 1]`.
fn tones(colour: Colour) -> [[f32; 3]; 2] {
    let light = match colour {
        Colour::Red => [0.90, 0.12, 0.12],
        Colour::Green => [0.10, 0.65, 0.20],
        Colour::Blue => [0.12, 0.25, 0.92],
        Colour::Yellow => [0.98, 0.90, 0.10],
        Colour::Purple => [0.62, 0.15, 0.80],
        Colour::Orange => [1.00, 0.52, 0.05],
        Colour::White => [1.00, 1.00, 1.00],
        Colour::Black => [0.03, 0.03, 0.03],
    };
    let dark = match colour {
        Colour::Black => [0.42, 0.42, 0.42],
        _ => light.map(|v| 0.5 * v),
    };
    [light, dark]
}

/// Mean colour of the rows with one number modulo [`PERIOD`], less the background.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RowMean {
    /// RGB less the background; a sum while pixels are added.
    pub colour: [f32; 3],
    /// Pixels in it.
    pub count: usize,
}

impl RowMean {
    /// Adds a pixel to the sum.
    pub fn add(&mut self, colour: [f32; 3]) {
        self.colour = [0, 1, 2].map(|c| self.colour[c] + colour[c]);
        self.count += 1;
    }

    /// The sum's mean.
    pub fn mean(mut self) -> Self {
        self.colour = self.colour.map(|v| v / self.count.max(1) as f32);
        self
    }
}

/// What the rows say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    /// The nearest colour, if one is near.
    pub colour: Option<Colour>,
    /// Striped or solid, if clearly one of them.
    pub texture: Option<Texture>,
}

/// Reads colour and texture.
pub(super) fn read(rows: &[RowMean; PERIOD], background: [f32; 3]) -> Paint {
    let mut best = (f32::MAX, Colour::Black, [0.0; PERIOD]);
    for &colour in Colour::ALL {
        for cover in COVERS {
            let (error, shares) = explain(rows, background, colour, cover);
            if error < best.0 {
                best = (error, colour, shares);
            }
        }
    }
    let (error, colour, shares) = best;
    let used = || (0..PERIOD).filter(|&i| rows[i].count > 0);
    let low = used().map(|i| shares[i]).fold(f32::MAX, f32::min);
    let high = used().map(|i| shares[i]).fold(f32::MIN, f32::max);
    let mean = used().map(|i| shares[i]).sum::<f32>() / used().count().max(1) as f32;
    let texture = match high - low {
        spread if spread >= STRIPED_FROM => Some(Texture::Striped),
        _ if mean <= SOLID_TO => Some(Texture::Solid),
        _ => None,
    };
    let near = error.sqrt() <= OFF_COLOUR_MAX;
    Paint {
        colour: near.then_some(colour),
        texture: texture.filter(|_| near),
    }
}

/// Mean squared distance of the rows to `colour`, and the share of its dark tone in each.
fn explain(
    rows: &[RowMean; PERIOD],
    background: [f32; 3],
    colour: Colour,
    cover: f32,
) -> (f32, [f32; PERIOD]) {
    let [light, dark] = tones(colour);
    let start = [0, 1, 2].map(|c| cover * (light[c] - background[c]));
    let step = [0, 1, 2].map(|c| cover * (dark[c] - light[c]));
    let (mut error, mut count, mut shares) = (0.0, 0, [0.0; PERIOD]);
    for (row, share) in rows.iter().zip(&mut shares) {
        let from = [0, 1, 2].map(|c| row.colour[c] - start[c]);
        *share = (dot(from, step) / dot(step, step)).clamp(0.0, 1.0);
        let rest = [0, 1, 2].map(|c| from[c] - *share * step[c]);
        error += dot(rest, rest) * row.count as f32;
        count += row.count;
    }
    (error / count.max(1) as f32, shares)
}

/// Roughly how much of a pixel the paint covers that lies most nearly in its direction, both
/// seen from the background.
pub(super) fn rough_cover(pixel: [f32; 3], background: [f32; 3]) -> f32 {
    let mut best = (0.0, 0.0);
    for &colour in Colour::ALL {
        for tone in tones(colour) {
            let paint = [0, 1, 2].map(|c| tone[c] - background[c]);
            let along = dot(pixel, paint);
            let cosine = along / dot(paint, paint).sqrt().max(1e-6);
            if cosine > best.0 {
                best = (cosine, along / dot(paint, paint).max(1e-6));
            }
        }
    }
    best.1
}

/// Scalar product.
pub(super) fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tones_are_those_of_the_renderer() {
        for &colour in Colour::ALL {
            let drawn = [
                noisesearch_lab::draw::rgb(colour),
                noisesearch_lab::draw::stripe_rgb(colour),
            ];
            assert_eq!(tones(colour), drawn);
        }
    }
}
