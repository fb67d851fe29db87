//! What pictures shall show: said by the caller, in a list, or by the pictures themselves.

use super::MeasureError;
use super::pictures::{Found, read_bounded};
use crate::limits::PROMPTS_BYTES_MAX;
use crate::record::Record;
use noisesearch_models::task::Task;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where it is said what a picture shall show.
#[derive(Clone, Debug, PartialEq)]
pub enum Tasks {
    /// The same for all.
    One(Task),
    /// By the file's name.
    Listed {
        /// The list.
        path: PathBuf,
        /// Task and category of every name.
        tasks: BTreeMap<String, (Task, Option<String>)>,
    },
    /// In the text that `noisesearch` writes into its pictures.
    Own,
}

/// Reads a list of prompts or classes, as `kind` makes tasks of them: a line is a picture's file
/// name, a tab, its prompt or class, and if there is one, a tab and a category.
pub fn read_tasks(path: &Path, kind: fn(String) -> Task) -> Result<Tasks, MeasureError> {
    let wrong = |line, problem| MeasureError::List {
        path: path.to_owned(),
        line,
        problem,
    };
    let text = String::from_utf8(read_bounded(path, PROMPTS_BYTES_MAX)?);
    let text = text.map_err(|_| wrong(1, "the list is no UTF-8 text"))?;
    let mut tasks = BTreeMap::new();
    for (at, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
    {
        let parts: Vec<&str> = line.split('\t').collect();
        let (name, subject, category) = match parts.as_slice() {
            [name, subject] => (*name, *subject, None),
            [name, subject, category] => (*name, *subject, Some((*category).to_owned())),
            _ => return Err(wrong(at + 1, "it is not NAME, a tab, PROMPT or CLASS")),
        };
        let said = (kind(subject.to_owned()), category);
        if tasks.insert(name.to_owned(), said).is_some() {
            return Err(wrong(at + 1, "its picture was named before"));
        }
    }
    let path = path.to_owned();
    Ok(Tasks::Listed { path, tasks })
}

impl Tasks {
    /// Task and category of a picture.
    pub(super) fn of(&self, found: &Found) -> Result<(Task, Option<String>), MeasureError> {
        match self {
            Self::One(task) => Ok((task.clone(), None)),
            Self::Listed { path, tasks } => {
                let name = found.path.file_name().unwrap_or_default();
                let name = name.to_string_lossy().into_owned();
                tasks.get(&name).cloned().ok_or_else(|| {
                    let path = path.clone();
                    MeasureError::Unlisted { path, name }
                })
            }
            Self::Own => {
                let task = Record::of(&found.texts).and_then(|record| record.task());
                let task = task.ok_or_else(|| MeasureError::NoTask {
                    path: found.path.clone(),
                })?;
                Ok((task, None))
            }
        }
    }
}
