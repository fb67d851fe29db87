//! Formats that are not safetensors, recognised by their first bytes, never by their names.

use super::Fault;

/// How much of a file is looked at.
pub(super) const PREFIX: usize = 512;

const PICKLE: &str = "convert it to safetensors where it came from (loading a pickle runs code, \
                      so this program never does)";
const CONVERT: &str = "use the safetensors file of the same model";
const FETCH: &str = "fetch the file itself again";

/// Where a mark stands, the mark, what it means, what to do.
const FORMATS: [(usize, &[u8], &str, &str); 25] = [
    (
        0,
        b"PK\x03\x04",
        "a zip archive, as PyTorch's .pt and .ckpt files are",
        PICKLE,
    ),
    (0, b"PK\x05\x06", "an empty zip archive", CONVERT),
    (0, b"(dp", "a Python pickle", PICKLE),
    (0, b"(lp", "a Python pickle", PICKLE),
    (0, b"ccollections\n", "a Python pickle", PICKLE),
    (0, b"ctorch", "a Python pickle", PICKLE),
    (0, b"cos\n", "a Python pickle", PICKLE),
    (0, b"cposix\n", "a Python pickle", PICKLE),
    (0, b"GGUF", "a GGUF file", CONVERT),
    (0, b"tjgg", "a GGML file", CONVERT),
    (0, b"lmgg", "a GGML file", CONVERT),
    (0, b"\x89HDF\r\n", "an HDF5 file, as Keras writes", CONVERT),
    (0, b"\x93NUMPY", "a NumPy array", CONVERT),
    (4, b"TFL3", "a TensorFlow Lite model", CONVERT),
    (0, b"\x1f\x8b", "a gzip file", "unpack it"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard file", "unpack it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it"),
    (257, b"ustar", "a tar archive", "unpack it"),
    (0, b"\x7fELF", "a program", CONVERT),
    (0, b"\x89PNG", "a PNG picture", CONVERT),
    (
        0,
        b"version https://git-lfs",
        "a Git LFS pointer, not the file it points to",
        FETCH,
    ),
    (0, b"<!DOCTYPE", "a web page", FETCH),
    (0, b"<!doctype", "a web page", FETCH),
    (0, b"<html", "a web page", FETCH),
    (
        0,
        b"{",
        "JSON text, such as a configuration or an index of shards",
        CONVERT,
    ),
];

/// What the file is and what to do, if its first bytes say so.
fn find(prefix: &[u8]) -> Option<(&'static str, &'static str)> {
    let marked = |at: usize, mark: &[u8]| prefix.get(at..).is_some_and(|p| p.starts_with(mark));
    let known = FORMATS.iter().find(|(at, mark, ..)| marked(*at, mark));
    let pickle = || matches!(prefix, [0x80, 1..=5, ..]).then_some(("a Python pickle", PICKLE));
    // A protocol buffer whose field 1 (`ir_version`) is small and whose next is a string.
    let onnx = || {
        let start = matches!(prefix, [0x08, 1..=20, 0x12 | 0x3a, ..]);
        start.then_some(("an ONNX model", CONVERT))
    };
    known
        .map(|(.., found, advice)| (*found, *advice))
        .or_else(pickle)
        .or_else(onnx)
}

/// Whether the first bytes are another format's.
pub(super) fn is_known(prefix: &[u8]) -> bool {
    find(prefix).is_some()
}

/// The refusal of a file that is not safetensors.
pub(super) fn recognise(prefix: &[u8]) -> Fault {
    let unknown = if prefix.len() <= 8 {
        ("an empty or cut file", FETCH)
    } else {
        ("of an unknown format", CONVERT)
    };
    let (found, advice) = find(prefix).unwrap_or(unknown);
    Fault::Format { found, advice }
}
