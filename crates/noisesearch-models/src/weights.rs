//! The one door for model files: safetensors by content, within limits, every key used once.
//!
//! The header is parsed here, because two rules must hold before a map is built or memory for
//! tensors is taken: no key twice, and the tensors cover the file's bytes exactly. Tensors are
//! read when they are taken, so the most that is held is one of them.

mod fault;
mod foreign;
mod header;
mod layouts;
mod store;

use crate::limits::MISSING_NUMBERS_MAX;
use candle_core::{Device, Tensor};
pub use fault::{Fault, KeyList, WeightsError};
use half::{bf16, f16};
use header::{Dtype, Entry};
pub use layouts::{Contents, Layout};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
pub use store::Hashes;
use store::{Opened, Store};

/// A model of one or more files whose layout is checked and whose tensors are taken one by one.
#[derive(Debug)]
pub struct Weights {
    /// What it is as a whole.
    name: String,
    /// The files, each with its name.
    stores: Vec<(String, Store)>,
    entries: BTreeMap<String, Entry>,
    taken: BTreeSet<String>,
    missing: BTreeSet<String>,
    /// How many numbers stand in for what is missing.
    missing_numbers: usize,
    hash: String,
}

impl Weights {
    /// Weights that are part of the program, or were made by it.
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self, WeightsError> {
        let name = "weights in memory";
        Self::one(name.into(), Store::memory(bytes.into()))
    }

