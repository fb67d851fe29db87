//! Draws scenes from the grammar, by T2I-CompBench category, and splits off a held-out set.

use crate::rng::Rng;
use noisesearch_models::models::scenes::grammar::{
    Colour, Group, OBJECTS_MAX, Relation, Scene, Shape, Size, Texture,
};

/// What a scene tests, after T2I-CompBench.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// Which object has which colour.
    Colour,
    /// Which outlines there are.
    Shape,
    /// Striped or solid.
    Texture,
    /// Left, right, above, below.
    Spatial,
    /// How many.
    Numeracy,
    /// Several of these at once.
    Complex,
}

impl Category {
    /// Every category.
    pub const ALL: [Self; 6] = [
        Self::Colour,
        Self::Shape,
        Self::Texture,
        Self::Spatial,
        Self::Numeracy,
        Self::Complex,
    ];

    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Colour => "colour",
            Self::Shape => "shape",
            Self::Texture => "texture",
            Self::Spatial => "spatial",
            Self::Numeracy => "numeracy",
            Self::Complex => "complex",
        }
    }
}

/// One in this many captions is held out of training.
const HELD_OUT_ONE_IN: u64 = 50;

/// Whether `scene` is held out of training, a function of its caption alone.
pub fn held_out(scene: &Scene) -> bool {
    let hash = scene
        .caption()
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01B3)
        });
    Rng::new(hash).bits().is_multiple_of(HELD_OUT_ONE_IN)
}

/// A scene of `category`.
pub fn scene(rng: &mut Rng, category: Category) -> Scene {
    loop {
        let scene = draft(rng, category);
        if scene.objects() <= OBJECTS_MAX {
            return scene;
        }
    }
}

fn group(rng: &mut Rng) -> Group {
    Group {
        count: 1,
        size: None,
        texture: None,
        colour: (!rng.chance(0.06)).then(|| rng.pick(Colour::ALL)),
        shape: rng.pick(Shape::ALL),
    }
}

fn draft(rng: &mut Rng, category: Category) -> Scene {
    let (mut one, mut two) = (group(rng), group(rng));
    let mut relation = None;
    let groups = match category {
        Category::Colour if rng.chance(0.4) => vec![one],
        Category::Colour => vec![one, two],
        Category::Shape => {
            two.colour = one.colour;
            while two.shape == one.shape {
                two.shape = rng.pick(Shape::ALL);
            }
            vec![one, two]
        }
        Category::Texture => {
            one.texture = Some(rng.pick(Texture::ALL));
            two.texture = Some(rng.pick(Texture::ALL));
            if rng.chance(0.4) {
                vec![one]
            } else {
                vec![one, two]
            }
        }
        Category::Spatial => {
            relation = Some(rng.pick(Relation::ALL));
            vec![one, two]
        }
        Category::Numeracy => {
            one.count = 1 + rng.below(4);
            two.count = 1 + rng.below(3);
            if rng.chance(0.5) {
                vec![one]
            } else {
                vec![one, two]
            }
        }
        Category::Complex => return complex(rng),
    };
    Scene { groups, relation }
}

fn complex(rng: &mut Rng) -> Scene {
    let count = 1 + rng.below(3);
    let groups: Vec<Group> = (0..count)
        .map(|_| {
            let mut g = group(rng);
            g.count = if rng.chance(0.3) { 2 } else { 1 };
            g.size = rng.chance(0.4).then(|| rng.pick(Size::ALL));
            g.texture = rng.chance(0.4).then(|| rng.pick(Texture::ALL));
            g
        })
        .collect();
    let relation = (count == 2 && rng.chance(0.5)).then(|| rng.pick(Relation::ALL));
    Scene { groups, relation }
}

/// A scene to train on: any category, never a held-out caption.
pub fn training_scene(rng: &mut Rng) -> Scene {
    loop {
        let category = rng.pick(&Category::ALL);
        let scene = scene(rng, category);
        if !held_out(&scene) {
            return scene;
        }
    }
}

/// Drafts after which a category counts as exhausted: the smallest has a few held-out captions.
const DRAFTS_MAX: usize = 5000;

/// Up to `count` different held-out scenes, the categories in turn while they have more.
pub fn held_out_scenes(seed: u64, count: usize) -> Vec<(Category, Scene)> {
    let mut rng = Rng::new(seed);
    let mut scenes: Vec<(Category, Scene)> = Vec::with_capacity(count);
    let mut open = Category::ALL.to_vec();
    while scenes.len() < count && !open.is_empty() {
        open.retain(|&category| {
            let new = (0..DRAFTS_MAX)
                .map(|_| scene(&mut rng, category))
                .find(|scene| held_out(scene) && scenes.iter().all(|(_, known)| known != scene));
            let found = new.is_some();
            scenes.extend(new.map(|scene| (category, scene)));
            found
        });
    }
    scenes.truncate(count);
    scenes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest category has fewer than 30 held-out captions; asking for more once hung.
    #[test]
    fn many_held_out_scenes_are_found_and_differ() {
        let scenes = held_out_scenes(7, 200);
        assert_eq!(scenes.len(), 200);
        for (i, (_, scene)) in scenes.iter().enumerate() {
            assert!(held_out(scene));
            assert!(
                scenes[..i].iter().all(|(_, earlier)| earlier != scene),
                "{scene}"
            );
        }
    }
}
