//! Answers as images, in the layouts that public scorers read.
//!
//! ```text
//! images/ARM@POINT/00000/metadata.jsonl     GenEval (github.com/djghosh13/geneval,
//!                  00000/samples/0000.png   evaluation/evaluate_images.py): folders of digits, one
//!                                           object that has `prompt` and `tag`, a PNG a seed
//! images/ARM@POINT/samples/PROMPT_000000.png    T2I-CompBench (github.com/Karine-Huang/
//!                                           T2I-CompBench, BLIPvqa_eval/BLIP_vqa.py): the prompt
//!                                           up to the first `_`, a number after the last one
//! ```
//!
//! The folder of a point is what both scorers are given.

use crate::cell::Answer;
use crate::error::StudyError;
use crate::known::disk_error;
use crate::maker::Maker;
use crate::plan::{Cell, Plan};
use noisesearch::disk::Directory;
use noisesearch::picture::Picture;
use noisesearch_core::disk::Disk;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Bytes of a file's name that come from a prompt: with number and ending it stays below 255.
const NAME_BYTES_MAX: usize = 200;
/// Bytes of an image that is read back.
const IMAGE_BYTES_MAX: u64 = 64 << 20;
/// The text chunk that says what an image is.
const KEY: &str = "noisesearch";

/// The images of one study.
pub struct Gallery<'a> {
    path: PathBuf,
    plan: &'a Plan,
}

impl<'a> Gallery<'a> {
    /// Below a study's directory; nothing is made yet.
    pub fn new(study: &Path, plan: &'a Plan) -> Self {
        let path = study.join("images");
        Self { path, plan }
    }

    /// Writes the answer of a cell, unless it is there.
    pub fn add(&self, cell: &Cell, answer: &Answer, maker: &mut Maker) -> Result<(), StudyError> {
        let seed = (cell.place / self.plan.settings.len()) % self.plan.seeds as usize;
        let number = cell.task * self.plan.seeds as usize + seed;
        let row = &answer.row;
        let point = self.path.join(plain(&format!("{}@{}", row.arm, row.point)));
        let geneval = point.join(format!("{:05}", cell.task));
        let metadata = serde_json::to_vec(&self.metadata(cell.task))?;
        put(&geneval, "metadata.jsonl", &metadata)?;
        let samples = geneval.join("samples");
        let name = format!("{seed:04}.png");
        let says = format!("{} of {} {:?}", answer.recipe, cell.spec.model, row.scores);
        let bytes = match written(&samples, &name, &says)? {
            Some(bytes) => bytes,
            None => {
                let Some(picture) = maker.picture(&answer.recipe)? else {
                    return Ok(());
                };
                let bytes = picture.to_png(&[(KEY.to_owned(), says)])?;
                put(&samples, &name, &bytes)?;
                bytes
            }
        };
        let name = format!("{}_{number:06}.png", plain(&row.task));
        put(&point.join("samples"), &name, &bytes)
    }

    /// The object of a task: that of its JSON line, or its prompt and category.
    fn metadata(&self, task: usize) -> Map<String, Value> {
        let prompt = &self.plan.tasks[task];
        let mut object = prompt.object.clone().unwrap_or_default();
        object.insert("prompt".into(), prompt.text.clone().into());
        if let Some(category) = &prompt.category {
            object
                .entry("tag")
                .or_insert_with(|| category.clone().into());
        }
        object
    }
}

/// The bytes of an image that is there and says the same.
fn written(folder: &Path, name: &str, says: &str) -> Result<Option<Vec<u8>>, StudyError> {
    let bytes = Directory::new(folder).read(name, IMAGE_BYTES_MAX);
    let bytes = bytes.map_err(|source| disk_error(folder, source))?;
    Ok(bytes.filter(|bytes| {
        let texts = Picture::from_png(bytes).map(|(_, texts)| texts);
        texts.is_ok_and(|texts| texts.iter().any(|(key, text)| key == KEY && text == says))
    }))
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), StudyError> {
    let directory = Directory::ensure(folder).and_then(|there| there.put(name, bytes));
    directory.map_err(|source| disk_error(folder, source))
}

/// Text as part of a file's name: without what a path, or the scorer that reads it back, would
/// take for something else.
fn plain(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for letter in text.chars() {
        let letter = if letter == '_' || letter == '/' || letter.is_control() {
            ' '
        } else {
            letter
        };
        if name.len() + letter.len_utf8() > NAME_BYTES_MAX {
            break;
        }
        name.push(letter);
    }
    match name.trim_start_matches('.').is_empty() {
        true => "unnamed".to_owned(),
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_become_names_that_the_scorer_splits_again() {
        let prompt = "a red_and/or blue bowl.";
        let name = format!("{}_{:06}.png", plain(prompt), 17);
        assert_eq!(name, "a red and or blue bowl._000017.png");
        // As T2I-CompBench does it.
        assert_eq!(name.split('_').next().unwrap(), "a red and or blue bowl.");
        let number = name
            .split('_')
            .next_back()
            .unwrap()
            .split('.')
            .next()
            .unwrap();
        assert_eq!(number.parse::<u32>().unwrap(), 17);
        assert_eq!(plain(".."), "unnamed");
        assert!(plain(&"ä".repeat(300)).len() <= NAME_BYTES_MAX);
    }
}
