//! What recipes gave, once and for all: a candidate is a recipe, so its outcome is a function of
//! the recipe, the view and the context in which it was made, whoever asks for it.
//!
//! ```text
//! line 1    {"known":1}
//! line 2..  a context and the outcomes that were made in it together; one line, one sync
//! ```
//!
//! Lines are chained as those of a journal ([`noisesearch_core::chain`]): a torn last line is
//! dropped, loudly, anything else is damage and refused. So growing budgets that ask for the same
//! recipes share them, other objectives share them, and a study that was killed goes on.

use crate::error::StudyError;
use crate::limits::{KNOWN_LINE_MAX, KNOWN_MAX};
use noisesearch::disk::Directory;
use noisesearch_core::chain::{ChainError, Head, Reader, line};
use noisesearch_core::disk::{Disk, DiskError};
use noisesearch_core::job::{Outcome, View};
use noisesearch_core::journal::{Fingerprint, outcome};
use noisesearch_core::recipe::RecipeId;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// The file's name.
pub const KNOWN: &str = "known.jsonl";
/// Version of its format.
const FORMAT: u32 = 1;

/// What a recipe gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The recipe.
    pub recipe: RecipeId,
    /// What of it was scored.
    pub view: View,
    /// Scores in the order of the context's verifiers, or the failure.
    #[serde(with = "outcome")]
    pub outcome: Outcome,
    /// Features of the picture, all finite; empty where nobody describes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<f32>,
    /// Its share of the seconds that its batch took.
    pub seconds: f64,
}

/// In which context something was made, in this store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Context(usize);

/// One line after the first.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    context: String,
    made: Vec<Known>,
}

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    known: u32,
}

/// Known outcomes, on the disk and in memory. Holds the directory's lock.
pub struct Store {
    directory: Directory,
    contexts: HashMap<String, Context>,
    names: Vec<String>,
    outcomes: HashMap<(Context, RecipeId, View), Known>,
    head: Head,
    len: u64,
    failed: bool,
}

impl Store {
    /// Opens the store of a directory, or begins one. The second value is what a person should be
    /// told, if anything.
    ///
    /// # Errors
    /// When another process works there, and when the store is damaged; then it is left as it is.
    pub fn open(path: &Path) -> Result<(Self, Option<String>), StudyError> {
        let failed = |source| disk_error(path, source);
        let directory = Directory::ensure(path).map_err(failed)?;
        directory.lock().map_err(failed)?;
        let bytes = directory.read(KNOWN, KNOWN_MAX).map_err(failed)?;
        let mut store = Self {
            directory,
            contexts: HashMap::new(),
            names: Vec::new(),
            outcomes: HashMap::new(),
            head: Head::default(),
            len: 0,
            failed: false,
        };
        let Some(mut bytes) = bytes else {
            let first = First { known: FORMAT };
            let (line, head) = line(store.head, &first, KNOWN_LINE_MAX).map_err(damage(path))?;
            store.put_whole(&line, head)?;
            return Ok((store, None));
        };
        let (head, whole) = store.read(path, &bytes)?;
        let dropped = bytes.len() - whole;
        bytes.truncate(whole);
        store.put_whole(&bytes, head)?;
        let notice = format!(
            "{KNOWN} ended in an incomplete line (interrupted write): dropped {dropped} bytes; \
             what they said is computed again"
        );
        Ok((store, (dropped > 0).then_some(notice)))
    }

    /// Takes in the whole lines; returns their checksum and their bytes.
    fn read(&mut self, path: &Path, bytes: &[u8]) -> Result<(Head, usize), StudyError> {
        let damage = damage(path);
        let mut reader = Reader::new(bytes, KNOWN_LINE_MAX);
        let first: Option<First> = reader.read().map_err(&damage)?;
        let first = first.ok_or_else(|| damage(reader.damaged()))?;
        if first.known != FORMAT {
            return Err(StudyError::KnownFormat {
                path: path.join(KNOWN),
                found: first.known,
            });
        }
        while let Some(batch) = reader.read::<Batch>().map_err(&damage)? {
            let context = self.named(batch.context);
            self.take(context, batch.made);
        }
        reader.end::<Batch>().map_err(&damage)
    }

    fn put_whole(&mut self, bytes: &[u8], head: Head) -> Result<(), StudyError> {
        let put = self.directory.replace(KNOWN, bytes);
        put.map_err(|source| disk_error(self.directory.path(), source))?;
        (self.head, self.len) = (head, bytes.len() as u64);
        Ok(())
    }

    /// The context that decides outcomes as `print` says.
    pub fn context(&mut self, print: &Fingerprint) -> Result<Context, StudyError> {
        let hash = blake3::hash(&serde_json::to_vec(print)?).to_hex();
        Ok(self.named(hash.chars().take(32).collect()))
    }

    fn named(&mut self, name: String) -> Context {
        if let Some(&context) = self.contexts.get(&name) {
            return context;
        }
        let context = Context(self.names.len());
        self.names.push(name.clone());
        self.contexts.insert(name, context);
        context
    }

    /// What a recipe gave in a context, if it is known.
    pub fn get(&self, context: Context, recipe: RecipeId, view: View) -> Option<&Known> {
        self.outcomes.get(&(context, recipe, view))
    }

