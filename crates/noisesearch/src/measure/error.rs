//! Why pictures cannot be judged.

use crate::ErrorKind;
use crate::picture::PictureError;
use crate::registry::OpenError;
use crate::spec::SpecError;
use noisesearch_core::disk::DiskError;
use noisesearch_models::weights::WeightsError;
use noisesearch_verifiers::metrics::MetricError;
use noisesearch_verifiers::metrics::archive::ArchiveError;
use std::io;
use std::path::PathBuf;

/// Why pictures cannot be judged. Nothing is judged in part: a file that is refused is named.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// A name that there is not, or weights for something that is not used.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A verifier whose weights cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file system failed.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A pipe or device.
    #[error("{} is no file and no folder", path.display())]
    NotAFile {
        /// What was given.
        path: PathBuf,
    },
    /// A file larger than any of its kind.
    #[error("{} has {size} bytes; at most {limit} are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// The largest that is read.
        limit: u64,
    },
    /// A folder without pictures.
    #[error("{} holds no PNG{}", path.display(), converted(*.others))]
    NoPictures {
        /// The folder.
        path: PathBuf,
        /// Pictures in it that are not read, such as JPEG.
        others: usize,
    },
    /// A file that is not a picture that is read.
    #[error("{}: {source}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PictureError,
    },
    /// A picture of which nobody said what it shall show.
    #[error(
        "{} does not say what it shall show; give --prompt or --class, or a list by --prompts or \
         --classes",
        path.display()
    )]
    NoTask {
        /// The picture.
        path: PathBuf,
    },
    /// A line of a list of prompts or classes that is none.
    #[error("{} line {line}: {problem}", path.display())]
    List {
        /// The list.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A picture that the list does not name.
    #[error("{} has no line for {name}; write NAME, a tab, PROMPT or CLASS", path.display())]
    Unlisted {
        /// The list.
        path: PathBuf,
        /// The picture's file name.
        name: String,
    },
    /// A verifier that compares two states of a generation.
    #[error(
        "verifier {name} compares a picture with what it was during its generation, which a file \
         does not hold; it judges in `noisesearch generate` only"
    )]
    Early {
        /// The verifier.
        name: String,
    },
    /// A verifier or describer that failed on a picture.
    #[error("{name} on {}: {source}", path.display())]
    Judge {
        /// Who failed.
        name: String,
        /// The first picture of those it was shown together.
        path: PathBuf,
        /// Why.
        source: Box<candle_core::Error>,
    },
    /// As many scores as there were pictures did not come.
    #[error("verifier {name} gave {given} scores for {pictures} pictures")]
    Scores {
        /// The verifier.
        name: String,
        /// Scores.
        given: usize,
        /// Pictures.
        pictures: usize,
    },
    /// A file of weights or statistics that cannot be used.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A network that is not here.
    #[error(
        "the features of {name} need its network; give --weights {name}=FILE, made by\n  \
         python scripts/convert_inception.py network pt_inception-2015-12-05-6726825d.pth FOLDER\n\
         pictures of the lab's glyphs are described with --features glyphs"
    )]
    NoNetwork {
        /// The describer.
        name: &'static str,
    },
    /// An archive of numpy without usable statistics.
    #[error("{}: {source}", path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ArchiveError,
    },
    /// Sets that different networks described.
    #[error("{left} and {right} were described by different networks; describe both with one")]
    Describers {
        /// The one set.
        left: String,
        /// The other.
        right: String,
    },
    /// Sets that cannot be measured.
    #[error("{name}: {source}")]
    Metric {
        /// Which set, or which two.
        name: String,
        /// Why.
        source: MetricError,
    },
    /// Statistics that cannot be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: DiskError,
    },
}

fn converted(others: usize) -> String {
    match others {
        0 => String::new(),
        n => format!(", but {n} other pictures; convert them to 8-bit grey or RGB PNG"),
    }
}

impl MeasureError {
    /// What a program should make of it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Spec(_)
            | Self::NoTask { .. }
            | Self::Unlisted { .. }
            | Self::Early { .. }
            | Self::NotAFile { .. }
            | Self::NoNetwork { .. }
            | Self::NoPictures { .. } => ErrorKind::Usage,
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                ErrorKind::Usage
            }
            Self::Read { .. } | Self::Write { .. } | Self::Scores { .. } => ErrorKind::Failed,
            Self::Open(_)
            | Self::TooLarge { .. }
            | Self::Picture { .. }
            | Self::List { .. }
            | Self::Judge { .. }
            | Self::Weights(_)
            | Self::Archive { .. }
            | Self::Describers { .. }
            | Self::Metric { .. } => ErrorKind::Refused,
        }
    }
}
