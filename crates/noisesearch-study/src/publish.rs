//! From the rows of studies to their reports and the page of findings.

use crate::error::StudyError;
use crate::findings;
use crate::plan::{Cell, Plan};
use crate::population::Population;
use crate::report::{self, Study};
use crate::row::Row;
use crate::samples::first_of_each;
use noisesearch::picture::Picture;
use noisesearch::registry::Registry;
use std::collections::BTreeMap;
use std::path::Path;

/// Pixels of the longer side of a sample in a report, at most.
const SIDE_MAX: usize = 256;

/// Small pictures of the answers that a report shows.
pub struct Shelf {
    /// Places of the tasks that are shown.
    tasks: Vec<usize>,
    pictures: BTreeMap<Key, Vec<u8>>,
}

/// Arm, point, task and seed of an answer.
type Key = (String, usize, String, u64);

fn key(row: &Row) -> Key {
    (row.arm.clone(), row.point, row.task.clone(), row.seed)
}

impl Shelf {
    /// An empty one for the tasks of a plan.
    pub fn new(plan: &Plan) -> Self {
        let tasks = plan.tasks.iter();
        let tasks = first_of_each(tasks.map(|task| (task.text.as_str(), task.category.as_deref())));
        Self {
            tasks,
            pictures: BTreeMap::new(),
        }
    }

    /// Whether the report shows this cell's answer: its task is shown and its seed the first.
    pub fn wants(&self, plan: &Plan, cell: &Cell) -> bool {
        let seed = (cell.place / plan.settings.len()) % plan.seeds as usize;
        seed == 0 && self.tasks.contains(&cell.task)
    }

    /// Keeps a picture of an answer.
    pub fn put(&mut self, row: &Row, picture: &Picture) -> Result<(), StudyError> {
        self.pictures
            .insert(key(row), thumbnail(picture).to_png(&[])?);
        Ok(())
    }
}

/// The mean of blocks of whole pixels, so that the longer side is at most [`SIDE_MAX`].
fn thumbnail(picture: &Picture) -> Picture {
    let factor = picture.width.max(picture.height).div_ceil(SIDE_MAX).max(1);
    let (width, height) = (picture.width / factor, picture.height / factor);
    let channels = picture.channels;
    let mut pixels = Vec::with_capacity(width * height * channels);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..channels {
                let block = (0..factor * factor).map(|at| {
                    let (dx, dy) = (at % factor, at / factor);
                    let pixel = (y * factor + dy) * picture.width + x * factor + dx;
                    usize::from(picture.pixels[pixel * channels + channel])
                });
                pixels.push((block.sum::<usize>() / (factor * factor)) as u8);
            }
        }
    }
    Picture {
        width,
        height,
        channels,
        pixels,
    }
}

/// A study that ended, with what its pages need.
pub struct Ended<'a> {
    plan: &'a Plan,
    rows: Vec<Row>,
    population: Option<Population>,
}

impl<'a> Ended<'a> {
    /// Finds what sets of answers of the study's model are measured against.
    pub fn new(plan: &'a Plan, rows: Vec<Row>, registry: &Registry) -> Result<Self, StudyError> {
        let population = match plan.settings.first() {
            Some(first) if rows.iter().any(|row| !row.features.is_empty()) => {
                Population::of(&first.spec, registry)?
            }
            _ => None,
        };
        Ok(Self {
            plan,
            rows,
            population,
        })
    }

    fn study(&self) -> Study<'_> {
        Study {
            stem: &self.plan.name,
            folder: self.plan.path.parent().unwrap_or(Path::new("")),
            file: &self.plan.file,
            rows: &self.rows,
            population: self.population.as_ref(),
        }
    }

    /// Writes `report.html` and `figures/` into the study's directory.
    pub fn report(&self, directory: &Path, shelf: &Shelf) -> Result<(), StudyError> {
        let mut pictures = |row: &Row| shelf.pictures.get(&key(row)).cloned();
        Ok(report::write(&self.study(), directory, &mut pictures)?)
    }
}

/// Writes the findings of all studies to `path`, and their figures beside it.
pub fn findings(ended: &[Ended], path: &Path) -> Result<(), StudyError> {
    let studies: Vec<Study> = ended.iter().map(Ended::study).collect();
    Ok(findings::write(&studies, path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_pictures_shrink_to_means_of_blocks() {
        let value = |at: usize| (at % 600 / 300 * 100) as u8;
        let picture = Picture {
            width: 600,
            height: 300,
            channels: 1,
            pixels: (0..600 * 300).map(value).collect(),
        };
        let small = thumbnail(&picture);
        assert_eq!(
            (small.width, small.height, small.pixels.len()),
            (200, 100, 20_000)
        );
        assert_eq!((small.pixels[0], small.pixels[199]), (0, 100));
        let same = Picture {
            width: 2,
            height: 1,
            channels: 1,
            pixels: vec![1, 2],
        };
        assert_eq!(thumbnail(&same).pixels, [1, 2]);
    }
}
