//! The door for model files against hostile ones (reliability row S2): each is refused with an
//! error that names the file and the rule, and nothing panics.

use half::{bf16, f16};
use noisesearch_models::limits::{HEADER_BYTES_MAX, TENSORS_MAX};
use noisesearch_models::weights::{Fault, Weights};
use safetensors::tensor::{Dtype, TensorView, serialize};
use std::fs::File;
use std::path::PathBuf;

/// A file with this header and data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// A header entry.
fn tensor(name: &str, dtype: &str, shape: &str, begin: u64, end: u64) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
}

/// A header of one tensor `w`.
fn one(dtype: &str, shape: &str, begin: u64, end: u64) -> String {
    format!("{{{}}}", tensor("w", dtype, shape, begin, end))
}

/// A file of one f32 tensor `w` of two elements.
fn pair(values: [f32; 2]) -> Vec<u8> {
    let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    file(&format!("{{{}}}", tensor("w", "F32", "[2]", 0, 8)), &data)
}

fn open(bytes: Vec<u8>) -> Result<Weights, Fault> {
    Weights::from_bytes(bytes).map_err(|error| {
        assert_eq!(
            error.to_string(),
            format!("weights in memory: {}", error.fault)
        );
        error.fault
    })
}

/// Refused with a fault whose words hold each of `says`.
#[track_caller]
fn refused(bytes: Vec<u8>, says: &[&str]) -> Fault {
    let fault = open(bytes).expect_err("must be refused");
    let text = fault.to_string();
    assert!(
        says.iter().all(|s| text.contains(s)),
        "{text:?} lacks one of {says:?}"
    );
    fault
}

/// A folder of this test's own that goes away with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("noisesearch-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn what_the_reference_writes_is_read_and_widened() {
    let values = [0.0_f32, -1.5, 3.25e-3, 640.0, 6.1e-5, -0.25];
    let halves: Vec<u8> = values
        .iter()
        .flat_map(|v| f16::from_f32(*v).to_le_bytes())
        .collect();
    let brains: Vec<u8> = values
        .iter()
        .flat_map(|v| bf16::from_f32(*v).to_le_bytes())
        .collect();
    let floats: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let view = |dtype, bytes| TensorView::new(dtype, vec![2, 3], bytes).unwrap();
    let tensors = [
        ("a.f16", view(Dtype::F16, &halves)),
        ("b.bf16", view(Dtype::BF16, &brains)),
        ("c.f32", view(Dtype::F32, &floats)),
    ];
    let about = [("made".to_owned(), "by a test".to_owned())];
    let bytes = serialize(tensors, Some(about.into_iter().collect())).unwrap();
    let mut weights = open(bytes.clone()).unwrap();
    assert_eq!(weights.hash(), blake3::hash(&bytes).to_hex().as_str());
    assert!(weights.has("a.f16") && !weights.has("x"));
    assert_eq!(weights.take_vec("c.f32", &[2, 3]).unwrap(), values);
    let half = values.map(|v| f16::from_f32(v).to_f32());
    assert_eq!(weights.take_vec("a.f16", &[2, 3]).unwrap(), half);
    let brain = weights.take("b.bf16", &[2, 3]).unwrap();
    assert_eq!(brain.dims(), [2, 3]);
    let brain: Vec<f32> = brain.flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(brain, values.map(|v| bf16::from_f32(v).to_f32()));
    weights.finish().unwrap();
}

