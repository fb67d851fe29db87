//! What can be wrong with a model file.

use std::fmt;
use std::io;

/// Weights that cannot be used: which file, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {fault}")]
pub struct WeightsError {
    /// The path, or what the bytes are.
    pub file: String,
    /// What is wrong.
    #[source]
    pub fault: Fault,
}

/// What is wrong with a model file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file system failed.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A directory, pipe or device.
    #[error("is {found}, not a file; name the .safetensors file itself")]
    NotAFile {
        /// What it is.
        found: &'static str,
    },
    /// Shorter or longer than it was a moment ago.
    #[error("changed while it was read; try again when nothing writes to it")]
    Changed,
    /// No memory for a tensor.
    #[error("needs {bytes} bytes of memory for one tensor, more than there is")]
    Memory {
        /// Size of the tensor.
        bytes: u64,
    },
    /// A format that is not safetensors, recognised by its content.
    #[error("is {found}, not safetensors; {advice}")]
    Format {
        /// What it is.
        found: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// Something larger than this program reads.
    #[error("its {what} of {size} exceeds the limit of {limit}")]
    Limit {
        /// What is too large.
        what: &'static str,
        /// Its size.
        size: u64,
        /// The largest that is read.
        limit: u64,
    },
    /// Ends before what it announces.
    #[error("is cut short: {needed} bytes are announced, {found} are there; fetch it again")]
    Cut {
        /// Bytes that the header or the tensors need.
        needed: u64,
        /// Bytes of the file.
        found: u64,
    },
    /// A header that is not the JSON of the format.
    #[error("has a header that is not safetensors JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A key twice.
    #[error("names tensor `{name}` twice")]
    Duplicate {
        /// The key.
        name: String,
    },
    /// A key in two shards.
    #[error("holds tensor `{name}`, which {other} holds too; keep one of the two files")]
    InTwo {
        /// The key.
        name: String,
        /// The other file.
        other: String,
    },
    /// A number format that the format does not have.
    #[error("tensor `{name}` has the unknown number format `{dtype}`")]
    UnknownDtype {
        /// The key.
        name: String,
        /// As written.
        dtype: String,
    },
    /// A shape that does not fit the bytes given for it.
    #[error("tensor `{name}` of shape {shape:?} does not fit its bytes {begin}..{end}")]
    Extent {
        /// The key.
        name: String,
        /// As written.
        shape: Vec<u64>,
        /// First byte, from the end of the header.
        begin: u64,
        /// End of its bytes.
        end: u64,
    },
    /// A hole, an overlap, or bytes after the last tensor.
    #[error("has a hole or an overlap at data byte {at}: the next tensor starts at {next}")]
    Layout {
        /// Where the tensors before end.
        at: u64,
        /// Where the next one starts, or the data ends.
        next: u64,
    },
    /// A tensor of another shape than the model has.
    #[error("tensor `{name}` has shape {found:?}; the model needs {wanted:?}")]
    Shape {
        /// Its key.
        name: String,
        /// In the file.
        found: Vec<u64>,
        /// In the model.
        wanted: Vec<usize>,
    },
    /// A number format that models are not made of.
    #[error("tensor `{name}` holds {dtype}; F32, F16 and BF16 are read")]
    Dtype {
        /// Its key.
        name: String,
        /// Its number format.
        dtype: &'static str,
    },
    /// NaN or infinity among the weights.
    #[error("tensor `{name}` holds a non-finite value at element {element}: a damaged file")]
    NonFinite {
        /// Its key.
        name: String,
        /// First such element.
        element: usize,
    },
    /// A key asked for a second time.
    #[error("tensor `{name}` is used twice by the model")]
    TakenTwice {
        /// Its key.
        name: String,
    },
    /// A device that does not take the weights.
    #[error("cannot be moved to the device, at `{at}`: {source}")]
    Device {
        /// The prefix of the tensor.
        at: String,
        /// What the device says.
        source: Box<candle_core::Error>,
    },
    /// Keys that the model and the file do not share.
    #[error("is not this model: {missing}; {unexpected}")]
    Keys {
        /// What the model needs and the file lacks.
        missing: KeyList,
        /// What the file has and the model does not use.
        unexpected: KeyList,
    },
}

/// Sorted keys; shows the first few and how many there are.
#[derive(Debug)]
pub struct KeyList {
    /// `missing` or `unexpected`.
    pub(super) what: &'static str,
    /// The keys.
    pub names: Vec<String>,
}

impl fmt::Display for KeyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        let shown = self.names.len().min(SHOWN);
        write!(f, "{} {} keys", self.names.len(), self.what)?;
        if shown > 0 {
            write!(f, " ({}", self.names[..shown].join(", "))?;
            f.write_str(if self.names.len() > SHOWN {
                ", ...)"
            } else {
                ")"
            })?;
        }
        Ok(())
    }
}
