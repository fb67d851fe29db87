//! The exact grader against rendered truth, wrong captions and damaged pictures.

use noisesearch_lab::draw::{self, Object};
use noisesearch_lab::rng::Rng;
use noisesearch_lab::sample::{self, Category};
use noisesearch_models::models::scenes::grammar::{
    Colour, OBJECTS_MAX, Relation, Scene, Shape, Size, Texture,
};
use noisesearch_verifiers::scenes::grader::grade;
use noisesearch_verifiers::scenes::see::{SIDE, see};

/// Samples of each category, as drawn and damaged.
const SAMPLES: [usize; 2] = [2000, 1000];

/// A picture `[3, 64, 64]` in `[0, 1]`, as the verifiers get it.
fn planar(bytes: &[u8]) -> Vec<f32> {
    (0..3)
        .flat_map(|c| {
            bytes
                .iter()
                .skip(c)
                .step_by(3)
                .map(|&b| f32::from(b) / 255.0)
        })
        .collect()
}

/// What is done to a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Damage {
    None,
    Blur,
    Noise,
    Both,
}

/// A 3x3 box blur, Gaussian noise of 6/255, or one after the other, rounded to bytes.
fn damage(rng: &mut Rng, picture: &[f32], damage: Damage) -> Vec<f32> {
    let reach = usize::from(matches!(damage, Damage::Blur | Damage::Both));
    let sigma = match damage {
        Damage::Noise | Damage::Both => 6.0 / 255.0,
        _ => 0.0,
    };
    let mut out = Vec::with_capacity(picture.len());
    for plane in picture.chunks(SIDE * SIDE) {
        for y in 0..SIDE {
            for x in 0..SIDE {
                let (mut sum, mut count) = (0.0, 0.0);
                for v in y.saturating_sub(reach)..(y + reach + 1).min(SIDE) {
                    for u in x.saturating_sub(reach)..(x + reach + 1).min(SIDE) {
                        sum += plane[v * SIDE + u];
                        count += 1.0;
                    }
                }
                // Irwin-Hall: twelve uniforms less six have variance 1.
                let normal = (0..12).map(|_| rng.range(0.0, 1.0)).sum::<f32>() - 6.0;
                let value = sum / count + normal * sigma;
                out.push((value.clamp(0.0, 1.0) * 255.0).round() / 255.0);
            }
        }
    }
    out
}

/// Whether the drawn objects are what `scene` asks for, by their truth and by brute force.
fn satisfies(scene: &Scene, objects: &[Object]) -> bool {
    let groups: Vec<usize> = (0..scene.groups.len())
        .flat_map(|i| vec![i; scene.groups[i].count])
        .collect();
    if groups.len() != objects.len() {
        return false;
    }
    permutations(objects.len()).iter().any(|order| {
        let pairs = || groups.iter().zip(order).map(|(&g, &o)| (g, &objects[o]));
        let described = pairs().all(|(g, o)| {
            let group = scene.groups[g];
            let size = match o.radius {
                r if r <= 6.8 => Some(Size::Small),
                r if r >= 11.6 => Some(Size::Large),
                _ => None,
            };
            group.shape == o.shape
                && group.colour.is_none_or(|c| c == o.colour)
                && group.texture.unwrap_or(Texture::Solid) == o.texture
                && (group.size.is_none() || group.size == size)
        });
        let placed = scene.relation.is_none_or(|relation| {
            let side = |g| {
                pairs()
                    .filter(move |(of, _)| *of == g)
                    .map(|(_, o)| o.centre)
            };
            let flip = |c: [f32; 2]| match relation {
                Relation::Left => c,
                Relation::Right => [-c[0], c[1]],
                Relation::Above => [c[1], c[0]],
                Relation::Below => [-c[1], c[0]],
            };
            let mean =
                |g, i: usize| side(g).map(|c| flip(c)[i]).sum::<f32>() / side(g).count() as f32;
            side(0).all(|a| side(1).all(|b| flip(a)[0] + 6.0 <= flip(b)[0]))
                && (mean(0, 1) - mean(1, 1)).abs() <= mean(1, 0) - mean(0, 0)
        });
        described && placed
    })
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for shorter in permutations(n - 1) {
        for place in 0..n {
            let mut order = shorter.clone();
            order.insert(place, n - 1);
            all.push(order);
        }
    }
    all
}

/// `scene` with one attribute changed so that `objects` do not satisfy it.
fn wrong(rng: &mut Rng, scene: &Scene, objects: &[Object]) -> Scene {
    loop {
        let mut other = scene.clone();
        let g = rng.below(other.groups.len());
        let group = &mut other.groups[g];
        match rng.below(6) {
            0 => group.count = 1 + rng.below(4),
            1 if group.size.is_some() => group.size = Some(rng.pick(Size::ALL)),
            2 => group.texture = Some(rng.pick(Texture::ALL)),
            3 => group.colour = Some(rng.pick(Colour::ALL)),
            4 => group.shape = rng.pick(Shape::ALL),
            5 if scene.relation.is_some() => other.relation = Some(rng.pick(Relation::ALL)),
            _ => {}
        }
        if other.objects() <= OBJECTS_MAX && !satisfies(&other, objects) {
            return other;
        }
    }
}

