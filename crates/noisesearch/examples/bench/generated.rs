//! Published networks with generated weights.

use crate::Fallible;
use noisesearch_models::layers::{Loaded, Place, Source};
use noisesearch_models::parity::{Manifest, write_checkpoint};
use noisesearch_models::weights::Weights;
use std::fs::{File, remove_file};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

/// A file that is removed in the end.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // Nothing can be done about a file that stays in the temporary folder.
        let _ = remove_file(&self.0);
    }
}

/// Lists the tensors of `manifest` whose names `keep` admits, fills them and loads a network from
/// them. They pass through a file, as published weights do, so that they are in memory only once.
pub fn load<T>(
    manifest: &Manifest,
    place: &Place,
    keep: impl Fn(&str) -> bool,
    build: impl FnOnce(Source) -> Loaded<T>,
) -> Fallible<T> {
    let name = format!("noisesearch-bench-{}.safetensors", std::process::id());
    let path = Temporary(std::env::temp_dir().join(name));
    let mut file = BufWriter::new(File::create(&path.0)?);
    let kept = manifest.tensors.iter().filter(|(name, _)| keep(name));
    write_checkpoint(kept, &mut file)?;
    file.flush()?;
    let mut weights = Weights::open(&path.0)?;
    let network = build(Source::new(&mut weights, place))?;
    weights.finish()?;
    Ok(network)
}

/// A manifest of `parity/manifests`.
pub fn manifest(name: &str) -> Fallible<Manifest> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../parity/manifests");
    let text = std::fs::read_to_string(format!("{folder}/{name}.json"))?;
    Ok(Manifest::parse(&text)?)
}
