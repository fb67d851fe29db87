//! The files of a tokenizer's folder.

use super::TextError;
use crate::checkpoint::{Checkpoint, CheckpointError};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Files that name special tokens.
pub(super) const NAMING: [&str; 2] = ["tokenizer_config.json", "special_tokens_map.json"];

/// Further tokens by name, in folders of early versions of transformers.
pub(super) const ADDED: &str = "added_tokens.json";

/// The file that has everything, for folders without the others.
pub(super) const WHOLE: &str = "tokenizer.json";

/// Contents of a tokenizer's files, by name.
#[derive(Clone, Debug, Default)]
pub struct Files(BTreeMap<&'static str, Vec<u8>>);

impl Files {
    /// Of contents that are at hand.
    pub fn new(files: impl IntoIterator<Item = (&'static str, Vec<u8>)>) -> Self {
        Self(files.into_iter().collect())
    }

    /// Reads a component's files: those of `vocabulary`, or else `tokenizer.json`.
    pub(super) fn read(
        checkpoint: &Checkpoint,
        component: &str,
        vocabulary: &[&'static str],
    ) -> Result<Self, CheckpointError> {
        let mut files = Self::default();
        let mut read = |name| match checkpoint.file(component, name) {
            Ok(Some(bytes)) => Ok(files.0.insert(name, bytes).is_none()),
            Ok(None) => Ok(false),
            Err(error) => Err(error),
        };
        for name in NAMING.into_iter().chain([ADDED]) {
            read(name)?;
        }
        let mut all = true;
        for name in vocabulary {
            all &= read(name)?;
        }
        if !all {
            read(WHOLE)?;
        }
        Ok(files)
    }

    /// The content of a file.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// A file read as JSON.
    pub(super) fn json<T: DeserializeOwned>(
        &self,
        file: &'static str,
    ) -> Result<Option<T>, TextError> {
        let read = |bytes| serde_json::from_slice(bytes);
        let read = self.get(file).map(read).transpose();
        read.map_err(|source| TextError::Json { file, source })
    }
}