/// Shares right on truth and on wrong captions.
fn accuracy(category: Category, how: Damage) -> [f64; 2] {
    let mut rng = Rng::new(10 * category as u64 + how as u64);
    let samples = SAMPLES[usize::from(how != Damage::None)];
    let mut right = [0, 0];
    for _ in 0..samples {
        let scene = sample::scene(&mut rng, category);
        let objects = draw::place(&mut rng, &scene);
        let picture = planar(&draw::render(&mut rng, &objects));
        let seen = see(&damage(&mut rng, &picture, how));
        let passes = |scene: &Scene| grade(scene, &seen).share() == 1.0;
        right[0] += usize::from(passes(&scene));
        right[1] += usize::from(!passes(&wrong(&mut rng, &scene, &objects)));
    }
    right.map(|n| n as f64 / samples as f64)
}

/// Every category at least `least` right, and their mean at least `least_mean`.
fn check(how: Damage, least: f64, least_mean: f64) {
    let shares = Category::ALL.map(|category| (category, accuracy(category, how)));
    for (category, [truth, wrong]) in shares {
        println!(
            "{how:?} {}: truth {truth:.4}, wrong captions {wrong:.4}",
            category.name()
        );
        assert!(
            truth.min(wrong) >= least,
            "{}: {truth} {wrong}",
            category.name()
        );
    }
    for kind in 0..2 {
        let mean = shares.iter().map(|(_, s)| s[kind]).sum::<f64>() / shares.len() as f64;
        assert!(mean >= least_mean, "{how:?}: {mean}");
    }
}

#[test]
fn rendered_truth_is_told_from_wrong_captions() {
    check(Damage::None, 0.99, 0.99);
}

#[test]
fn blur_is_forgiven() {
    check(Damage::Blur, 0.97, 0.97);
}

#[test]
fn noise_is_forgiven() {
    check(Damage::Noise, 0.97, 0.97);
}

/// White stripes are the hard case: blurred, they come as near to the background as the noise.
#[test]
fn blur_and_noise_together_are_forgiven() {
    check(Damage::Both, 0.96, 0.97);
}

/// Pictures of one category, spoilt by `spoil(picture, objects)`, that still pass.
fn pass_spoilt(spoil: impl Fn(&mut Rng, &mut [f32], &[Object])) -> usize {
    let mut rng = Rng::new(77);
    let mut passed = 0;
    for _ in 0..500 {
        let scene = sample::scene(&mut rng, Category::Colour);
        let objects = draw::place(&mut rng, &scene);
        let mut picture = planar(&draw::render(&mut rng, &objects));
        assert_eq!(grade(&scene, &see(&picture)).share(), 1.0, "{scene}");
        spoil(&mut rng, &mut picture, &objects);
        passed += usize::from(grade(&scene, &see(&picture)).share() == 1.0);
    }
    passed
}

/// Paints the pixels of `picture` that `hit(x, y)` selects, coordinates from their middle.
fn paint(picture: &mut [f32], colour: [f32; 3], hit: impl Fn(f32, f32) -> bool) {
    for (plane, value) in picture.chunks_mut(SIDE * SIDE).zip(colour) {
        for (i, pixel) in plane.iter_mut().enumerate() {
            if hit((i % SIDE) as f32 + 0.5, (i / SIDE) as f32 + 0.5) {
                *pixel = value;
            }
        }
    }
}

#[test]
fn an_object_cut_in_two_does_not_pass() {
    let passed = pass_spoilt(|_, picture, objects| {
        let background = [0, 1, 2].map(|c| picture[c * SIDE * SIDE]);
        let [x, y] = objects[0].centre;
        paint(picture, background, |u, v| {
            (u - x).abs() + (v - y).abs() < 20.0 && u > x + 1.0
        });
    });
    assert_eq!(passed, 0);
}

#[test]
fn a_stray_blob_does_not_pass() {
    let passed = pass_spoilt(|rng, picture, objects| {
        let free = |[x, y]: [f32; 2]| {
            let gap = |o: &Object| (o.centre[0] - x).hypot(o.centre[1] - y) - o.radius;
            objects.iter().all(|o| gap(o) > 3.0)
        };
        let at = || [(); 2].map(|()| rng.range(4.0, 60.0));
        let [x, y] = std::iter::repeat_with(at).find(|&p| free(p)).unwrap();
        let colour = draw::rgb(objects[0].colour);
        paint(picture, colour, |u, v| (u - x).hypot(v - y) < 2.3);
    });
    assert_eq!(passed, 0);
}

#[test]
fn objects_that_overlap_do_not_pass() {
    let passed = pass_spoilt(|_, picture, objects| {
        let [x, y] = objects[0].centre;
        let r = objects[0].radius;
        paint(picture, draw::rgb(objects[0].colour), |u, v| {
            (u - x - 0.8 * r).hypot(v - y - 0.8 * r) < 0.7 * r
        });
    });
    assert_eq!(passed, 0);
}