    /// Makes outcomes durable, then known.
    ///
    /// # Errors
    /// After any disk error every later call fails: nothing is tried again.
    pub fn add(&mut self, context: Context, made: Vec<Known>) -> Result<(), StudyError> {
        if made.is_empty() {
            return Ok(());
        }
        let path = self.directory.path().to_owned();
        let failed = |source| disk_error(&path, source);
        let batch = Batch {
            context: self.names[context.0].clone(),
            made,
        };
        let (line, head) = line(self.head, &batch, KNOWN_LINE_MAX).map_err(damage(&path))?;
        let len = self.len + line.len() as u64;
        if self.failed {
            return Err(StudyError::Halted(path.join(KNOWN)));
        }
        if len > KNOWN_MAX {
            return Err(failed(DiskError::TooLarge {
                name: KNOWN.to_owned(),
                size: len,
                limit: KNOWN_MAX,
            }));
        }
        self.failed = true;
        self.directory.append(KNOWN, &line).map_err(failed)?;
        self.directory.sync(KNOWN).map_err(failed)?;
        (self.failed, self.head, self.len) = (false, head, len);
        self.take(context, batch.made);
        Ok(())
    }

    fn take(&mut self, context: Context, made: Vec<Known>) {
        for known in made {
            self.outcomes
                .insert((context, known.recipe, known.view), known);
        }
    }
}

fn damage(path: &Path) -> impl Fn(ChainError) -> StudyError {
    let path = path.join(KNOWN);
    move |source| StudyError::Known {
        path: path.clone(),
        source,
    }
}

/// A disk error with the directory where it happened.
pub fn disk_error(path: &Path, source: DiskError) -> StudyError {
    StudyError::Disk {
        directory: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use noisesearch_core::job::{Failure, Scores};
    use noisesearch_core::recipe::Recipe;
    use std::path::PathBuf;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("known-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        path
    }

    fn known(root: u64, score: f64) -> Known {
        let moves = Vec::new();
        Known {
            recipe: Recipe { root, moves }.id(),
            view: View::Final,
            outcome: Outcome::Scored(Scores::new(vec![score, 0.1 + 0.2]).unwrap()),
            features: vec![0.1, 1e-30, -3.5],
            seconds: 0.25,
        }
    }

    fn print(name: &str) -> Fingerprint {
        let mut print = Fingerprint::default();
        print.set("name", name).unwrap();
        print
    }

    #[test]
    fn what_is_known_is_known_again_and_only_in_its_context() {
        let path = scratch("again");
        let failed = Known {
            outcome: Outcome::Failed(Failure::NonFinite { evaluation: 3 }),
            view: View::Preview,
            features: vec![],
            ..known(1, 0.0)
        };
        let made = vec![known(1, 7.0), known(2, 1.0 / 3.0), failed];
        {
            let (mut store, _) = Store::open(&path).unwrap();
            let context = store.context(&print("a")).unwrap();
            store.add(context, made.clone()).unwrap();
        }
        let (mut store, notice) = Store::open(&path).unwrap();
        assert_eq!(notice, None);
        let context = store.context(&print("a")).unwrap();
        for known in &made {
            assert_eq!(store.get(context, known.recipe, known.view), Some(known));
        }
        let other = store.context(&print("b")).unwrap();
        assert_eq!(store.get(other, made[0].recipe, View::Final), None);
        assert_eq!(store.get(context, made[1].recipe, View::Preview), None);
        assert!(matches!(
            Store::open(&path),
            Err(StudyError::Disk {
                source: DiskError::Locked { .. },
                ..
            })
        ));
        std::fs::remove_dir_all(path).unwrap();
    }

    /// Regression: it said that the file was too large.
    #[test]
    fn after_a_failed_write_nothing_is_added_and_the_reason_is_said() {
        let path = scratch("halted");
        let (mut store, _) = Store::open(&path).unwrap();
        let context = store.context(&print("a")).unwrap();
        let file = path.join(KNOWN);
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        let mut add = |root| store.add(context, vec![known(root, 1.0)]).unwrap_err();
        assert!(matches!(add(1), StudyError::Disk { .. }));
        let error = add(2);
        let text = error.to_string();
        assert!(text.contains("an earlier write failed"), "{text}");
        assert!(!text.contains("at most"), "{text}");
        assert_eq!(error.kind(), noisesearch::ErrorKind::Failed);
        drop(store);
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_torn_line_is_dropped_and_damage_is_refused() {
        let path = scratch("torn");
        let add = |root| {
            let (mut store, notice) = Store::open(&path).unwrap();
            let context = store.context(&print("a")).unwrap();
            store.add(context, vec![known(root, 1.0)]).unwrap();
            notice
        };
        drop([add(1), add(2)]);
        let file = path.join(KNOWN);
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, &whole[..whole.len() - 9]).unwrap();
        assert!(add(3).unwrap().contains("incomplete line"));
        let (mut store, _) = Store::open(&path).unwrap();
        let context = store.context(&print("a")).unwrap();
        let there = [1, 2, 3].map(|root| {
            let recipe = known(root, 0.0).recipe;
            store.get(context, recipe, View::Final).is_some()
        });
        assert_eq!(there, [true, false, true]);
        drop(store);
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[60] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        let error = Store::open(&path).err().unwrap();
        assert_eq!(error.kind(), noisesearch::ErrorKind::Damaged);
        let text = error.to_string();
        assert!(
            text.contains("damaged at line 2") && text.contains(KNOWN),
            "{text}"
        );
        assert_eq!(std::fs::read(&file).unwrap(), bytes, "it is left as it is");
        std::fs::remove_dir_all(path).unwrap();
    }
}
