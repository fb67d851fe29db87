//! `grader`: reads the picture, compares it with the prompt, and tells the share that is right.
//!
//! What a prompt asks of each object is one constraint each: that it is there, its shape, its
//! colour if named, its texture (unnamed is solid), its size if named (unnamed: any). A relation
//! is one more. Objects and requests are matched so that most constraints hold, and each object
//! too many counts as two constraints that do not hold. The score is `held / all`: 1, and a
//! pass, exactly if everything holds.

use super::see::{SIDE, Seen, see};
use crate::verifier::{Samples, Verifier, VerifierId};
use candle_core::Result;
use noisesearch_models::models::scenes::grammar::{Group, Relation, Scene, Size, Texture};
use noisesearch_models::task::Task;
use rayon::prelude::*;

/// Radius in pixels below which an object is small: halfway between the renderer's 6.8 and 8.0.
const SMALL_BELOW_PX: f32 = 7.4;
/// Radius in pixels from which an object is large: halfway between 9.6 and 11.6.
const LARGE_FROM_PX: f32 = 10.6;
/// Gap between the centres of related groups along their axis, at least, in pixels.
const RELATED_PX: f32 = 6.0;
/// Error of a centre that is forgiven in a relation, in pixels.
const CENTRE_ERROR_PX: f32 = 0.5;
/// Constraints that an object too many breaks.
const EXTRA_WEIGHT: usize = 2;
/// Objects that are matched, at most; the rest is too many in any case.
const SEEN_MAX: usize = 8;

/// The exact grader.
#[derive(Clone, Debug)]
pub struct Grader {
    id: VerifierId,
}

impl Default for Grader {
    fn default() -> Self {
        let id = VerifierId {
            name: "grader".into(),
            weights: String::new(),
            version: 1,
        };
        Self { id }
    }
}

impl Verifier for Grader {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn score(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let scene = super::scene_of(task)?;
        let pictures = super::pictures(samples.images)?;
        Ok(pictures
            .par_chunks(3 * SIDE * SIDE)
            .map(|picture| match picture.iter().all(|v| v.is_finite()) {
                true => grade(&scene, &see(picture)).share(),
                false => f64::NAN,
            })
            .collect())
    }

    fn takes_rough_previews(&self) -> bool {
        false
    }

    fn passes(&self, score: f64) -> Option<bool> {
        Some(score == 1.0)
    }
}

/// Constraints of a prompt, and how many of them hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grade {
    /// Constraints that hold.
    pub held: usize,
    /// All constraints.
    pub all: usize,
}

impl Grade {
    /// `held / all`, in `[0, 1]`.
    pub fn share(self) -> f64 {
        self.held as f64 / self.all as f64
    }
}

/// Compares what is seen with what was asked for.
pub fn grade(scene: &Scene, seen: &[Seen]) -> Grade {
    let requests: Vec<(usize, &Group)> = scene
        .groups
        .iter()
        .enumerate()
        .flat_map(|(i, group)| std::iter::repeat_n((i, group), group.count))
        .collect();
    let asked: usize = requests.iter().map(|(_, group)| constraints(group)).sum();
    let extra = seen.len().saturating_sub(requests.len());
    let mut matching = Matching {
        scene,
        seen: &seen[..seen.len().min(SEEN_MAX)],
        requests: &requests,
        chosen: Vec::new(),
        best: 0,
    };
    matching.extend(0);
    Grade {
        held: matching.best,
        all: asked + usize::from(scene.relation.is_some()) + EXTRA_WEIGHT * extra,
    }
}

/// Constraints on one object of `group`.
fn constraints(group: &Group) -> usize {
    3 + usize::from(group.colour.is_some()) + usize::from(group.size.is_some())
}

/// How many of them `seen` meets.
fn met(group: &Group, seen: &Seen) -> usize {
    let size = match group.size {
        None => false,
        Some(Size::Small) => seen.shape.is_some() && seen.radius < SMALL_BELOW_PX,
        Some(Size::Large) => seen.shape.is_some() && seen.radius >= LARGE_FROM_PX,
    };
    let texture = group.texture.unwrap_or(Texture::Solid);
    1 + usize::from(seen.shape == Some(group.shape))
        + usize::from(group.colour.is_some() && seen.colour == group.colour)
        + usize::from(seen.texture == Some(texture))
        + usize::from(size)
}

/// Every way to give each request an object of its own, or none.
struct Matching<'a> {
    scene: &'a Scene,
    seen: &'a [Seen],
    requests: &'a [(usize, &'a Group)],
    /// Object of each request so far.
    chosen: Vec<Option<usize>>,
    best: usize,
}

impl Matching<'_> {
    fn extend(&mut self, held: usize) {
        let Some(&(_, group)) = self.requests.get(self.chosen.len()) else {
            let related = self.scene.relation.is_some_and(|r| self.related(r));
            self.best = self.best.max(held + usize::from(related));
            return;
        };
        for object in 0..self.seen.len() {
            if !self.chosen.contains(&Some(object)) {
                self.chosen.push(Some(object));
                self.extend(held + met(group, &self.seen[object]));
                self.chosen.pop();
            }
        }
        if self.seen.len() < self.requests.len() {
            self.chosen.push(None);
            self.extend(held);
            self.chosen.pop();
        }
    }

    /// Whether all of the first group lies beyond all of the second, mostly along the axis.
    fn related(&self, relation: Relation) -> bool {
        let (axis, first) = match relation {
            Relation::Left => (0, 0),
            Relation::Right => (0, 1),
            Relation::Above => (1, 0),
            Relation::Below => (1, 1),
        };
        let centres = |group: usize| -> Vec<[f32; 2]> {
            let pairs = self.requests.iter().zip(&self.chosen);
            pairs
                .filter(|((of, _), _)| *of == group)
                .filter_map(|(_, object)| object.map(|o| self.seen[o].centre))
                .collect()
        };
        let groups = [centres(0), centres(1)];
        if groups.iter().any(Vec::is_empty) {
            return false;
        }
        let near = groups[first]
            .iter()
            .map(|c| c[axis])
            .fold(f32::MIN, f32::max);
        let far = groups[1 - first]
            .iter()
            .map(|c| c[axis])
            .fold(f32::MAX, f32::min);
        let apart = |axis: usize| {
            let mean = |g: &[[f32; 2]]| g.iter().map(|c| c[axis]).sum::<f32>() / g.len() as f32;
            (mean(&groups[0]) - mean(&groups[1])).abs()
        };
        near + RELATED_PX <= far + CENTRE_ERROR_PX
            && apart(1 - axis) <= apart(axis) + CENTRE_ERROR_PX
    }
}
