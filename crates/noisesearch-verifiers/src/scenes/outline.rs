//! The six ideal outlines, and which of them a soft mask fits.
//!
//! The overlap of a mask `a` with an outline's cover `t` is `Σ min(a, t) / Σ max(a, t)`. Centre
//! and radius start from the mask's centroid and area, exact for a clean outline, and climb.

use noisesearch_models::models::scenes::grammar::Shape;

/// Radii of objects in pixels that are looked for: the renderer's 5.8 to 13 with room.
const RADIUS_PX: std::ops::RangeInclusive<f32> = 4.5..=15.0;
/// An outline whose first guess overlaps this much less than the best guess is not refined.
const HOPELESS: f32 = 0.12;
/// Height of the flattest outline, the square, in radii.
const FLATTEST: f32 = 1.6;
/// Room for a soft edge, in pixels.
const EDGE_ROOM_PX: f32 = 2.0;
/// Steps of the climb in pixels, for the centre and for the radius.
const STEPS_PX: [(f32, f32); 2] = [(0.5, 0.4), (0.2, 0.15)];
/// Moves in the climb, at most.
const MOVES_MAX: usize = 6;
/// Widths of an edge that are tried: as drawn, and blurred by a box of three pixels.
const EDGES_PX: [f32; 2] = [1.0, 2.8];

/// A window of a picture with how much of each pixel an object covers.
#[derive(Clone, Debug)]
pub(super) struct Mask {
    /// Column and row of the first pixel.
    pub origin: [usize; 2],
    /// Pixels in a row, a multiple of 4.
    pub width: usize,
    /// Cover in `[0, 1]`, row by row.
    pub cover: Vec<f32>,
    /// How much each row tells, in `[0, 1]`.
    pub weight: Vec<f32>,
}

/// Where an outline lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pose {
    /// Centre in pixels, x to the right and y down.
    pub centre: [f32; 2],
    /// Radius of the bounding circle in pixels.
    pub radius: f32,
    /// Width of the edge in pixels: 1 as drawn, more where it is blurred.
    pub edge: f32,
}

/// The outline that fits a mask best.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit {
    pub shape: Shape,
    pub pose: Pose,
    /// Overlap in `[0, 1]`.
    pub overlap: f32,
}

impl Fit {
    /// Whether the pixel at column `x` and row `y` lies outside, the soft edge included.
    pub fn leaves_out(&self, x: usize, y: usize) -> bool {
        let [dx, dy] = [
            x as f32 + 0.5 - self.pose.centre[0],
            y as f32 + 0.5 - self.pose.centre[1],
        ];
        distance(self.shape, dx, dy, self.pose.radius) > EDGE_ROOM_PX
    }

    /// Whether something of `width` and `height` pixels, soft edge included, can be this: rows
    /// that tell nothing could otherwise turn a bar into any shape.
    pub fn fits_in(&self, width: usize, height: usize) -> bool {
        width.min(height) as f32 >= FLATTEST * self.pose.radius
    }

    /// This, or the same shape at `pose` if that overlaps more.
    fn better(self, mask: &Mask, pose: Pose) -> Self {
        let overlap = overlap(mask, self.shape, pose);
        match overlap > self.overlap {
            true => Self {
                pose,
                overlap,
                ..self
            },
            false => self,
        }
    }
}

/// The best fitting outline; none if the mask is empty or its size is out of range.
pub(super) fn fit(mask: &Mask) -> Option<Fit> {
    let area: f32 = mask.cover.iter().sum();
    let centre = centroid(mask, area)?;
    let guesses = Shape::ALL.iter().map(|&shape| {
        let pose = Pose {
            centre,
            radius: (area / unit_area(shape)).sqrt(),
            edge: EDGES_PX[0],
        };
        Fit {
            shape,
            pose,
            overlap: overlap(mask, shape, pose),
        }
    });
    let guesses: Vec<Fit> = guesses
        .filter(|g| RADIUS_PX.contains(&g.pose.radius))
        .collect();
    let top = guesses.iter().map(|g| g.overlap).fold(0.0, f32::max);
    let mut best: Option<Fit> = None;
    for guess in guesses.into_iter().filter(|g| g.overlap >= top - HOPELESS) {
        let fit = climb(mask, guess);
        if best.is_none_or(|b| fit.overlap > b.overlap) {
            best = Some(fit);
        }
    }
    best.filter(|b| RADIUS_PX.contains(&b.pose.radius))
}

