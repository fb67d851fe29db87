//! Reads a picture of the scenes model into objects, without knowing what was asked for.
//!
//! 1. The background is the median of the frame, where no object reaches.
//! 2. Pixels that differ from it are joined into parts, over gaps of three rows as well: in
//!    such a gap a stripe may have the background's colour.
//! 3. A part's colour and texture come from its rows (`paint`), its soft mask from how far each
//!    pixel lies from the background towards the paint of its row, its outline from the overlap
//!    of that mask with the six ideal ones (`outline`).
//!    The outline must account for the part's pixels, whatever their colour.
//! 4. A part that has no clean outline may be several objects that nearly touch: it is cut, first
//!    where rows do not adjoin, then where cover falls below one half, and its pieces are read.
//!    What is left over is an object without a shape.

use super::outline::{self, Fit, Mask};
use super::paint::{self, PERIOD, RowMean, dot};
use noisesearch_models::models::scenes::grammar::{Colour, Shape, Texture};

/// Side of a picture in pixels.
pub const SIDE: usize = 64;
const PIXELS: usize = SIDE * SIDE;
/// Width of the frame that shows the background, in pixels.
const FRAME_PX: usize = 2;
/// Distance in RGB from which a pixel is not background.
const CONTRAST: f32 = 0.11;
/// Distance in RGB to the background up to which the paint of a row tells nothing about cover.
const FAINT: f32 = 0.08;
/// Distance from which it tells all.
const PLAIN: f32 = 0.18;
/// Pixels in a part, at least; smaller ones are specks that nobody sees.
const SPECK_PX: usize = 10;
/// How much less overlap is asked of a part none of whose rows tell anything.
const FAINT_EXCUSE: f32 = 0.45;
/// Overlap from which a part is one object for certain.
const CERTAIN: f32 = 0.93;
/// Rounds in which faint rows' paint and the mask that needs it improve each other.
const SHARPENINGS: usize = 3;

/// Overlap with an ideal outline from which a part has that shape. Small objects, blurred over
/// three pixels and noisy, still reach 0.02 to 0.06 more; blobs that a half-trained model draws
/// reach 0.87 of a circle or square and 0.7 of the others.
fn clean_from(shape: Shape) -> f32 {
    match shape {
        Shape::Circle | Shape::Square => 0.88,
        Shape::Triangle => 0.83,
        Shape::Cross | Shape::Ring => 0.80,
        Shape::Star => 0.74,
    }
}

/// One object as it is seen.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Outline; none if it is no clean shape.
    pub shape: Option<Shape>,
    /// Colour; none if it is near none of the eight.
    pub colour: Option<Colour>,
    /// Texture; none if it is neither clearly striped nor clearly solid.
    pub texture: Option<Texture>,
    /// Centre in pixels, x to the right and y down.
    pub centre: [f32; 2],
    /// Radius of the bounding circle in pixels.
    pub radius: f32,
    /// Overlap with the best outline, in `[0, 1]`.
    pub overlap: f32,
}

/// The objects of `picture: [3, 64, 64]` in `[0, 1]`, in reading order of their first pixels.
///
/// # Panics
/// If `picture` has another length.
pub fn see(picture: &[f32]) -> Vec<Seen> {
    assert_eq!(picture.len(), 3 * PIXELS, "a picture is [3, 64, 64]");
    let mut eye = Eye::new(picture);
    let everything: Vec<u16> = (0..PIXELS as u16)
        .filter(|&p| eye.contrast2(p) > CONTRAST * CONTRAST)
        .collect();
    let mut seen = Vec::new();
    for part in eye.parts(&everything, Join::OverThree) {
        eye.read(part, Join::OverThree, &mut seen);
    }
    seen
}

/// How pixels are joined to a part, from generous to strict.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Join {
    /// Neighbours, also over three rows between.
    OverThree,
    /// Neighbours, also over two rows between.
    OverTwo,
    /// The four neighbours.
    Adjoining,
    /// The four neighbours, where cover is at least one half; the rest follows.
    HalfCovered,
}

