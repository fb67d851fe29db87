//! Files in the layouts of the models' authors hold the components that diffusers makes of them:
//! the same names, shapes and numbers, none left over.

use noisesearch_models::checkpoint::Checkpoint;
use noisesearch_models::parity::{Manifest, checkpoint};
use noisesearch_models::weights::{Contents, Fault, Layout, Weights};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Shape, and the elements at a third and at the end.
type Sampled = (Vec<usize>, [f64; 2]);

#[derive(Deserialize)]
struct Golden {
    tensors: BTreeMap<String, Vec<usize>>,
    #[serde(flatten)]
    more: BTreeMap<String, serde_json::Value>,
}

impl Golden {
    fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap()
    }

    fn components(&self) -> BTreeMap<&str, BTreeMap<String, Sampled>> {
        let found = self.more.iter().filter(|(_, value)| value.is_object());
        let parsed = |value: &serde_json::Value| serde_json::from_value(value.clone()).unwrap();
        found.map(|(name, v)| (name.as_str(), parsed(v))).collect()
    }
}

const FILES: [(&str, Layout); 4] = [
    (
        include_str!("../../../parity/goldens/single-flux.json"),
        Layout::Flux,
    ),
    (
        include_str!("../../../parity/goldens/single-sd15.json"),
        Layout::StableDiffusion,
    ),
    (
        include_str!("../../../parity/goldens/single-sdxl.json"),
        Layout::StableDiffusionXl,
    ),
    (
        include_str!("../../../parity/goldens/single-vae.json"),
        Layout::Autoencoder,
    ),
];

/// A folder of this test's own that goes away with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("noisesearch-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// The tolerance is that of eight written digits. It fails for swapped halves of the last
/// modulation of FLUX, for queries and keys exchanged, and for a projection not transposed: each
/// was tried once.
#[test]
fn golden_files_become_the_components_of_diffusers() {
    for (text, layout) in FILES {
        let golden = Golden::parse(text);
        let components = golden.components();
        assert!(!components.is_empty());
        let bytes = checkpoint(&golden.tensors);
        for (component, wanted) in components {
            let mut weights = Weights::from_bytes(bytes.clone())
                .unwrap()
                .component(component);
            let names: BTreeSet<String> = weights.tensors().map(|(n, _)| n.to_owned()).collect();
            let all: BTreeSet<String> = wanted.keys().cloned().collect();
            assert_eq!(names, all, "{layout:?} {component}");
            for (name, (shape, values)) in wanted {
                let got = weights.take_vec(&name, &shape).unwrap();
                for (at, want) in [(got.len() / 3, values[0]), (got.len() - 1, values[1])] {
                    let error = (f64::from(got[at]) - want).abs();
                    assert!(error <= 1e-7, "{component} {name}: {} for {want}", got[at]);
                }
            }
            weights.finish().unwrap();
        }
    }
}

#[test]
fn golden_files_are_known_by_their_names() {
    let scratch = Scratch::new("layouts");
    for (text, layout) in FILES {
        let golden = Golden::parse(text);
        let path = scratch.0.join("model.safetensors");
        std::fs::write(&path, checkpoint(&golden.tensors)).unwrap();
        let contents = Contents::of(&path).unwrap();
        assert_eq!(contents.layout, layout);
        let components = golden.components();
        let names: BTreeSet<&str> = components.keys().copied().collect();
        assert_eq!(contents.components(), names);
        for (component, tensors) in components {
            let count = |(shape, _): &Sampled| shape.iter().product::<usize>() as u64;
            let numbers: u64 = tensors.values().map(count).sum();
            assert_eq!(contents.parameters(component), numbers, "{component}");
        }
    }
}

/// A name that the layout does not have is reported, not passed over.
#[test]
fn a_foreign_tensor_is_unexpected() {
    let mut golden = Golden::parse(FILES[0].0);
    golden
        .tensors
        .insert("double_blocks.0.lora.weight".into(), vec![1]);
    golden
        .tensors
        .insert("final_layer.adaLN_modulation.1.extra".into(), vec![3]);
    let weights = Weights::from_bytes(checkpoint(&golden.tensors)).unwrap();
    let fault = weights.component("transformer").finish().unwrap_err().fault;
    let Fault::Keys { unexpected, .. } = fault else {
        panic!("{fault}")
    };
    let foreign = [
        "double_blocks.0.lora.weight",
        "final_layer.adaLN_modulation.1.extra",
    ];
    assert!(
        foreign
            .iter()
            .all(|name| unexpected.names.iter().any(|n| n == name))
    );
}

/// Older files of diffusers, such as that of Stable Diffusion 1, name the attention of the
/// autoencoder otherwise.
#[test]
fn old_names_of_diffusers_are_read() {
    let old = include_str!("../../../parity/manifests/sd15-vae.json");
    let new = include_str!("../../../parity/manifests/sdxl-vae.json");
    let [old, new] = [old, new].map(|text| Manifest::parse(text).unwrap().tensors);
    assert!(old != new);
    let weights = Weights::hollow("F32", &old).unwrap().component("vae");
    let shape = |shape: &[u64]| shape.iter().map(|&d| d as usize).collect();
    let got = weights.tensors().map(|(n, s)| (n.to_owned(), shape(s)));
    let got: BTreeMap<String, Vec<usize>> = got.collect();
    assert!(got == new);
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_single_file_replaces_what_it_holds() {
    let scratch = Scratch::new("single");
    for name in ["unet", "vae", "text_encoder"] {
        write(
            &scratch.0,
            &format!("{name}/config.json"),
            &format!("{{\"is\": \"{name}\"}}"),
        );
    }
    write(
        &scratch.0,
        "model_index.json",
        r#"{"_class_name": "StableDiffusionPipeline"}"#,
    );
    let golden = Golden::parse(FILES[1].0);
    let file = scratch.0.join("sd.safetensors");
    std::fs::write(&file, checkpoint(&golden.tensors)).unwrap();
    let mut model = Checkpoint::open(&scratch.0).unwrap();
    model.weights("unet").expect_err("no weights yet");
    model.replace_all(&file).unwrap();
    for (component, tensors) in golden.components() {
        let weights = model.weights(component).unwrap();
        assert_eq!(weights.tensors().count(), tensors.len());
        let config: BTreeMap<String, String> = model.config(component).unwrap();
        assert_eq!(config["is"], component);
    }
    let index = r#"{"_class_name": "StableDiffusionPipeline", "transformer": ["", ""]}"#;
    write(&scratch.0, "model_index.json", index);
    let mut model = Checkpoint::open(&scratch.0).unwrap();
    let error = model.replace("transformer", &file).unwrap_err().to_string();
    assert!(
        error.contains("has no transformer; it holds text_encoder, unet, vae"),
        "{error}"
    );
}