#[test]
fn every_key_is_used_once_or_listed() {
    let header = ["a", "b", "c"].map(|n| tensor(n, "F32", "[]", 0, 0));
    let header: Vec<String> = (0..3)
        .map(|i| header[i].replace("[0,0]", &format!("[{},{}]", 4 * i, 4 * i + 4)))
        .collect();
    let bytes = file(&format!("{{{}}}", header.join(",")), &[0; 12]);
    let mut weights = open(bytes).unwrap();
    assert_eq!(weights.take_vec("b", &[]).unwrap(), [0.0]);
    let twice = weights.take_vec("b", &[]).unwrap_err();
    assert!(matches!(twice.fault, Fault::TakenTwice { .. }), "{twice}");
    for name in ["y", "x"] {
        let value = weights.take_vec(name, &[2]).unwrap();
        assert!(value.len() == 2 && value.iter().all(|v| v.is_nan()));
    }
    let error = weights.finish().unwrap_err();
    let text =
        "weights in memory: is not this model: 2 missing keys (x, y); 2 unexpected keys (a, c)";
    assert_eq!(error.to_string(), text);
    match error.fault {
        Fault::Keys {
            missing,
            unexpected,
        } => assert_eq!(
            (missing.names, unexpected.names.len()),
            (vec!["x".into(), "y".into()], 2)
        ),
        other => panic!("{other}"),
    }
}

#[test]
fn a_tensor_must_be_the_model_s() {
    let take = |bytes, shape: &[usize]| open(bytes).unwrap().take_vec("w", shape).unwrap_err();
    let error = take(pair([1.0, 2.0]), &[1, 2]);
    let text = "weights in memory: tensor `w` has shape [2]; the model needs [1, 2]";
    assert_eq!(error.to_string(), text);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = take(pair([1.0, value]), &[2]);
        assert!(
            matches!(error.fault, Fault::NonFinite { element: 1, .. }),
            "{error}"
        );
    }
    for (dtype, infinity) in [("F16", 0x7c00_u16), ("BF16", 0x7f80), ("F16", 0x7e00)] {
        let bytes = file(
            &format!("{{{}}}", tensor("w", dtype, "[1]", 0, 2)),
            &infinity.to_le_bytes(),
        );
        assert!(matches!(
            take(bytes, &[1]).fault,
            Fault::NonFinite { element: 0, .. }
        ));
    }
    for (dtype, bytes) in [
        ("F64", 8),
        ("I64", 8),
        ("U8", 1),
        ("BOOL", 1),
        ("F8_E4M3", 1),
    ] {
        let header = format!("{{{}}}", tensor("w", dtype, "[1]", 0, bytes));
        let error = take(file(&header, &vec![0; bytes as usize]), &[1]);
        assert!(matches!(error.fault, Fault::Dtype { .. }), "{error}");
    }
}

#[test]
fn foreign_formats_are_known_by_content() {
    let mut tar = vec![b'a'; 600];
    tar[257..262].copy_from_slice(b"ustar");
    let formats: [(&[u8], &str); 26] = [
        (b"\x80\x02}q\x00X\x01\x00\x00\x00", "a Python pickle"),
        (
            b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
            "a Python pickle",
        ),
        (
            b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00",
            "a Python pickle",
        ),
        (
            b"\x80\x05\x95\x00\x00\x00\x00\x00\x00\x00\x00",
            "a Python pickle",
        ),
        (b"cos\nsystem\n(S'echo'\ntR.", "a Python pickle"),
        (b"cposix\nsystem\n(S'echo'\ntR.", "a Python pickle"),
        (b"ctorch._utils\n_rebuild", "a Python pickle"),
        (b"ccollections\nOrderedDict\n", "a Python pickle"),
        (b"(dp0\nS'a'\np1\n", "a Python pickle"),
        (
            b"PK\x03\x04\x00\x00\x08\x08archive/data.pkl",
            "a zip archive",
        ),
        (b"PK\x05\x06\x00\x00\x00\x00\x00\x00", "an empty zip"),
        (
            b"GGUF\x03\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff",
            "a GGUF file",
        ),
        (b"GGUF\x03\x00\x00\x00{", "a GGUF file"),
        (b"tjgg\x03\x00\x00\x00\x00\x00", "a GGML file"),
        (b"\x08\x07\x12\x07pytorch\x1a\x052.4.0", "an ONNX model"),
        (b"\x89HDF\r\n\x1a\n\x00\x00", "an HDF5 file"),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", "a NumPy array"),
        (b"\x1c\x00\x00\x00TFL3\x14\x00", "a TensorFlow Lite model"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", "a gzip file"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04\x00\x00", "a 7-Zip archive"),
        (&tar, "a tar archive"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "a Git LFS pointer",
        ),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"{\"architectures\": []}", "JSON text"),
        (b"\x7fELF\x02\x01\x01\x00\x00\x00", "a program"),
        (b"certainly not any model", "of an unknown format"),
    ];
    let folder = Folder::new("foreign");
    for (content, name) in formats {
        let fault = refused(content.to_vec(), &["is ", name, ", not safetensors; "]);
        assert!(matches!(fault, Fault::Format { .. }));
        for suffix in ["safetensors", "pt", "gguf", "bin"] {
            let path = folder.write(&format!("model.{suffix}"), content);
            let error = Weights::open(&path).unwrap_err().to_string();
            assert!(
                error.starts_with(path.to_str().unwrap()) && error.contains(name),
                "{error}"
            );
        }
    }
}

