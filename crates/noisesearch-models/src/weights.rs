//! The one door for model files: safetensors by content, within limits, every key used once.
//!
//! The header is parsed here, because two rules must hold before a map is built or memory for
//! tensors is taken: no key twice, and the tensors cover the file's bytes exactly.

mod foreign;
mod header;

use crate::limits::FILE_BYTES_MAX;
use candle_core::{Device, Tensor};
use half::{bf16, f16};
use header::Entry;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

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
    /// No memory for the file.
    #[error("needs {bytes} bytes of memory, more than there is")]
    Memory {
        /// Size of the file.
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
    what: &'static str,
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

/// A model file whose layout is checked and whose tensors are taken one by one.
#[derive(Debug)]
pub struct Weights {
    file: String,
    bytes: Cow<'static, [u8]>,
    entries: BTreeMap<String, Entry>,
    taken: BTreeSet<String>,
    missing: BTreeSet<String>,
    hash: String,
}

impl Weights {
    /// Weights that are part of the program, or were made by it.
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self, WeightsError> {
        Self::checked("weights in memory".into(), bytes.into())
    }

    /// Reads a file. Its header is checked before the rest is read.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let file = path.display().to_string();
        match read(path) {
            Ok(bytes) => Self::checked(file, bytes.into()),
            Err(fault) => Err(WeightsError { file, fault }),
        }
    }

    fn checked(file: String, bytes: Cow<'static, [u8]>) -> Result<Self, WeightsError> {
        match header::parse(&bytes, bytes.len() as u64) {
            Ok(entries) => Ok(Self {
                hash: blake3::hash(&bytes).to_hex().to_string(),
                file,
                bytes,
                entries,
                taken: BTreeSet::new(),
                missing: BTreeSet::new(),
            }),
            Err(fault) => Err(WeightsError { file, fault }),
        }
    }

    /// BLAKE3 of the whole file in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Whether a tensor `name` is there and not taken yet.
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Takes tensor `name`, which must have `shape`, widened from F32, F16 or BF16; row-major.
    /// A missing tensor is remembered for [`Self::finish`], so that it can name them all; until
    /// then it is NaN, so that a model whose loading was not finished never passes for one.
    pub fn take_vec(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        self.take_values(name, shape)
            .map_err(|fault| self.error(fault))
    }

    fn take_values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Fault> {
        if self.taken.contains(name) {
            return Err(Fault::TakenTwice { name: name.into() });
        }
        let Some(entry) = self.entries.remove(name) else {
            self.missing.insert(name.into());
            return Ok(vec![f32::NAN; shape.iter().product()]);
        };
        self.taken.insert(name.into());
        if !entry.has_shape(shape) {
            return Err(Fault::Shape {
                name: name.into(),
                found: entry.shape,
                wanted: shape.to_vec(),
            });
        }
        let Some(values) = widen(&self.bytes[entry.range], entry.dtype.name()) else {
            return Err(Fault::Dtype {
                name: name.into(),
                dtype: entry.dtype.name(),
            });
        };
        match values.iter().position(|v| !v.is_finite()) {
            Some(element) => Err(Fault::NonFinite {
                name: name.into(),
                element,
            }),
            None => Ok(values),
        }
    }

    /// [`Self::take_vec`] as a tensor on the CPU.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, WeightsError> {
        let values = self.take_vec(name, shape)?;
        // Invariant: `take_vec` returns as many values as `shape` holds.
        Ok(Tensor::from_vec(values, shape, &Device::Cpu).expect("as many values as the shape"))
    }

    /// Passes over every tensor whose name starts with `prefix`: a part of a published file that
    /// a model deliberately leaves unused, such as the encoder beside a decoder.
    pub fn skip(&mut self, prefix: &str) {
        self.entries.retain(|name, _| !name.starts_with(prefix));
    }

    /// Ends loading: nothing was missing and every tensor was taken, or an error that lists both.
    pub fn finish(self) -> Result<(), WeightsError> {
        if self.missing.is_empty() && self.entries.is_empty() {
            return Ok(());
        }
        let list = |what, names| KeyList { what, names };
        Err(WeightsError {
            file: self.file,
            fault: Fault::Keys {
                missing: list("missing", self.missing.into_iter().collect()),
                unexpected: list("unexpected", self.entries.into_keys().collect()),
            },
        })
    }

    /// A tensor under prefix `at` that a device did not take.
    pub(crate) fn device_error(&self, at: &str, source: candle_core::Error) -> WeightsError {
        let (at, source) = (at.to_owned(), Box::new(source));
        self.error(Fault::Device { at, source })
    }

    fn error(&self, fault: Fault) -> WeightsError {
        WeightsError {
            file: self.file.clone(),
            fault,
        }
    }
}

/// The f32 values of little-endian bytes; `None` for a number format that is not read.
fn widen(bytes: &[u8], dtype: &str) -> Option<Vec<f32>> {
    let half = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]);
    let halves = bytes.chunks_exact(2);
    match dtype {
        "F16" => Some(halves.map(|b| f16::from_bits(half(b)).to_f32()).collect()),
        "BF16" => Some(halves.map(|b| bf16::from_bits(half(b)).to_f32()).collect()),
        "F32" => {
            let words = bytes.chunks_exact(4);
            Some(
                words
                    .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                    .collect(),
            )
        }
        _ => None,
    }
}

/// The bytes of a regular file whose header fits its length.
fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    let kind = std::fs::metadata(path)?;
    if !kind.is_file() {
        let found = if kind.is_dir() {
            "a directory"
        } else {
            "a pipe or device"
        };
        return Err(Fault::NotAFile { found });
    }
    let mut file = File::open(path)?;
    let size = kind.len();
    if size > FILE_BYTES_MAX {
        return Err(Fault::Limit {
            what: "length in bytes",
            size,
            limit: FILE_BYTES_MAX,
        });
    }
    let mut bytes = Vec::new();
    (&mut file)
        .take(foreign::PREFIX as u64)
        .read_to_end(&mut bytes)?;
    let head = header::end(&bytes, size)?;
    (&mut file)
        .take(head.saturating_sub(bytes.len() as u64))
        .read_to_end(&mut bytes)?;
    header::parse(&bytes, size)?;
    let rest = size.saturating_sub(bytes.len() as u64) as usize;
    let memory = |_| Fault::Memory { bytes: size };
    bytes.try_reserve_exact(rest + 1).map_err(memory)?;
    file.take(rest as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != size {
        return Err(Fault::Changed);
    }
    Ok(bytes)
}
