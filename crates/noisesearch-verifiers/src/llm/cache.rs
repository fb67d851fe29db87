//! Grades on disk, so that a picture is paid for once and keeps its score on resume.
//!
//! One file a grade: a checksum, a space, the grade as JSON. A file that is damaged is not
//! believed; the picture is graded again.

use super::grade::{Grade, PROMPT_VERSION};
use crate::limits::LLM_CACHED_BYTES_MAX;
use noisesearch_models::task::Task;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

/// A folder of grades.
#[derive(Clone, Debug)]
pub struct Cache(PathBuf);

impl Cache {
    /// Grades in `folder`, which is made when the first one is kept.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// What a grade depends on, as a file name.
    pub fn key(image: &str, task: &Task, model: &str) -> String {
        let (kind, text) = match task {
            Task::Prompt(text) => ("prompt", text),
            Task::Class(text) => ("class", text),
        };
        let version = PROMPT_VERSION.to_string();
        let mut hasher = blake3::Hasher::new();
        for part in [image, kind, text, model, &version] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The grade that was kept under `key`, if it is undamaged.
    pub fn get(&self, key: &str) -> Option<Grade> {
        let file = File::open(self.0.join(key)).ok()?;
        let mut text = String::new();
        file.take(LLM_CACHED_BYTES_MAX)
            .read_to_string(&mut text)
            .ok()?;
        let (sum, json) = text.split_once(' ')?;
        if sum != checksum(key, json) {
            return None;
        }
        let grade: Grade = serde_json::from_str(json).ok()?;
        grade.is_legal().then_some(grade)
    }

    /// Keeps a grade under `key`.
    pub fn put(&self, key: &str, grade: &Grade) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)?;
        let json = serde_json::to_string(grade)?;
        let unfinished = self.0.join(format!("{key}.{}", std::process::id()));
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&unfinished)?;
        file.write_all(format!("{} {json}", checksum(key, &json)).as_bytes())?;
        std::fs::rename(unfinished, self.0.join(key))
    }
}

/// Of a grade under its key, so that a file that was moved is not believed either.
fn checksum(key: &str, json: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(key.as_bytes()).update(json.as_bytes());
    hasher.finalize().to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let name = format!("noisesearch-test-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn damage_is_not_believed() {
        let (folder, prompt) = (folder("grades"), Task::Prompt("a".into()));
        let cache = Cache::new(folder.clone());
        let key = Cache::key("picture", &prompt, "model");
        let grade = Grade {
            scores: [1.0, 2.5, 3.0, 4.0, 5.0, 100.0],
        };
        assert_eq!(cache.get(&key), None);
        cache.put(&key, &grade).unwrap();
        assert_eq!(cache.get(&key).as_ref(), Some(&grade));
        let bytes = std::fs::read(folder.join(&key)).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            std::fs::write(folder.join(&key), damaged).unwrap();
            assert_eq!(cache.get(&key), None, "byte {at}");
            std::fs::write(folder.join(&key), &bytes[..at]).unwrap();
            assert_eq!(cache.get(&key), None, "cut at {at}");
        }
        let other = Cache::key("other picture", &prompt, "model");
        std::fs::write(folder.join(&other), &bytes).unwrap();
        assert_eq!(cache.get(&other), None);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn every_part_of_a_key_counts() {
        let (a, b) = (Task::Prompt("a".into()), Task::Class("a".into()));
        let keys = [
            Cache::key("x", &a, "m"),
            Cache::key("y", &a, "m"),
            Cache::key("x", &b, "m"),
            Cache::key("x", &Task::Prompt("am".into()), ""),
            Cache::key("x", &a, "n"),
        ];
        for (i, key) in keys.iter().enumerate() {
            assert!(!keys[..i].contains(key));
        }
    }
}
