//! Draws a scene: 64x64 RGB, objects that never touch, anti-aliased by signed distance.

use crate::rng::Rng;
use noisesearch_models::models::scenes::grammar::{
    Colour, Group, Relation, Scene, Shape, Size, Texture,
};

/// Side of a picture in pixels.
pub const SIDE: usize = 64;
/// Bytes of a picture: rows, columns, RGB.
pub const BYTES: usize = SIDE * SIDE * 3;
/// Gap between the bounding circles of two objects, in pixels.
const GAP_PX: f32 = 3.0;
/// Gap between the centres of related groups along their axis, in pixels.
const RELATED_PX: f32 = 6.0;
/// Period of the stripes in pixels.
const STRIPE_PX: f32 = 4.0;

/// RGB of a colour, each in `[0, 1]`.
pub fn rgb(colour: Colour) -> [f32; 3] {
    match colour {
        Colour::Red => [0.90, 0.12, 0.12],
        Colour::Green => [0.10, 0.65, 0.20],
        Colour::Blue => [0.12, 0.25, 0.92],
        Colour::Yellow => [0.98, 0.90, 0.10],
        Colour::Purple => [0.62, 0.15, 0.80],
        Colour::Orange => [1.00, 0.52, 0.05],
        Colour::White => [1.00, 1.00, 1.00],
        Colour::Black => [0.03, 0.03, 0.03],
    }
}

/// RGB of the darker half of a striped object (the lighter half for black).
pub fn stripe_rgb(colour: Colour) -> [f32; 3] {
    match colour {
        Colour::Black => [0.42, 0.42, 0.42],
        other => rgb(other).map(|v| 0.5 * v),
    }
}

/// One object as it was drawn.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    /// Which group of the scene it belongs to.
    pub group: usize,
    /// Outline.
    pub shape: Shape,
    /// Colour.
    pub colour: Colour,
    /// Striped or solid.
    pub texture: Texture,
    /// Centre in pixels, x to the right and y down.
    pub centre: [f32; 2],
    /// Radius of the bounding circle in pixels.
    pub radius: f32,
}

fn radius_range(size: Option<Size>) -> (f32, f32) {
    match size {
        Some(Size::Small) => (5.8, 6.8),
        None => (8.0, 9.6),
        Some(Size::Large) => (11.6, 13.0),
    }
}

/// Places the objects of `scene` at random.
pub fn place(rng: &mut Rng, scene: &Scene) -> Vec<Object> {
    loop {
        let objects = try_place(rng, scene);
        if let Some(objects) = objects.filter(|o| related(scene, o)) {
            return objects;
        }
    }
}

fn try_place(rng: &mut Rng, scene: &Scene) -> Option<Vec<Object>> {
    let mut objects: Vec<Object> = Vec::new();
    for (index, group) in scene.groups.iter().enumerate() {
        let colour = group.colour.unwrap_or_else(|| free_colour(rng, scene));
        for _ in 0..group.count {
            let object = (0..40)
                .map(|_| draft(rng, group, index, colour))
                .find(|new| {
                    objects.iter().all(|old| {
                        let (dx, dy) =
                            (old.centre[0] - new.centre[0], old.centre[1] - new.centre[1]);
                        dx.hypot(dy) >= old.radius + new.radius + GAP_PX
                    })
                });
            objects.push(object?);
        }
    }
    Some(objects)
}

/// A colour for a group that names none, unlike the named ones so that counts stay exact.
fn free_colour(rng: &mut Rng, scene: &Scene) -> Colour {
    loop {
        let colour = rng.pick(Colour::ALL);
        if scene.groups.iter().all(|g| g.colour != Some(colour)) {
            return colour;
        }
    }
}

fn draft(rng: &mut Rng, group: &Group, index: usize, colour: Colour) -> Object {
    let (low, high) = radius_range(group.size);
    let radius = rng.range(low, high);
    let side = SIDE as f32;
    let centre = [(); 2].map(|()| rng.range(radius + 2.0, side - radius - 2.0));
    let texture = group.texture.unwrap_or(Texture::Solid);
    Object {
        group: index,
        shape: group.shape,
        colour,
        texture,
        centre,
        radius,
    }
}

