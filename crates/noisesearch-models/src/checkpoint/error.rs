//! What can be wrong with the folder of a model.

use crate::weights::WeightsError;
use std::io;
use std::path::PathBuf;

/// A model whose files cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Not the folder of a model.
    #[error(
        "{} is no model folder: it has no model_index.json; name one as diffusers saves it, or a \
         .safetensors file",
        .0.display()
    )]
    NoIndex(PathBuf),
    /// A component that the model needs and the folder lacks.
    #[error("{model} has no `{component}`; add that folder from where the model came from")]
    NoComponent {
        /// The model.
        model: String,
        /// The component.
        component: String,
    },
    /// A component that the model does not have, so that another in its place would do nothing.
    #[error("{model} has no part `{component}` that could be replaced; it has {parts}")]
    NotAPart {
        /// The model.
        model: String,
        /// The component.
        component: String,
        /// What it has.
        parts: String,
    },
    /// A file that holds other components than the one it shall replace.
    #[error("{} has no {component}; it holds {holds}", file.display())]
    NotIn {
        /// The file.
        file: PathBuf,
        /// The component.
        component: String,
        /// What it holds.
        holds: String,
    },
    /// A file that a component needs.
    #[error("{} has no {name}; fetch it from where the model came from", folder.display())]
    NoFile {
        /// The component's folder.
        folder: PathBuf,
        /// The file.
        name: String,
    },
    /// No weights in a component's folder.
    #[error(
        "{} has no weights; fetch its .safetensors file from where the model came from",
        .0.display()
    )]
    NoWeights(PathBuf),
    /// Several files, none of the usual name.
    #[error("{} has several .safetensors files ({files}); keep the one that shall be used",
        folder.display())]
    Ambiguous {
        /// The component's folder.
        folder: PathBuf,
        /// The files.
        files: String,
    },
    /// The file system failed.
    #[error("{} cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A text file larger than any of its kind.
    #[error("{} has {bytes} bytes; at most {limit} are read of such a file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The largest that is read.
        limit: u64,
    },
    /// A text file that is not the JSON it should be.
    #[error("{} is not what it should be: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// An index that names something other than a file beside it.
    #[error("{} names the shard {name:?}, which is no name of a file beside it", path.display())]
    ShardName {
        /// The index.
        path: PathBuf,
        /// What it names.
        name: String,
    },
    /// An index whose shard is not there.
    #[error("{} names the shard {name}, which is not there; fetch it", path.display())]
    NoShard {
        /// The index.
        path: PathBuf,
        /// The shard.
        name: String,
    },
    /// A reference of the hub's cache that names no commit.
    #[error("{} names no commit; download the model again", .0.display())]
    Commit(PathBuf),
    /// A link of the hub's cache that leaves its repository.
    #[error("{} leads out of its repository, so it is not followed", .0.display())]
    Outside(PathBuf),
    /// The weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

impl CheckpointError {
    /// Whether something is not there, as after half a download.
    pub fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::NoIndex(_)
                | Self::NoComponent { .. }
                | Self::NoFile { .. }
                | Self::NoWeights(_)
                | Self::NoShard { .. }
        )
    }
}
