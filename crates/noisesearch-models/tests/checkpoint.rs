//! Model folders: which files are read, and which are refused.

use noisesearch_models::checkpoint::hub::{Hub, is_repository};
use noisesearch_models::checkpoint::{Checkpoint, CheckpointError};
use noisesearch_models::parity::{checkpoint, fill};
use noisesearch_models::weights::{Fault, Weights, WeightsError};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

const MODEL: &str = "diffusion_pytorch_model.safetensors";

/// A folder of this test's own that goes away with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("noisesearch-{name}-{}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        fs::create_dir_all(&path).unwrap();
        let scratch = Self(path);
        scratch.text(
            "model_index.json",
            r#"{"_class_name": "FluxPipeline", "unet": ["a", "b"]}"#,
        );
        scratch
    }

    fn text(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// A file of these tensors, of two elements each.
    fn tensors(&self, name: &str, keys: &[&str]) -> PathBuf {
        self.text(name, file(keys))
    }

    fn open(&self) -> Checkpoint {
        Checkpoint::open(&self.0).unwrap()
    }

    fn refused(&self) -> CheckpointError {
        self.open().weights("unet").unwrap_err()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn file(keys: &[&str]) -> Vec<u8> {
    let tensors: BTreeMap<String, Vec<usize>> = keys
        .iter()
        .map(|key| ((*key).to_owned(), vec![2]))
        .collect();
    checkpoint(&tensors)
}

fn index(shards: &[(&str, &str)]) -> String {
    let map: BTreeMap<_, _> = shards.iter().copied().collect();
    serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string()
}

/// Once only the components were hashed, so that pictures differed under one fingerprint.
#[test]
fn the_index_is_part_of_the_hash() {
    let scratch = Scratch::new("index-hash");
    scratch.text("unet/config.json", "{}");
    scratch.tensors(&format!("unet/{MODEL}"), &["a"]);
    let hash = || scratch.open().hash(&["unet"]).unwrap();
    let index = |more: &str| {
        let text = format!(r#"{{"_class_name": "StableDiffusionXLPipeline"{more}}}"#);
        scratch.text("model_index.json", text);
    };
    index("");
    let before = hash();
    assert_eq!(hash(), before);
    index(r#", "force_zeros_for_empty_prompt": false"#);
    assert_ne!(hash(), before);
}

/// Once half a download counted as a model.
#[test]
fn what_is_missing_of_a_folder_is_told() {
    let scratch = Scratch::new("half-a-download");
    let lacks = || {
        let error = scratch.open().check_files().unwrap_err();
        assert!(error.is_absence(), "{error}");
        error.to_string()
    };
    scratch.text(
        "model_index.json",
        r#"{"_class_name": "FluxPipeline", "feature_extractor": ["a", "b"],
            "scheduler": ["a", "b"], "text_encoder_2": [null, null], "tokenizer": ["a", "b"],
            "vae": ["a", "b"]}"#,
    );
    assert!(lacks().contains("no `scheduler`"));
    scratch.text("scheduler/scheduler_config.json", "{}");
    assert!(lacks().contains("no `tokenizer`"));
    scratch.text("tokenizer/vocab.json", "{}");
    assert!(lacks().contains("no `vae`"));
    scratch.text("vae/diffusion_pytorch_model.bin", "");
    assert!(lacks().contains("config.json"));
    scratch.text("vae/config.json", "{}");
    assert!(lacks().contains("no weights"), "a pickle is not read");
    let map = index(&[("a", "one.safetensors"), ("b", "two.safetensors")]);
    let name = format!("vae/{MODEL}.index.json");
    let map = scratch.text(&name, map);
    scratch.tensors("vae/one.safetensors", &["a"]);
    assert!(lacks().contains("two.safetensors"));
    scratch.tensors("vae/two.safetensors", &["b"]);
    scratch.open().check_files().unwrap();
    fs::remove_file(map).unwrap();
    let error = scratch.open().check_files().unwrap_err();
    assert!(!error.is_absence(), "{error}");
}

fn names(weights: &Weights) -> Vec<&str> {
    weights.tensors().map(|(name, _)| name).collect()
}

#[test]
fn a_folder_says_what_it_holds() {
    let scratch = Scratch::new("holds");
    scratch.text("unet/config.json", r#"{"layers": 3}"#);
    scratch.text("scheduler/scheduler_config.json", r#"{"shift": 2}"#);
    scratch.text("tokenizer/vocab.json", "{}");
    let model = scratch.open();
    assert_eq!(model.pipeline(), Some("FluxPipeline"));
    assert!(model.has("unet") && model.has("tokenizer") && !model.has("vae"));
    let config: BTreeMap<String, i32> = model.config("unet").unwrap();
    assert_eq!(config["layers"], 3);
    let config: BTreeMap<String, i32> = model.config("scheduler").unwrap();
    assert_eq!(config["shift"], 2);
    assert_eq!(
        model.file("tokenizer", "vocab.json").unwrap().unwrap(),
        b"{}"
    );
    assert_eq!(model.file("tokenizer", "merges.txt").unwrap(), None);
    let error = model.weights("vae").unwrap_err().to_string();
    assert!(error.contains("has no `vae`"), "{error}");
    scratch.text("unet/config.json", "{\"layers\": 3");
    let error = model.config::<serde_json::Value>("unet").unwrap_err();
    assert!(matches!(error, CheckpointError::Json { .. }), "{error}");
    let long = vec![b' '; (32 << 20) + 1];
    scratch.text("tokenizer/vocab.json", long);
    let error = model.file("tokenizer", "vocab.json").unwrap_err();
    assert!(matches!(error, CheckpointError::TooLarge { .. }), "{error}");
    let error = Checkpoint::open(&scratch.0.join("unet")).unwrap_err();
    assert!(matches!(error, CheckpointError::NoIndex(_)), "{error}");
}

#[test]
fn shards_are_one_model() {
    let scratch = Scratch::new("shards");
    let (a, b) = (
        "m-00001-of-00002.safetensors",
        "m-00002-of-00002.safetensors",
    );
    scratch.tensors(&format!("unet/{a}"), &["x", "y"]);
    scratch.tensors(&format!("unet/{b}"), &["z"]);
    let map = [("x", a), ("y", a), ("z", b)];
    scratch.text(&format!("unet/{MODEL}.index.json"), index(&map));
    let model = scratch.open();
    assert_eq!(model.parameters("unet").unwrap(), 6);
    let mut weights = model.weights("unet").unwrap();
    let hash = weights.hash().to_owned();
    for key in ["z", "x", "y"] {
        assert_eq!(weights.take_vec(key, &[2]).unwrap(), fill(key, &[2]));
    }
    weights.finish().unwrap();
    assert_eq!(model.weights("unet").unwrap().hash(), hash);
    scratch.tensors(&format!("unet/{b}"), &["w"]);
    assert_ne!(scratch.open().weights("unet").unwrap().hash(), hash);
    scratch.tensors(&format!("unet/{b}"), &["z", "y"]);
    let CheckpointError::Weights(WeightsError { file, fault }) = scratch.refused() else {
        panic!("another error")
    };
    assert!(file.ends_with(b), "{file}");
    assert!(
        matches!(&fault, Fault::InTwo { name, .. } if name == "y"),
        "{fault}"
    );
    fs::remove_file(scratch.0.join("unet").join(b)).unwrap();
    let error = scratch.refused();
    assert!(
        matches!(&error, CheckpointError::NoShard { name, .. } if name == b),
        "{error}"
    );
}

#[test]
fn an_index_names_files_beside_it_only() {
    let scratch = Scratch::new("index");
    scratch.tensors("outside.safetensors", &["x"]);
    let outside = scratch.0.join("outside.safetensors").display().to_string();
    for name in [
        "../outside.safetensors",
        &outside,
        "",
        ".",
        "..",
        "a/b",
        "a\\b",
        "c:d",
        "a\0",
    ] {
        scratch.text(&format!("unet/{MODEL}.index.json"), index(&[("x", name)]));
        let error = scratch.refused();
        assert!(
            matches!(error, CheckpointError::ShardName { .. }),
            "{name:?}: {error}"
        );
    }
    for text in [
        "{}",
        "[]",
        "{\"weight_map\": 1}",
        "{\"weight_map\": {\"x\": 1}}",
    ] {
        scratch.text(&format!("unet/{MODEL}.index.json"), text);
        assert!(matches!(scratch.refused(), CheckpointError::Json { .. }));
    }
    scratch.text(&format!("unet/{MODEL}.index.json"), index(&[]));
    assert!(matches!(scratch.refused(), CheckpointError::NoWeights(_)));
}

#[test]
fn full_precision_is_preferred_and_pickles_are_refused() {
    let scratch = Scratch::new("variants");
    scratch.text("unet/config.json", "{}");
    assert!(matches!(scratch.refused(), CheckpointError::NoWeights(_)));
    scratch.text(
        "unet/diffusion_pytorch_model.bin",
        b"PK\x03\x04....archive/data.pkl",
    );
    let error = scratch.refused().to_string();
    assert!(error.contains("loading a pickle runs code"), "{error}");
    scratch.tensors("unet/diffusion_pytorch_model.fp16.safetensors", &["half"]);
    assert_eq!(names(&scratch.open().weights("unet").unwrap()), ["half"]);
    scratch.tensors(
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        &["other"],
    );
    assert_eq!(names(&scratch.open().weights("unet").unwrap()), ["half"]);
    scratch.tensors(&format!("unet/{MODEL}"), &["full"]);
    assert_eq!(names(&scratch.open().weights("unet").unwrap()), ["full"]);
    let scratch = Scratch::new("names");
    scratch.tensors("unet/a.safetensors", &["a"]);
    assert_eq!(names(&scratch.open().weights("unet").unwrap()), ["a"]);
    scratch.tensors("unet/b.safetensors", &["b"]);
    let error = scratch.refused().to_string();
    assert!(
        error.contains("several .safetensors files (a.safetensors, b.safetensors)"),
        "{error}"
    );
}

#[test]
fn a_component_is_replaced_by_file_or_folder() {
    let scratch = Scratch::new("replace");
    scratch.text("unet/config.json", r#"{"is": "first"}"#);
    scratch.tensors(&format!("unet/{MODEL}"), &["first"]);
    let file = scratch.tensors("loose.safetensors", &["second"]);
    let folder = scratch.tensors("bare/x.safetensors", &["third"]);
    scratch.text("full/config.json", r#"{"is": "fourth"}"#);
    scratch.tensors("full/x.safetensors", &["fourth"]);
    scratch.text("repo/unet/config.json", r#"{"is": "fifth"}"#);
    scratch.tensors("repo/unet/x.safetensors", &["fifth"]);
    let check = |path: &Path, key: &str, config: &str| {
        let mut model = scratch.open();
        let before = model.hash(&["unet"]).unwrap();
        model.replace("unet", path).unwrap();
        assert_eq!(names(&model.weights("unet").unwrap()), [key]);
        let found: BTreeMap<String, String> = model.config("unet").unwrap();
        assert_eq!(found["is"], config);
        assert_ne!(model.hash(&["unet"]).unwrap(), before);
    };
    check(&file, "second", "first");
    check(folder.parent().unwrap(), "third", "first");
    check(&scratch.0.join("full"), "fourth", "fourth");
    check(&scratch.0.join("repo"), "fifth", "fifth");
    let mut model = scratch.open();
    let error = model.replace("unet", Path::new("absent")).unwrap_err();
    assert!(
        error.to_string().starts_with("absent: cannot be read"),
        "{error}"
    );
    model.replace("vae", &file).expect_err("no vae to replace");
}

/// What is taken after somebody wrote to the file is not what was hashed.
#[test]
fn a_file_that_changes_is_noticed() {
    let scratch = Scratch::new("changes");
    let path = scratch.tensors("unet/a.safetensors", &["x", "y"]);
    let open = || Weights::open(&path).unwrap();
    let mut weights = open();
    weights.take_vec("x", &[2]).unwrap();
    fs::write(&path, file(&["x"])).unwrap();
    let fault = weights.take_vec("y", &[2]).unwrap_err().fault;
    assert!(matches!(fault, Fault::Changed), "{fault}");
    fs::write(&path, file(&["x"])).unwrap();
    let mut weights = open();
    weights.take_vec("x", &[2]).unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    fs::File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .set_modified(later)
        .unwrap();
    let fault = weights.finish().unwrap_err().fault;
    assert!(matches!(fault, Fault::Changed), "{fault}");
}

#[test]
fn the_cache_is_where_the_environment_says() {
    let hub = |pairs: &[(&str, &str)]| {
        let get = |name: &str| pairs.iter().find(|(key, _)| *key == name);
        let found = Hub::named(|name| get(name).map(|(_, value)| OsString::from(value)));
        found.map(|hub| hub.path().to_owned())
    };
    let all = [("HF_HUB_CACHE", "/a"), ("HF_HOME", "/b"), ("HOME", "/c")];
    assert_eq!(hub(&all), Some("/a".into()));
    assert_eq!(hub(&all[1..]), Some("/b/hub".into()));
    assert_eq!(hub(&all[2..]), Some("/c/.cache/huggingface/hub".into()));
    assert_eq!(hub(&[("HF_HUB_CACHE", ""), ("HOME", "/c")]), hub(&all[2..]));
    // Once these two were not looked at, so that what other programs fetched was not found.
    let old = [("HUGGINGFACE_HUB_CACHE", "/d"), ("HF_HOME", "/b")];
    assert_eq!(hub(&old), Some("/d".into()));
    assert_eq!(hub(&[all[0], old[0]]), Some("/a".into()));
    let base = [("XDG_CACHE_HOME", "/e"), ("HOME", "/c")];
    assert_eq!(hub(&base), Some("/e/huggingface/hub".into()));
    assert_eq!(hub(&[all[1], base[0]]), Some("/b/hub".into()));
    assert_eq!(hub(&[]), None);
    for name in ["a/b", "black-forest-labs/FLUX.1-dev", "a/b_c.d"] {
        assert!(is_repository(name), "{name}");
    }
    for name in [
        "a", "a/b/c", "../b", "a/..", "/b", "a/", "a/b c", "a--b/c", "C:/x", "./b",
    ] {
        assert!(!is_repository(name), "{name}");
    }
}

#[test]
fn a_snapshot_is_found_by_its_reference() {
    let scratch = Scratch::new("hub");
    let hub = Hub::at(&scratch.0);
    assert_eq!(hub.snapshot("org/name").unwrap(), None);
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let at = |commit: &str| format!("models--org--name/snapshots/{commit}");
    let file = scratch.text(&format!("{}/model_index.json", at(commit)), "{}");
    let snapshot = file.parent().unwrap().to_owned();
    assert_eq!(hub.snapshot("org/name").unwrap(), Some(snapshot.clone()));
    scratch.text(&format!("{}/model_index.json", at("fedc")), "{}");
    assert_eq!(
        hub.snapshot("org/name").unwrap(),
        None,
        "two and no reference"
    );
    scratch.text("models--org--name/refs/main", format!("{commit}\n"));
    assert_eq!(hub.snapshot("org/name").unwrap(), Some(snapshot));
    for bad in ["../../x", "", "/etc", "main"] {
        scratch.text("models--org--name/refs/main", bad);
        let error = hub.snapshot("org/name").unwrap_err();
        assert!(matches!(error, CheckpointError::Commit(_)), "{error}");
    }
    assert_eq!(hub.snapshot("../name").unwrap(), None);
}

#[cfg(unix)]
#[test]
fn links_stay_inside_the_repository() {
    use std::os::unix::fs::symlink;
    let scratch = Scratch::new("links");
    let hub = Hub::at(&scratch.0);
    let blob = scratch.tensors("models--org--name/blobs/b1", &["x"]);
    let inner = scratch.text("models--org--name/snapshots/abc/unet/config.json", "{}");
    let unet = inner.parent().unwrap().to_owned();
    symlink("../../../blobs/b1", unet.join(MODEL)).unwrap();
    let found = hub.snapshot("org/name").unwrap().unwrap();
    assert_eq!(
        names(&Weights::open(&found.join("unet").join(MODEL)).unwrap()),
        ["x"]
    );
    symlink(unet.parent().unwrap(), unet.join("round")).unwrap();
    hub.snapshot("org/name").unwrap();
    let outside = scratch.tensors("secret.safetensors", &["s"]);
    for target in [
        outside.as_path(),
        Path::new("/etc"),
        Path::new("../../../../secret.safetensors"),
    ] {
        let link = unet.join("link.safetensors");
        symlink(target, &link).unwrap();
        let error = hub.snapshot("org/name").unwrap_err();
        assert!(
            matches!(&error, CheckpointError::Outside(path) if *path == link),
            "{error}"
        );
        fs::remove_file(&link).unwrap();
    }
    fs::remove_file(blob).unwrap();
    hub.snapshot("org/name").unwrap();
}
