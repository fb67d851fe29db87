//! Where models and verifiers lie: the hub's cache and the folder of models, and what is said of
//! half a download.

use noisesearch::files::Files;
use noisesearch::goal::Goal;
use noisesearch::known::{KNOWN, Known};
use noisesearch::registry::Registry;
use noisesearch::spec::Spec;
use noisesearch_models::checkpoint::hub::Hub;
use noisesearch_models::parity::checkpoint;
use noisesearch_models::task::Task;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What a pipeline of classes names as its parts.
const INDEX: &str = r#"{"_class_name": "SiTPipeline", "transformer": ["noisesearch", "SiT"],
    "vae": ["diffusers", "AutoencoderKL"]}"#;

/// A cache and a folder of models of one test.
struct Disk(PathBuf);

impl Disk {
    fn new(name: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("places-{name}"));
        fs::remove_dir_all(&root).ok();
        Self(root)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn registry(&self) -> Registry {
        Registry {
            hub: Some(Hub::at(self.0.join("hub"))),
            folder: Some(self.0.join("models")),
            ..Registry::builtin()
        }
    }

    /// What is said of a verifier.
    fn whereabouts(&self, name: &str) -> String {
        let registry = self.registry();
        let mut verifiers = registry.verifiers.iter();
        let entry = verifiers.find(|entry| entry.name == name).unwrap();
        registry.whereabouts(entry).unwrap()
    }

    /// Why a model cannot be had.
    fn refusal(&self, name: &str, task: Task) -> String {
        let found = self
            .registry()
            .model_for(&task, Some(name), &Files::default());
        found.err().expect(name).to_string()
    }
}

fn class() -> Task {
    Task::Class("207".into())
}

fn weights() -> Vec<u8> {
    checkpoint(&BTreeMap::from([("w".to_owned(), vec![2])]))
}

/// Once the folder of a repository was enough, so that a goal chose a verifier that did not open:
/// the authors' own package puts a pickle there.
#[test]
fn a_pickle_or_half_a_download_is_no_verifier() {
    let disk = Disk::new("verifiers");
    let hpsv2 = "hub/models--xswu--HPSv2/snapshots/abc";
    disk.write(&format!("{hpsv2}/HPS_v2.1_compressed.pt"), "PK");
    let reward = "hub/models--zai-org--ImageReward/snapshots/abc";
    disk.write(&format!("{reward}/model.safetensors"), weights());
    for name in ["hpsv2", "imagereward", "clipscore"] {
        assert!(disk.whereabouts(name).starts_with("not found: "), "{name}");
    }
    let chosen = || {
        let text = "prompt = \"a red circle\"\nmodel = \"scenes\"\ngoal = \"preference\"";
        let checked = Spec::from_toml(text).unwrap().check(&disk.registry());
        checked.map(|checked| checked.verifiers.clone())
    };
    let none = chosen().unwrap_err().to_string();
    for name in Goal::Preference.wanted() {
        assert!(none.contains(name), "{none}");
    }
    // Converted, it is found at either place.
    disk.write("models/hpsv2/model.safetensors", weights());
    assert!(disk.whereabouts("hpsv2").starts_with("found: "));
    assert_eq!(chosen().unwrap(), ["hpsv2"]);
    disk.write(&format!("{reward}/vocab.txt"), "[CLS]");
    assert!(disk.whereabouts("imagereward").ends_with(reward));
    assert_eq!(chosen().unwrap(), ["imagereward"]);
}

/// Once it had "no `unet`; add that folder", without how, and was listed as found.
#[test]
fn a_model_that_came_by_half_is_told_how_to_complete() {
    let disk = Disk::new("half");
    let at = "hub/models--stable-diffusion-v1-5--stable-diffusion-v1-5/snapshots/abc";
    let index = r#"{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet"]}"#;
    disk.write(&format!("{at}/vae/config.json"), "{}");
    let refusal = |lacks: &str| {
        let error = disk.refusal("sd1.5", Task::Prompt("a cat".into()));
        for says in [
            "only a part is there",
            lacks,
            "about 4.3 GB; licence: CreativeML OpenRAIL-M",
            "hf download stable-diffusion-v1-5/stable-diffusion-v1-5 --include",
        ] {
            assert!(error.contains(says), "{error}");
        }
    };
    refusal("no model_index.json");
    disk.write(&format!("{at}/model_index.json"), index);
    refusal("no `unet`");
    disk.write(&format!("{at}/unet/config.json"), "{}");
    refusal("no weights");
    let known = Known::named("sd1.5").unwrap();
    assert_eq!(disk.registry().place_of(known), None);
    let file = format!("{at}/unet/diffusion_pytorch_model.safetensors");
    disk.write(&file, weights());
    assert_eq!(disk.registry().place_of(known), Some(disk.0.join(at)));
}

/// Once there was no place at which a model that is converted by hand was found by its name.
#[test]
fn a_converted_model_is_found_in_the_folder_of_models() {
    let disk = Disk::new("converted");
    let known = Known::named("sit-xl-2-256").unwrap();
    assert_eq!(disk.registry().place_of(known), None);
    let error = disk.refusal(known.name, class());
    let looked = format!("looked in {}", disk.0.join("models").display());
    for says in [
        &looked[..],
        "NOISESEARCH_MODELS/sit-xl-2-256",
        "convert_sit.py",
    ] {
        assert!(error.contains(says), "{error}");
    }
    let at = format!("models/{}", known.name);
    disk.write(&format!("{at}/model_index.json"), INDEX);
    disk.write(&format!("{at}/transformer/config.json"), "{}");
    assert!(disk.refusal(known.name, class()).contains("no weights"));
    assert_eq!(disk.registry().place_of(known), None);
    for part in ["transformer", "vae"] {
        let file = format!("{at}/{part}/diffusion_pytorch_model.safetensors");
        disk.write(&file, weights());
        disk.write(&format!("{at}/{part}/config.json"), "{}");
    }
    assert_eq!(disk.registry().place_of(known), Some(disk.0.join(&at)));
    let found = disk.registry();
    let found = found.model_for(&class(), Some(known.name), &Files::default());
    assert_eq!(found.unwrap().defaults.steps, known.recipe.steps);
    let all = KNOWN
        .iter()
        .filter_map(|known| disk.registry().place_of(known));
    assert_eq!(all.count(), 1);
}