/// A length whose first bytes are a pickle's is no pickle, whatever the suffix.
#[test]
fn safetensors_is_known_by_content_too() {
    let header = format!("{{{}}}", tensor("w", "F32", "[1]", 0, 4));
    let header = format!("{header:<width$}", width = 0x0280);
    let bytes = file(&header, &[0; 4]);
    assert_eq!(bytes[..2], [0x80, 0x02]);
    let folder = Folder::new("suffix");
    let path = folder.write("model.pt", &bytes);
    let mut weights = Weights::open(&path).unwrap();
    assert_eq!(weights.take_vec("w", &[1]).unwrap(), [0.0]);
    weights.finish().unwrap();
}

#[test]
fn lengths_that_lie_are_refused() {
    for cut in 0..8 {
        refused(vec![0; cut], &["empty or cut"]);
    }
    refused(file("", &[]), &["empty or cut"]);
    refused(file("", b"{}"), &["EOF"]);
    refused(vec![0; 4096], &["of an unknown format"]);
    for length in [
        1 << 63,
        u64::MAX,
        u64::MAX - 7,
        100_000_001,
        HEADER_BYTES_MAX + 1,
    ] {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(b"{\"w\":{}}");
        let fault = refused(bytes, &["header length", &length.to_string(), "16777216"]);
        assert!(matches!(fault, Fault::Limit { .. }));
    }
    let mut bytes = 7_u64.to_le_bytes().to_vec();
    bytes.extend(b"{\"w\"");
    let fault = refused(bytes, &["cut short: 15 bytes", "12 are there"]);
    assert!(matches!(fault, Fault::Cut { .. }));
}

#[test]
fn every_cut_of_a_good_file_is_refused() {
    let whole = pair([1.0, 2.0]);
    let folder = Folder::new("cut");
    for length in 0..whole.len() {
        open(whole[..length].to_vec()).expect_err("cut in memory");
        let path = folder.write("cut.safetensors", &whole[..length]);
        Weights::open(&path).expect_err("cut on disk");
    }
    let mut weights = Weights::open(&folder.write("whole.safetensors", &whole)).unwrap();
    assert_eq!(weights.take_vec("w", &[2]).unwrap(), [1.0, 2.0]);
}

