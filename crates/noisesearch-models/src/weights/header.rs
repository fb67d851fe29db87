//! The safetensors header: 8 bytes of length, JSON, then the tensors' bytes without a gap.

use super::{Fault, foreign};
use crate::limits::{HEADER_BYTES_MAX, TENSORS_MAX};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;

/// A number format of safetensors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dtype(&'static str, u64);

/// Names and bytes an element.
const DTYPES: [Dtype; 15] = [
    Dtype("BOOL", 1),
    Dtype("U8", 1),
    Dtype("I8", 1),
    Dtype("F8_E4M3", 1),
    Dtype("F8_E5M2", 1),
    Dtype("U16", 2),
    Dtype("I16", 2),
    Dtype("F16", 2),
    Dtype("BF16", 2),
    Dtype("U32", 4),
    Dtype("I32", 4),
    Dtype("F32", 4),
    Dtype("U64", 8),
    Dtype("I64", 8),
    Dtype("F64", 8),
];

impl Dtype {
    /// The one of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        DTYPES.into_iter().find(|dtype| dtype.0 == name)
    }

    pub(super) fn name(self) -> &'static str {
        self.0
    }
}

/// A tensor that [`validate`] has passed.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<u64>,
    /// Which of several files holds it.
    pub(super) store: usize,
    /// Its bytes, counted from the beginning of the file: one piece after the other.
    pub(super) pieces: Vec<Range<u64>>,
    /// Whether those bytes are the transposed matrix.
    pub(super) turned: bool,
}

impl Entry {
    /// A tensor of zeros that no file holds.
    pub(super) fn hollow(dtype: Dtype, shape: &[usize]) -> Self {
        let bytes = 0..dtype.1 * shape.iter().product::<usize>() as u64;
        Self {
            dtype,
            shape: shape.iter().map(|d| *d as u64).collect(),
            store: 0,
            pieces: vec![bytes],
            turned: false,
        }
    }

    pub(super) fn has_shape(&self, shape: &[usize]) -> bool {
        let same = |(a, b): (&u64, &usize)| *a == *b as u64;
        self.shape.len() == shape.len() && self.shape.iter().zip(shape).all(same)
    }
}

/// A tensor as the header describes it.
#[derive(Deserialize)]
struct Described {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// The header's tensors in file order, keys possibly twice, at most one more than the limit.
struct Header(Vec<(String, Described)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Tensors;
        impl<'de> Visitor<'de> for Tensors {
            type Value = Header;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut tensors = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<HashMap<String, String>>()?;
                    } else if tensors.len() > TENSORS_MAX {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        tensors.push((name, map.next_value()?));
                    }
                }
                Ok(Header(tensors))
            }
        }
        from.deserialize_map(Tensors)
    }
}

/// Where the header of a file of `size` bytes ends, from its first [`foreign::PREFIX`] bytes.
pub(super) fn end(prefix: &[u8], size: u64) -> Result<u64, Fault> {
    let length = prefix.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let is_json = prefix.get(8) == Some(&b'{');
    match length {
        Some(length) if is_json && length <= HEADER_BYTES_MAX && 8 + length <= size => {
            Ok(8 + length)
        }
        Some(length) if is_json && !foreign::is_known(prefix) => {
            if length > HEADER_BYTES_MAX {
                return Err(Fault::Limit {
                    what: "header length in bytes",
                    size: length,
                    limit: HEADER_BYTES_MAX,
                });
            }
            Err(Fault::Cut {
                needed: 8 + length,
                found: size,
            })
        }
        _ => Err(foreign::recognise(prefix)),
    }
}

/// The tensors of a file of `size` bytes, of which `bytes` is the beginning or all.
pub(super) fn parse(bytes: &[u8], size: u64) -> Result<BTreeMap<String, Entry>, Fault> {
    let end = end(&bytes[..bytes.len().min(foreign::PREFIX)], size)?;
    let json = bytes.get(8..end as usize).ok_or(Fault::Changed)?;
    let Header(tensors) = serde_json::from_slice(json)?;
    validate(tensors, end, size)
}

/// Every rule of the layout, in one place.
fn validate(
    mut tensors: Vec<(String, Described)>,
    start: u64,
    size: u64,
) -> Result<BTreeMap<String, Entry>, Fault> {
    if tensors.len() > TENSORS_MAX {
        return Err(Fault::Limit {
            what: "number of tensors",
            size: tensors.len() as u64,
            limit: TENSORS_MAX as u64,
        });
    }
    tensors.sort_by_key(|(_, tensor)| tensor.data_offsets);
    let (mut at, mut entries) = (0, BTreeMap::new());
    for (name, tensor) in tensors {
        let (begin, end) = tensor.data_offsets;
        let Some(dtype) = DTYPES.into_iter().find(|d| d.0 == tensor.dtype) else {
            let dtype = tensor.dtype;
            return Err(Fault::UnknownDtype { name, dtype });
        };
        let bytes = tensor
            .shape
            .iter()
            .try_fold(dtype.1, |n, d| n.checked_mul(*d));
        let shape = tensor.shape;
        if bytes.is_none() || end.checked_sub(begin) != bytes {
            return Err(Fault::Extent {
                name,
                shape,
                begin,
                end,
            });
        }
        if begin != at {
            return Err(Fault::Layout { at, next: begin });
        }
        if end > size - start {
            let needed = start.saturating_add(end);
            return Err(Fault::Cut {
                needed,
                found: size,
            });
        }
        at = end;
        let bytes = start + begin..start + end;
        if entries.contains_key(&name) {
            return Err(Fault::Duplicate { name });
        }
        entries.insert(
            name,
            Entry {
                dtype,
                shape,
                store: 0,
                pieces: vec![bytes],
                turned: false,
            },
        );
    }
    if at != size - start {
        return Err(Fault::Layout {
            at,
            next: size - start,
        });
    }
    Ok(entries)
}