impl Join {
    fn stricter(self) -> Option<Self> {
        match self {
            Self::OverThree => Some(Self::OverTwo),
            Self::OverTwo => Some(Self::Adjoining),
            Self::Adjoining => Some(Self::HalfCovered),
            Self::HalfCovered => None,
        }
    }

    /// Steps to the pixels that are joined: columns, rows.
    fn steps(self) -> &'static [(i32, i32)] {
        #[rustfmt::skip]
        const STEPS: [(i32, i32); 14] = [
            (-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, -1), (-1, 1), (1, 1),
            (0, -2), (0, 2), (0, -3), (0, 3), (0, -4), (0, 4),
        ];
        match self {
            Self::OverThree => &STEPS,
            Self::OverTwo => &STEPS[..12],
            Self::Adjoining | Self::HalfCovered => &STEPS[..4],
        }
    }
}

fn column(pixel: u16) -> usize {
    usize::from(pixel) % SIDE
}

fn row(pixel: u16) -> usize {
    usize::from(pixel) / SIDE
}

/// A pixel's neighbour, if it is in the picture.
fn step(pixel: u16, (dx, dy): (i32, i32)) -> Option<u16> {
    let side = SIDE as i32;
    let (x, y) = (i32::from(pixel) % side + dx, i32::from(pixel) / side + dy);
    ((0..side).contains(&x) && (0..side).contains(&y)).then_some((y * side + x) as u16)
}

struct Eye {
    background: [f32; 3],
    /// RGB less the background.
    pixels: Vec<[f32; 3]>,
    /// Pixels that wait to be joined to a part.
    waiting: Vec<bool>,
}

impl Eye {
    fn new(picture: &[f32]) -> Self {
        let background = [0, 1, 2].map(|c| frame_median(&picture[c * PIXELS..][..PIXELS]));
        let pixel = |p| [0, 1, 2].map(|c: usize| picture[c * PIXELS + p] - background[c]);
        Self {
            background,
            pixels: (0..PIXELS).map(pixel).collect(),
            waiting: vec![false; PIXELS],
        }
    }

    fn contrast2(&self, pixel: u16) -> f32 {
        let p = self.pixels[usize::from(pixel)];
        dot(p, p)
    }

    /// The parts of `pixels`, specks left out.
    fn parts(&mut self, pixels: &[u16], join: Join) -> Vec<Vec<u16>> {
        for &pixel in pixels {
            self.waiting[usize::from(pixel)] = true;
        }
        let mut parts = Vec::new();
        for &first in pixels {
            if !std::mem::take(&mut self.waiting[usize::from(first)]) {
                continue;
            }
            let (mut part, mut next) = (vec![first], 0);
            while let Some(&pixel) = part.get(next) {
                next += 1;
                for &to in join.steps() {
                    if let Some(near) = step(pixel, to)
                        && std::mem::take(&mut self.waiting[usize::from(near)])
                    {
                        part.push(near);
                    }
                }
            }
            if part.len() >= SPECK_PX {
                parts.push(part);
            }
        }
        parts
    }

    /// Reads `part`, which was joined by `join`, as one object or as several.
    fn read(&mut self, part: Vec<u16>, join: Join, seen: &mut Vec<Seen>) {
        let whole = self.look(&part);
        let certain = whole.shape.is_some() && whole.overlap >= CERTAIN;
        let mut join = join;
        while let Some(stricter) = join.stricter().filter(|_| !certain) {
            join = stricter;
            let pieces = match join {
                Join::HalfCovered => self.cut(&part),
                _ => self.parts(&part, join),
            };
            if pieces.len() < 2 {
                continue;
            }
            let start = seen.len();
            for piece in pieces {
                self.read(piece, join, seen);
            }
            let pieces = &seen[start..];
            let better = match whole.shape {
                None => pieces.iter().any(|s| s.shape.is_some()),
                Some(_) => pieces
                    .iter()
                    .all(|s| s.shape.is_some() && s.overlap > whole.overlap),
            };
            if better {
                return;
            }
            seen.truncate(start);
        }
        seen.push(whole);
    }