#[test]
fn headers_that_are_not_the_format_s_json_are_refused() {
    let deep = format!("{{\"w\":{}", "[".repeat(10_000));
    let nested = format!(
        "{{\"w\":{}1{}}}",
        "{\"a\":".repeat(10_000),
        "}".repeat(10_000)
    );
    let entry = tensor("w", "F32", "[1]", 0, 4);
    let headers = [
        deep,
        nested,
        "{".into(),
        "{\"w\":1}".into(),
        "{\"w\":null}".into(),
        "{\"w\":{\"dtype\":\"F32\",\"shape\":[1]}}".into(),
        "{\"w\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}".into(),
        "{\"w\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}".into(),
        "{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}".into(),
        "{\"w\":{\"dtype\":\"F32\",\"shape\":[1e30],\"data_offsets\":[0,4]}}".into(),
        "{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,99999999999999999999]}}"
            .into(),
        format!("{{\"__metadata__\":{{\"a\":1}},{entry}}}"),
        format!("{{\"__metadata__\":[],{entry}}}"),
        format!("{{{entry}}}}}"),
        format!("{{{entry}}}\u{0}"),
        format!("{{{entry},}}"),
        format!("{{{}}}", entry.replace("\"w\"", "\"\\ud800\"")),
    ];
    for header in headers {
        let fault = refused(file(&header, &[0; 4]), &["not safetensors JSON", "column"]);
        assert!(matches!(fault, Fault::Json(_)));
    }
    let mut latin = file(&format!("{{{entry}}}"), &[0; 4]);
    latin[10] = 0xff;
    refused(latin, &["not safetensors JSON"]);
}

#[test]
fn layouts_that_do_not_cover_the_data_exactly_are_refused() {
    let two = |a: [u64; 2], b: [u64; 2]| {
        let (a, b) = (
            tensor("a", "F32", "[1]", a[0], a[1]),
            tensor("b", "F32", "[1]", b[0], b[1]),
        );
        format!("{{{a},{b}}}")
    };
    let layout = |header: &str, data: usize, at: &str| {
        let fault = refused(file(header, &vec![0; data]), &["hole or an overlap", at]);
        assert!(matches!(fault, Fault::Layout { .. }));
    };
    layout(&two([0, 4], [8, 12]), 12, "byte 4");
    layout(&two([0, 4], [2, 6]), 6, "byte 4");
    layout(&two([0, 4], [0, 4]), 4, "byte 4");
    layout(&two([4, 8], [8, 12]), 12, "byte 0");
    layout(&one("F32", "[1]", 0, 4), 5, "byte 4");
    layout("{}", 1, "byte 0");
    let extent = |header: &str, data: usize| {
        let fault = refused(
            file(header, &vec![0; data]),
            &["`w`", "does not fit its bytes"],
        );
        assert!(matches!(fault, Fault::Extent { .. }));
    };
    extent(&one("F32", "[2]", 0, 4), 4);
    extent(&one("F32", "[1]", 4, 0), 4);
    extent(&one("F32", "[4294967296,4294967296]", 0, 0), 0);
    extent(&one("F32", "[4611686018427387905]", 0, 4), 4);
    extent(&one("F64", "[2305843009213693952]", 0, 0), 0);
    extent(&one("F32", "[0,18446744073709551615,2]", 0, 4), 4);
    let cut = refused(file(&one("F32", "[25]", 0, 100), &[0; 4]), &["cut short"]);
    assert!(matches!(cut, Fault::Cut { .. }));
    let far = 1_u64 << 62;
    let wide = refused(
        file(&one("U8", &format!("[{far}]"), 0, far), &[0; 4]),
        &["cut short"],
    );
    assert!(matches!(wide, Fault::Cut { .. }));
    let all = refused(
        file(&one("U8", &format!("[{}]", u64::MAX), 0, u64::MAX), &[]),
        &["cut short"],
    );
    assert!(matches!(all, Fault::Cut { .. }));
    let unknown = refused(file(&one("F4", "[2]", 0, 1), &[0; 1]), &["`F4`"]);
    assert!(matches!(unknown, Fault::UnknownDtype { .. }));
}

#[test]
fn a_name_twice_is_refused() {
    let (a, b) = (
        tensor("w", "F32", "[1]", 0, 4),
        tensor("w", "F32", "[1]", 4, 8),
    );
    let fault = refused(file(&format!("{{{a},{b}}}"), &[0; 8]), &["`w` twice"]);
    assert!(matches!(fault, Fault::Duplicate { .. }));
    let escaped = b.replace("\"w\"", "\"\\u0077\"");
    refused(file(&format!("{{{a},{escaped}}}"), &[0; 8]), &["`w` twice"]);
}