fn centroid(mask: &Mask, area: f32) -> Option<[f32; 2]> {
    if area < 1.0 {
        return None;
    }
    let (mut x, mut y) = (0.0, 0.0);
    for (row, line) in mask.cover.chunks_exact(mask.width).enumerate() {
        for (column, cover) in line.iter().enumerate() {
            x += cover * (column as f32 + 0.5);
            y += cover * (row as f32 + 0.5);
        }
    }
    Some([
        x / area + mask.origin[0] as f32,
        y / area + mask.origin[1] as f32,
    ])
}

/// Moves centre and radius by small steps for as long as the overlap grows.
fn climb(mask: &Mask, mut fit: Fit) -> Fit {
    fit = fit.better(
        mask,
        Pose {
            edge: EDGES_PX[1],
            ..fit.pose
        },
    );
    for (shift, grow) in STEPS_PX {
        for _ in 0..MOVES_MAX {
            let from = fit;
            for [dx, dy, dr] in [
                [shift, 0.0, 0.0],
                [-shift, 0.0, 0.0],
                [0.0, shift, 0.0],
                [0.0, -shift, 0.0],
                [0.0, 0.0, grow],
                [0.0, 0.0, -grow],
            ] {
                fit = fit.better(
                    mask,
                    Pose {
                        centre: [from.pose.centre[0] + dx, from.pose.centre[1] + dy],
                        radius: from.pose.radius + dr,
                        edge: from.pose.edge,
                    },
                );
            }
            if fit.overlap == from.overlap {
                break;
            }
        }
    }
    fit
}

fn overlap(mask: &Mask, shape: Shape, pose: Pose) -> f32 {
    /// One copy of the loop for each shape.
    macro_rules! copies {
        ($($shape:ident)+) => {
            match shape {
                $(Shape::$shape => compare(mask, pose, |x, y| {
                    distance(Shape::$shape, x, y, pose.radius)
                }),)+
            }
        };
    }
    copies!(Circle Square Triangle Star Cross Ring)
}

/// Overlap of `mask` with the outline of signed distance `distance(x, y)` from the centre.
#[inline(always)]
fn compare(mask: &Mask, pose: Pose, distance: impl Fn(f32, f32) -> f32) -> f32 {
    let left = mask.origin[0] as f32 + 0.5 - pose.centre[0];
    let top = mask.origin[1] as f32 + 0.5 - pose.centre[1];
    let scale = 1.0 / pose.edge;
    let (mut both, mut either) = ([0.0f32; 4], [0.0f32; 4]);
    let lines = mask.cover.chunks_exact(mask.width).zip(&mask.weight);
    for (row, (line, &weight)) in lines.enumerate() {
        let y = top + row as f32;
        for (chunk, covers) in line.as_chunks::<4>().0.iter().enumerate() {
            for lane in 0..4 {
                let x = left + (4 * chunk + lane) as f32;
                let ideal = (0.5 - scale * distance(x, y)).clamp(0.0, 1.0);
                both[lane] += weight * covers[lane].min(ideal);
                either[lane] += weight * covers[lane].max(ideal);
            }
        }
    }
    both.iter().sum::<f32>() / either.iter().sum::<f32>()
}