    /// The pieces of `part` where cover is at least one half, each grown by two pixels into the
    /// rest, and what then remains of the rest.
    fn cut(&mut self, part: &[u16]) -> Vec<Vec<u16>> {
        let (core, rest): (Vec<u16>, Vec<u16>) = part.iter().partition(|&&p| {
            paint::rough_cover(self.pixels[usize::from(p)], self.background) >= 0.5
        });
        let mut pieces = self.parts(&core, Join::HalfCovered);
        for &pixel in &rest {
            self.waiting[usize::from(pixel)] = true;
        }
        for _ in 0..2 {
            for piece in &mut pieces {
                for i in 0..piece.len() {
                    for &to in Join::HalfCovered.steps() {
                        if let Some(near) = step(piece[i], to)
                            && std::mem::take(&mut self.waiting[usize::from(near)])
                        {
                            piece.push(near);
                        }
                    }
                }
            }
        }
        let left: Vec<u16> = rest
            .into_iter()
            .filter(|&p| std::mem::take(&mut self.waiting[usize::from(p)]))
            .collect();
        pieces.extend(self.parts(&left, Join::Adjoining));
        pieces
    }

    /// `part` as one object.
    fn look(&self, part: &[u16]) -> Seen {
        let mut rows = self.row_means(part);
        let mut mask = self.mask(part, &rows);
        for _ in 0..SHARPENINGS {
            if mask.weight.iter().all(|&w| w == 1.0) {
                break;
            }
            rows = self.row_means_inside(&mask);
            mask = self.mask(part, &rows);
        }
        let paint = paint::read(&rows, self.background);
        let fit = outline::fit(&mask);
        let excuse = FAINT_EXCUSE * (1.0 - telling(&mask));
        let clean = fit.filter(|f| f.overlap >= clean_from(f.shape) - excuse);
        let clean = clean.filter(|f| f.fits_in(mask.width, mask.weight.len()));
        let left_out = |f: &Fit| {
            part.iter()
                .filter(|&&p| f.leaves_out(column(p), row(p)))
                .count()
        };
        let clean = clean.filter(|f| left_out(f) < SPECK_PX);
        Seen {
            shape: clean.map(|f| f.shape),
            colour: paint.colour,
            texture: paint.texture,
            centre: fit.map_or_else(|| mean_place(part), |f: Fit| f.pose.centre),
            radius: fit.map_or(0.0, |f| f.pose.radius),
            overlap: fit.map_or(0.0, |f| f.overlap),
        }
    }

    /// Mean over the pixels of highest contrast of the rows alike modulo the stripes' period.
    fn row_means(&self, part: &[u16]) -> [RowMean; PERIOD] {
        let class = |pixel: u16| row(pixel) % PERIOD;
        let mut top2 = [0.0f32; PERIOD];
        for &pixel in part {
            top2[class(pixel)] = top2[class(pixel)].max(self.contrast2(pixel));
        }
        let mut means = [RowMean::default(); PERIOD];
        for &pixel in part {
            if self.contrast2(pixel) >= 0.64 * top2[class(pixel)] {
                means[class(pixel)].add(self.pixels[usize::from(pixel)]);
            }
        }
        means.map(RowMean::mean)
    }