#[test]
fn too_many_tensors_are_refused() {
    let empty = |i: usize| tensor(&i.to_string(), "F32", "[0]", 0, 0);
    let entries = |count| (0..count).map(empty).collect::<Vec<_>>().join(",");
    let most = file(&format!("{{{}}}", entries(TENSORS_MAX)), &[]);
    assert!(open(most).is_ok());
    let more = file(&format!("{{{}}}", entries(TENSORS_MAX + 1)), &[]);
    let fault = refused(more, &["number of tensors", "100001", "100000"]);
    assert!(matches!(fault, Fault::Limit { .. }));
}

#[test]
fn what_is_not_a_file_is_not_read() {
    let folder = Folder::new("kinds");
    let fault = |path: &str| Weights::open(&folder.0.join(path)).unwrap_err().fault;
    assert!(matches!(
        fault("."),
        Fault::NotAFile {
            found: "a directory"
        }
    ));
    assert!(matches!(fault("absent"), Fault::Io(_)));
    assert!(matches!(fault("a\0b"), Fault::Io(_)));
    let sparse = File::create(folder.0.join("sparse.safetensors")).unwrap();
    if sparse.set_len(1 << 40).is_ok() {
        assert!(matches!(fault("sparse.safetensors"), Fault::Limit { .. }));
    }
    sparse.set_len(1 << 33).unwrap();
    assert!(matches!(fault("sparse.safetensors"), Fault::Format { .. }));
}

/// A header that promises 1 GB, in a sparse file that has them, is refused for a hole before
/// memory is taken for them.
#[test]
fn nothing_is_allocated_before_the_layout_is_right() {
    use std::io::Write;
    let folder = Folder::new("promise");
    let mut promise = File::create(folder.0.join("promise.safetensors")).unwrap();
    let header = format!(
        "{{{}}}",
        tensor("w", "U8", "[1073741824]", 1, 1_073_741_825)
    );
    promise.write_all(&file(&header, &[])).unwrap();
    promise
        .set_len((1 << 30) + 1 + 8 + header.len() as u64)
        .unwrap();
    let fault = Weights::open(&folder.0.join("promise.safetensors"))
        .unwrap_err()
        .fault;
    assert!(matches!(fault, Fault::Layout { at: 0, next: 1 }), "{fault}");
}

#[cfg(unix)]
#[test]
fn devices_are_not_read_and_links_are_followed() {
    let zero = Weights::open(std::path::Path::new("/dev/zero"))
        .unwrap_err()
        .fault;
    assert!(matches!(
        zero,
        Fault::NotAFile {
            found: "a pipe or device"
        }
    ));
    let folder = Folder::new("links");
    let path = folder.write("blob", &pair([1.0, 2.0]));
    let link = folder.0.join("model.safetensors");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    Weights::open(&link).unwrap();
    let around = folder.0.join("loop");
    std::os::unix::fs::symlink(&around, &around).unwrap();
    assert!(matches!(
        Weights::open(&around).unwrap_err().fault,
        Fault::Io(_)
    ));
}

/// Every single-bit flip of a good file is refused or still a file of the same size; no panic.
#[test]
fn bit_flips_never_panic() {
    let whole = pair([1.0, 2.0]);
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(mut weights) = open(bytes) {
            let _ = weights.take_vec("w", &[2]);
            let _ = weights.finish();
        }
    }
}

/// A configuration may ask for tensors of any size.
#[test]
fn what_a_file_lacks_takes_no_memory_without_end() {
    let mut weights = Weights::from_bytes(noisesearch_models::parity::checkpoint([])).unwrap();
    assert!(weights.take_vec("small", &[1 << 10]).is_ok());
    for shape in [vec![1 << 20, 1 << 20], vec![usize::MAX, usize::MAX]] {
        let fault = weights.take_vec("large", &shape).unwrap_err().fault;
        assert!(matches!(fault, Fault::Keys { missing, .. } if missing.names[0] == "large"));
    }
}