    /// Opens a file: its header is checked, then all of it is hashed.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        Self::open_known(path, &Hashes::default())
    }

    /// Opens a file, which is hashed only if it is not known yet.
    pub fn open_known(path: &Path, hashes: &Hashes) -> Result<Self, WeightsError> {
        Self::one(path.display().to_string(), Store::open(path, hashes))
    }

    /// Opens the shards of a model `name` as one. A key in two of them is an error.
    pub fn open_shards(
        name: &str,
        paths: &[PathBuf],
        hashes: &Hashes,
    ) -> Result<Self, WeightsError> {
        let mut all = Self::empty(name.to_owned());
        let mut hasher = blake3::Hasher::new();
        for path in paths {
            let mut shard = Self::open_known(path, hashes)?;
            hasher.update(shard.hash.as_bytes());
            let store = all.stores.len();
            for (key, mut entry) in shard.entries {
                entry.store = store;
                if let Some(before) = all.entries.insert(key.clone(), entry) {
                    let other = all.stores[before.store].0.clone();
                    let fault = Fault::InTwo { name: key, other };
                    let file = shard.name;
                    return Err(WeightsError { file, fault });
                }
            }
            all.stores.append(&mut shard.stores);
        }
        all.hash = hasher.finalize().to_hex().to_string();
        Ok(all)
    }

    /// Weights of these names and shapes without any values, in a number format of safetensors:
    /// all are zero, and layers hold no memory for them. For asking a network what it takes. `None`
    /// if there is no such format.
    pub fn hollow<'a>(
        dtype: &str,
        tensors: impl IntoIterator<Item = (&'a String, &'a Vec<usize>)>,
    ) -> Option<Self> {
        let dtype = Dtype::named(dtype)?;
        let mut all = Self::empty("names and shapes".into());
        all.stores = vec![("names and shapes".into(), Store::Hollow)];
        let entry = |(name, shape): (&'a String, &'a Vec<usize>)| {
            (name.clone(), Entry::hollow(dtype, shape))
        };
        all.entries = tensors.into_iter().map(entry).collect();
        Some(all)
    }

    fn empty(name: String) -> Self {
        Self {
            name,
            stores: vec![],
            entries: BTreeMap::new(),
            taken: BTreeSet::new(),
            missing: BTreeSet::new(),
            missing_numbers: 0,
            hash: String::new(),
        }
    }

    fn one(name: String, opened: Result<Opened, Fault>) -> Result<Self, WeightsError> {
        match opened {
            Ok(opened) => Ok(Self {
                stores: vec![(name.clone(), opened.store)],
                entries: opened.entries,
                hash: opened.hash.to_hex().to_string(),
                ..Self::empty(name)
            }),
            Err(fault) => Err(WeightsError { file: name, fault }),
        }
    }

    /// A component of a model under the names of diffusers, out of a file of any known layout.
    pub fn component(mut self, component: &str) -> Self {
        let layout = Layout::of(self.entries.keys().map(String::as_str));
        self.entries = match layout {
            Layout::Diffusers => layouts::modern(self.entries),
            other => other.component(component, self.entries),
        };
        self
    }

    /// Names and shapes that were not taken yet, in the order of names.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[u64])> {
        let entries = self.entries.iter();
        entries.map(|(name, entry)| (name.as_str(), entry.shape.as_slice()))
    }

    /// Whether there are names and shapes only.
    pub(crate) fn is_hollow(&self) -> bool {
        matches!(self.stores.as_slice(), [(_, Store::Hollow)])
    }

    /// BLAKE3 in hexadecimal: of the whole file, or of the hashes of all shards in order; of a
    /// checkpoint's component also of the small files beside it.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The same weights under another hash, which covers what decides how they are used.
    pub(crate) fn known_as(self, hash: String) -> Self {
        Self { hash, ..self }
    }

    /// Whether a tensor `name` is there and not taken yet.
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Takes tensor `name`, which must have `shape`, widened from F32, F16 or BF16; row-major.
    /// A missing tensor is remembered for [`Self::finish`], so that it can name them all; until
    /// then it is NaN, so that a model whose loading was not finished never passes for one.
    pub fn take_vec(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        self.take_decoded(name, shape, widening)
    }

    /// [`Self::take_vec`] in f64, which is also read from F64: statistics need its digits.
    pub fn take_f64(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f64>, WeightsError> {
        self.take_decoded(name, shape, widening_to_f64)
    }

    fn take_decoded<T: Number>(
        &mut self,
        name: &str,
        shape: &[usize],
        widening: Widening<T>,
    ) -> Result<Vec<T>, WeightsError> {
        self.take_values(name, shape, widening)
            .map_err(|(store, fault)| WeightsError {
                file: store.map_or(&self.name, |at| &self.stores[at].0).clone(),
                fault,
            })
    }

    /// The values, or what is wrong and in which file, where it is one's fault.
    fn take_values<T: Number>(
        &mut self,
        name: &str,
        shape: &[usize],
        widening: Widening<T>,
    ) -> Result<Vec<T>, (Option<usize>, Fault)> {
        if self.taken.contains(name) {
            return Err((None, Fault::TakenTwice { name: name.into() }));
        }
        let Some(entry) = self.entries.remove(name) else {
            self.missing.insert(name.into());
            return self.stand_in(shape).map_err(|fault| (None, fault));
        };
        self.taken.insert(name.into());
        let store = entry.store;
        self.values(name, entry, shape, widening)
            .map_err(|fault| (Some(store), fault))
    }

    /// NaNs for a missing tensor, or an error when that is too many of them.
    fn stand_in<T: Number>(&mut self, shape: &[usize]) -> Result<Vec<T>, Fault> {
        let count = shape.iter().try_fold(1, |n: usize, &d| n.checked_mul(d));
        let all = count.and_then(|n| n.checked_add(self.missing_numbers));
        match (count, all.filter(|all| *all <= MISSING_NUMBERS_MAX)) {
            (Some(count), Some(all)) => {
                self.missing_numbers = all;
                Ok(vec![T::from(f32::NAN); count])
            }
            _ => Err(self.keys()),
        }
    }

    fn values<T: Number>(
        &mut self,
        name: &str,
        entry: Entry,
        shape: &[usize],
        widening: Widening<T>,
    ) -> Result<Vec<T>, Fault> {
        if !entry.has_shape(shape) {
            return Err(Fault::Shape {
                name: name.into(),
                found: entry.shape,
                wanted: shape.to_vec(),
            });
        }
        let Some(widen) = widening(entry.dtype.name()) else {
            return Err(Fault::Dtype {
                name: name.into(),
                dtype: entry.dtype.name(),
            });
        };
        if self.is_hollow() {
            return Ok(vec![T::from(0.0); shape.iter().product()]);
        }
        let (mut values, count) = (Vec::new(), shape.iter().product());
        let memory = |_| Fault::Memory {
            bytes: (size_of::<T>() * count) as u64,
        };
        values.try_reserve_exact(count).map_err(memory)?;
        let store = &mut self.stores[entry.store].1;
        store.each(&entry.pieces, &mut |bytes| widen(bytes, &mut values))?;
        if entry.turned {
            values = transposed(&values, shape);
        }
        match values.iter().position(|&v| !v.into().is_finite()) {
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

    /// Ends loading: nothing was missing and every tensor was taken, or an error that lists both;
    /// and the files are those that were hashed.
    pub fn finish(self) -> Result<(), WeightsError> {
        for (file, store) in &self.stores {
            let file = file.clone();
            store
                .unchanged()
                .map_err(|fault| WeightsError { file, fault })?;
        }
        if self.missing.is_empty() && self.entries.is_empty() {
            return Ok(());
        }
        Err(WeightsError {
            fault: self.keys(),
            file: self.name,
        })
    }

    /// What is missing so far and what was not taken yet.
    fn keys(&self) -> Fault {
        let list = |what, names| KeyList { what, names };
        Fault::Keys {
            missing: list("missing", self.missing.iter().cloned().collect()),
            unexpected: list("unexpected", self.entries.keys().cloned().collect()),
        }
    }

    /// A tensor under prefix `at` that a device did not take.
    pub(crate) fn device_error(&self, at: &str, source: candle_core::Error) -> WeightsError {
        let (at, source) = (at.to_owned(), Box::new(source));
        WeightsError {
            file: self.name.clone(),
            fault: Fault::Device { at, source },
        }
    }
}

/// A matrix of `shape` from the values of its transpose.
fn transposed<T: Copy>(values: &[T], shape: &[usize]) -> Vec<T> {
    let &[rows, columns] = shape else {
        return values.to_vec();
    };
    let at = |i: usize| values[i % columns * rows + i / columns];
    (0..values.len()).map(at).collect()
}

/// What values become: f32 or f64.
trait Number: Copy + From<f32> + Into<f64> {}
impl Number for f32 {}
impl Number for f64 {}

/// Adds the values of little-endian bytes.
type Widen<T> = fn(&[u8], &mut Vec<T>);

/// How a number format is read; `None` for one that is not.
type Widening<T> = fn(&str) -> Option<Widen<T>>;

fn widening<T: Number>(dtype: &str) -> Option<Widen<T>> {
    match dtype {
        "F16" => Some(|bytes, into| {
            let halves = bytes.chunks_exact(2);
            into.extend(halves.map(|b| T::from(f16::from_le_bytes([b[0], b[1]]).to_f32())));
        }),
        "BF16" => Some(|bytes, into| {
            let halves = bytes.chunks_exact(2);
            into.extend(halves.map(|b| T::from(bf16::from_le_bytes([b[0], b[1]]).to_f32())));
        }),
        "F32" => Some(|bytes, into| {
            let words = bytes.chunks_exact(4);
            into.extend(words.map(|b| T::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))));
        }),
        _ => None,
    }
}