    /// The same over the pixels that `mask` covers: in faint rows contrast picks noise.
    fn row_means_inside(&self, mask: &Mask) -> [RowMean; PERIOD] {
        let mut means = [RowMean::default(); PERIOD];
        for (row, line) in mask.cover.chunks_exact(mask.width).enumerate() {
            let y = mask.origin[1] + row;
            for (column, _) in line.iter().enumerate().filter(|&(_, &cover)| cover >= 0.6) {
                means[y % PERIOD].add(self.pixels[y * SIDE + mask.origin[0] + column]);
            }
        }
        means.map(RowMean::mean)
    }

    /// How much `part` covers each pixel in and around it. Rows whose paint is too near to the
    /// background are taken from their neighbours.
    fn mask(&self, part: &[u16], rows: &[RowMean; PERIOD]) -> Mask {
        let xs = || part.iter().map(|&p| column(p));
        let ys = || part.iter().map(|&p| row(p));
        let span = |low: Option<usize>, high: Option<usize>| {
            let (low, high) = (low.unwrap_or(0), high.unwrap_or(0));
            (low.saturating_sub(2), (high + 3).min(SIDE))
        };
        let (left, right) = span(xs().min(), xs().max());
        let (top, bottom) = span(ys().min(), ys().max());
        let width = (right - left).next_multiple_of(4);
        let mut mask = Mask {
            origin: [left, top],
            width,
            cover: vec![0.0; width * (bottom - top)],
            weight: (top..bottom)
                .map(|y| weight(rows[y % PERIOD].colour))
                .collect(),
        };
        for &pixel in part {
            let (x, y) = (column(pixel), row(pixel));
            for y in y.saturating_sub(1)..(y + 2).min(SIDE) {
                let paint = rows[y % PERIOD].colour;
                let scale = 1.0 / dot(paint, paint).max(1e-6);
                for x in x.saturating_sub(1)..(x + 2).min(SIDE) {
                    let along = dot(self.pixels[y * SIDE + x], paint) * scale;
                    mask.cover[(y - top) * width + x - left] = along.clamp(0.0, 1.0);
                }
            }
        }
        fill_faint_rows(&mut mask);
        mask
    }
}

/// How much a row of this paint (less the background) tells about cover, in `[0, 1]`.
fn weight(paint: [f32; 3]) -> f32 {
    ((dot(paint, paint).sqrt() - FAINT) / (PLAIN - FAINT)).clamp(0.0, 1.0)
}

/// Replaces each faint row by the mean of the nearest rows above and below that are not.
fn fill_faint_rows(mask: &mut Mask) {
    let faint = |y: usize| mask.weight[y] < 0.5;
    let (width, height) = (mask.width, mask.cover.len() / mask.width);
    for y in (0..height).filter(|&y| faint(y)) {
        let above = (0..y).rev().find(|&y| !faint(y));
        let below = (y + 1..height).find(|&y| !faint(y));
        for x in 0..width {
            let at = |row: Option<usize>| row.map_or(0.0, |row| mask.cover[row * width + x]);
            mask.cover[y * width + x] = 0.5 * (at(above) + at(below));
        }
    }
}

/// Mean weight of the rows of `mask`.
fn telling(mask: &Mask) -> f32 {
    mask.weight.iter().sum::<f32>() / mask.weight.len() as f32
}

fn mean_place(part: &[u16]) -> [f32; 2] {
    let count = part.len().max(1) as f32;
    let x: usize = part.iter().map(|&p| column(p)).sum();
    let y: usize = part.iter().map(|&p| row(p)).sum();
    [x as f32 / count + 0.5, y as f32 / count + 0.5]
}

/// Median of the outermost pixels of one colour plane.
fn frame_median(plane: &[f32]) -> f32 {
    let inside = FRAME_PX..SIDE - FRAME_PX;
    let mut frame: Vec<f32> = (0..PIXELS)
        .filter(|p| !(inside.contains(&(p % SIDE)) && inside.contains(&(p / SIDE))))
        .map(|p| plane[p])
        .collect();
    let middle = frame.len() / 2;
    *frame.select_nth_unstable_by(middle, f32::total_cmp).1
}