/// Area inside an outline of radius 1.
fn unit_area(shape: Shape) -> f32 {
    use std::f32::consts::PI;
    match shape {
        Shape::Circle => PI * 0.95 * 0.95,
        Shape::Square => 4.0 * 0.80 * 0.80,
        Shape::Triangle => 1.299_038 * 1.08 * 1.08,
        Shape::Star => 10.0 * 0.5 * 1.05 * 0.44 * SIN_36,
        Shape::Cross => 8.0 * 0.97 * 0.32 - 4.0 * 0.32 * 0.32,
        Shape::Ring => PI * (1.0 - 0.52 * 0.52),
    }
}

const SIN_36: f32 = 0.587_785_25;
const COS_36: f32 = 0.809_017;
const SIN_60: f32 = 0.866_025_4;

/// Signed distance in pixels from `(x, y)`, relative to the centre, to an outline; inside is < 0.
/// Outside a corner it is the distance to the nearer edge's line.
#[inline(always)]
fn distance(shape: Shape, x: f32, y: f32, r: f32) -> f32 {
    match shape {
        Shape::Circle => circle(x, y, r),
        Shape::Square => square(x, y, r),
        Shape::Triangle => triangle(x, y, r),
        Shape::Star => star(x, y, r),
        Shape::Cross => cross(x, y, r),
        Shape::Ring => ring(x, y, r),
    }
}

#[inline(always)]
fn circle(x: f32, y: f32, r: f32) -> f32 {
    (x * x + y * y).sqrt() - 0.95 * r
}

#[inline(always)]
fn ring(x: f32, y: f32, r: f32) -> f32 {
    let from_centre = (x * x + y * y).sqrt();
    (from_centre - r).max(0.52 * r - from_centre)
}

#[inline(always)]
fn square(x: f32, y: f32, r: f32) -> f32 {
    x.abs().max(y.abs()) - 0.80 * r
}

#[inline(always)]
fn cross(x: f32, y: f32, r: f32) -> f32 {
    let (x, y) = (x.abs(), y.abs());
    let (long, short) = (x.max(y), x.min(y));
    (long - 0.97 * r).max(short - 0.32 * r)
}

#[inline(always)]
fn triangle(x: f32, y: f32, r: f32) -> f32 {
    y.max(SIN_60 * x.abs() - 0.5 * y) - 0.54 * r
}

/// Two mirrors fold the five points onto the upper one, whose edge is a line.
#[inline(always)]
fn star(x: f32, y: f32, r: f32) -> f32 {
    const NORMAL: [f32; 2] = [0.937_053_7, 0.349_185_35];
    let (x, up) = (x.abs(), -y);
    let over = (COS_36 * x - SIN_36 * up).max(0.0);
    let (x, up) = (x - 2.0 * over * COS_36, up + 2.0 * over * SIN_36);
    let over = (-COS_36 * x - SIN_36 * up).max(0.0);
    let (x, up) = (x + 2.0 * over * COS_36, up + 2.0 * over * SIN_36);
    NORMAL[0] * x.abs() + NORMAL[1] * (up - 1.05 * r)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lab draws with its own, corner-exact distances: covers agree but for corners.
    #[test]
    fn outlines_are_those_of_the_renderer() {
        for &shape in Shape::ALL {
            let (mut sum, mut area) = (0.0, 0.0);
            for i in 0..120 * 120 {
                let p = [
                    (i % 120) as f32 * 0.25 - 14.9,
                    (i / 120) as f32 * 0.25 - 14.9,
                ];
                let cover = |d: f32| (0.5 - d).clamp(0.0, 1.0);
                let theirs = cover(noisesearch_lab::draw::outline(shape, p, 11.0));
                sum += (cover(distance(shape, p[0], p[1], 11.0)) - theirs).abs();
                area += theirs;
            }
            assert!(sum / area < 0.015, "{shape:?}: {}", sum / area);
            let share = area / 16.0 / (unit_area(shape) * 121.0);
            assert!((share - 1.0).abs() < 0.01, "{shape:?}: area {share}");
        }
    }
}