fn widening_to_f64(dtype: &str) -> Option<Widen<f64>> {
    match dtype {
        "F64" => Some(|bytes, into| {
            let word = |b: &[u8]| [b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]];
            let words = bytes.chunks_exact(8);
            into.extend(words.map(|b| f64::from_le_bytes(word(b))));
        }),
        other => widening(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(dtype: &str, data: &[u8]) -> Weights {
        let (size, end) = (data.len() / if dtype == "F64" { 8 } else { 4 }, data.len());
        let header =
            format!(r#"{{"w":{{"dtype":"{dtype}","shape":[{size}],"data_offsets":[0,{end}]}}}}"#);
        let length = (header.len() as u64).to_le_bytes();
        Weights::from_bytes([&length, header.as_bytes(), data].concat()).unwrap()
    }

    #[test]
    fn f64_is_read_where_it_is_asked_for() {
        let (third, infinite) = (1.0f64 / 3.0, f64::INFINITY);
        let wide = [third, f64::MIN_POSITIVE].map(f64::to_le_bytes).concat();
        let mut weights = of("F64", &wide);
        let read = weights.take_f64("w", &[2]).unwrap();
        assert_eq!(read, [third, f64::MIN_POSITIVE]);
        weights.finish().unwrap();
        let narrow = of("F64", &wide).take_vec("w", &[2]).unwrap_err();
        assert!(matches!(narrow.fault, Fault::Dtype { dtype: "F64", .. }));
        let single = of("F32", &0.1f32.to_le_bytes()).take_f64("w", &[1]);
        assert_eq!(single.unwrap(), [f64::from(0.1f32)]);
        let damaged = [third, infinite].map(f64::to_le_bytes).concat();
        let damaged = of("F64", &damaged).take_f64("w", &[2]).unwrap_err();
        assert!(matches!(damaged.fault, Fault::NonFinite { element: 1, .. }));
        let missing = of("F64", &wide).take_f64("x", &[1]).unwrap();
        assert!(missing[0].is_nan());
    }
}
