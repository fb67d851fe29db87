//! `clip-class`: CLIP as a classifier that was never shown the classes (Radford et al. 2021, arXiv
//! 2103.00020, section 3.1.4), for models that are asked for a class.
//!
//! ```text
//! t     = unit(mean over templates of unit(text(template with the class)))
//! score = exp(logit_scale) cos(image, t)
//! ```
//!
//! The score is the logit, not the probability, as Ma et al. 2025 (arXiv 2501.09732) select by.
//! Preprocessing is that of [`super::clipscore`].

use super::space::Space;
use super::{Entry, Opened, class_of, finite, id};
use crate::verifier::{Samples, Verifier, VerifierId};
use candle_core::Result;
use noisesearch_models::models::dit::imagenet;
use noisesearch_models::task::Task;
use std::path::Path;

/// What the registry says of it.
pub const ENTRY: Entry = Entry {
    name: "clip-class",
    about: "zero-shot logit of the class; about 10 to 35",
    repository: super::clipscore::ENTRY.repository,
    file: super::clipscore::ENTRY.file,
    bytes: super::clipscore::ENTRY.bytes,
    licence: super::clipscore::ENTRY.licence,
    open,
};

/// The seven templates that CLIP's authors found to do nearly as well as their eighty; `{}` is the
/// class.
const TEMPLATES: &str = include_str!("templates.txt");

/// Opens a folder of transformers' `CLIPModel`.
pub fn open(folder: &Path) -> Opened {
    let space = Space::open(folder)?;
    let id = id(ENTRY.name, space.hash(), 1);
    Ok(Box::new(ClipClass { id, space }))
}

struct ClipClass {
    id: VerifierId,
    space: Space,
}

impl Verifier for ClipClass {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn score(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let class = class_of(task, ENTRY.name)?;
        let cosines = self.space.cosines(&texts(class), samples.images)?;
        let logits = cosines.iter().map(|cos| self.space.scale() * cos);
        finite(ENTRY.name, logits.collect())
    }
}

/// Every template with the class in it: the first name of ImageNet's class of this number or name,
/// else the words as they are.
fn texts(class: &str) -> Vec<String> {
    let known = imagenet::class(class).ok().and_then(imagenet::name);
    let class = known.unwrap_or(class);
    let templates = TEMPLATES.lines().filter(|line| !line.is_empty());
    templates.map(|line| line.replace("{}", class)).collect()
}

#[cfg(test)]
mod tests {
    use super::texts;

    #[test]
    fn a_class_stands_in_every_template() {
        for class in ["31", "tree frog", "Tree_Frog"] {
            let texts = texts(class);
            assert_eq!(texts.len(), 7);
            assert_eq!(texts[1], "a bad photo of the tree frog.");
            let whole = |text: &String| text.contains(" tree frog") && !text.contains('{');
            assert!(texts.iter().all(whole));
        }
        assert_eq!(texts("Smurf")[5], "art of the Smurf.");
    }
}