/// Whether the groups lie as the relation says: apart along its axis, which dominates.
fn related(scene: &Scene, objects: &[Object]) -> bool {
    let Some(relation) = scene.relation else {
        return true;
    };
    let (axis, first) = match relation {
        Relation::Left => (0, 0),
        Relation::Right => (0, 1),
        Relation::Above => (1, 0),
        Relation::Below => (1, 1),
    };
    let along = |group: usize, axis: usize| {
        objects
            .iter()
            .filter(move |o| o.group == group)
            .map(move |o| o.centre[axis])
    };
    let mean = |group: usize, axis: usize| {
        along(group, axis).sum::<f32>() / along(group, axis).count() as f32
    };
    let near_side = along(first, axis).fold(f32::MIN, f32::max);
    let far_side = along(1 - first, axis).fold(f32::MAX, f32::min);
    let across = (mean(0, 1 - axis) - mean(1, 1 - axis)).abs();
    near_side + RELATED_PX <= far_side && across <= (mean(0, axis) - mean(1, axis)).abs()
}

/// Draws `objects` on a light background: `[SIDE, SIDE, 3]` bytes.
pub fn render(rng: &mut Rng, objects: &[Object]) -> Vec<u8> {
    let base = rng.range(0.66, 0.78);
    let background = [(); 3].map(|()| base + rng.range(-0.03, 0.03));
    let mut picture = Vec::with_capacity(BYTES);
    for y in 0..SIDE {
        for x in 0..SIDE {
            let at = [x as f32 + 0.5, y as f32 + 0.5];
            let mut pixel = background;
            for object in objects {
                let offset = [at[0] - object.centre[0], at[1] - object.centre[1]];
                if offset[0].hypot(offset[1]) > object.radius * 1.2 + 1.0 {
                    continue;
                }
                let cover = (0.5 - outline(object.shape, offset, object.radius)).clamp(0.0, 1.0);
                let paint = paint(object, offset[1]);
                for (value, paint) in pixel.iter_mut().zip(paint) {
                    *value += cover * (paint - *value);
                }
            }
            picture.extend(pixel.map(|v| (v * 255.0).round() as u8));
        }
    }
    picture
}

fn paint(object: &Object, y: f32) -> [f32; 3] {
    let (light, dark) = (rgb(object.colour), stripe_rgb(object.colour));
    let phase = (y.rem_euclid(STRIPE_PX) - 0.5 * STRIPE_PX).abs() - 0.25 * STRIPE_PX;
    let mix = match object.texture {
        Texture::Solid => 0.0,
        Texture::Striped => (phase + 0.5).clamp(0.0, 1.0),
    };
    [0, 1, 2].map(|c| light[c] + mix * (dark[c] - light[c]))
}

/// Signed distance in pixels from `p` (relative to the centre) to the outline; inside is < 0.
pub fn outline(shape: Shape, p: [f32; 2], radius: f32) -> f32 {
    let from_centre = p[0].hypot(p[1]);
    match shape {
        Shape::Circle => from_centre - 0.95 * radius,
        Shape::Ring => (from_centre - radius).max(0.52 * radius - from_centre),
        Shape::Square => rectangle(p, 0.80 * radius, 0.80 * radius),
        Shape::Cross => {
            let (long, short) = (0.97 * radius, 0.32 * radius);
            rectangle(p, long, short).min(rectangle(p, short, long))
        }
        Shape::Triangle => polygon(p, 3, |_| 1.08 * radius),
        Shape::Star => polygon(p, 10, |i| {
            if i % 2 == 0 {
                1.05 * radius
            } else {
                0.44 * radius
            }
        }),
    }
}

fn rectangle(p: [f32; 2], half_width: f32, half_height: f32) -> f32 {
    let (dx, dy) = (p[0].abs() - half_width, p[1].abs() - half_height);
    dx.max(0.0).hypot(dy.max(0.0)) + dx.max(dy).min(0.0)
}

/// A polygon with `n` corners at even angles from the top, corner `i` at distance `reach(i)`.
fn polygon(p: [f32; 2], n: usize, reach: impl Fn(usize) -> f32) -> f32 {
    let corner = |i: usize| {
        let angle = std::f32::consts::TAU * i as f32 / n as f32;
        [reach(i % n) * angle.sin(), -reach(i % n) * angle.cos()]
    };
    let (mut nearest, mut inside) = (f32::MAX, false);
    for i in 0..n {
        let (a, b) = (corner(i), corner(i + 1));
        let edge = [b[0] - a[0], b[1] - a[1]];
        let to = [p[0] - a[0], p[1] - a[1]];
        let along = (to[0] * edge[0] + to[1] * edge[1]) / (edge[0].powi(2) + edge[1].powi(2));
        let along = along.clamp(0.0, 1.0);
        nearest = nearest.min((to[0] - along * edge[0]).hypot(to[1] - along * edge[1]));
        if (a[1] > p[1]) != (b[1] > p[1])
            && p[0] < a[0] + (p[1] - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
        {
            inside = !inside;
        }
    }
    if inside { -nearest } else { nearest }
}
