//! What decides results, by name: of a whole run, and of one recipe's outcome.

use crate::engine::Engine;
use crate::engines::Engines;
use crate::spec::{Checked, Spec};
use noisesearch_core::journal::{Fingerprint, JournalError};
use noisesearch_core::noise::NOISE_VERSION;
use noisesearch_core::recipe::RECIPE_VERSION;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Changes whenever this crate would make another result from the same spec and weights.
const ENGINE_VERSION: u32 = 1;

/// Everything that decides a run's results.
pub(crate) fn of_run(spec: &Checked, engines: &Engines) -> Result<Fingerprint, JournalError> {
    let engine = engines.finals();
    let searching = spec.files.searching().backend();
    let searching = spec
        .files
        .is_ladder()
        .then(|| ("search-backend", json!(searching)));
    let fields = [
        ("spec", settings(spec).map_err(JournalError::Unwritable)?),
        ("backend", json!(spec.files.backend())),
        ("latent", json!(engine.latent())),
    ];
    let fields = common(engine)
        .chain(preview(engines.candidates()))
        .chain(fields)
        .chain(searching);
    print(fields).map_err(JournalError::Unwritable)
}

/// Refuses settings that are not those of this journal. Neither model nor verifiers are looked at.
pub(crate) fn check_settings(spec: &Checked, journal: &Fingerprint) -> Result<(), JournalError> {
    let mut here = journal.clone();
    settings(spec)
        .and_then(|settings| here.set("spec", settings))
        .map_err(JournalError::Unwritable)?;
    match journal.difference(&here) {
        Some(difference) => Err(JournalError::Different(Box::new(difference))),
        None => Ok(()),
    }
}

/// The settings that decide results. Those that change speed only are none of them, and neither
/// is where things lie: what lies there is in `weights` and `verifiers`, the size of the images in
/// `latent`, and the kind of the device in `backend`.
fn settings(spec: &Checked) -> Result<Value, serde_json::Error> {
    serde_json::to_value(Spec {
        batch: None,
        cache: None,
        device: None,
        model: None,
        weights: BTreeMap::new(),
        ..spec.to_spec()
    })
}

/// Everything that decides what a recipe gives: neither search, objective, budget nor seed.
pub(crate) fn of_outcome(
    spec: &Checked,
    engine: &Engine,
) -> Result<Fingerprint, serde_json::Error> {
    let fields = [
        ("backend", json!(engine.backend())),
        ("model", json!(spec.model)),
        ("task", json!(spec.task)),
        ("guidance", json!(spec.guidance)),
        ("solver", json!(spec.solver.name())),
        ("size", json!([spec.files.width, spec.files.height])),
    ];
    print(common(engine).chain(preview(engine)).chain(fields))
}

/// What decides both.
fn common(engine: &Engine) -> impl Iterator<Item = (&'static str, Value)> {
    let verifiers: Map<_, _> = engine
        .verifiers()
        .into_iter()
        .map(|id| {
            let value = json!({"weights": id.weights, "version": id.version});
            (id.name.clone(), value)
        })
        .collect();
    [
        ("weights", json!(engine.weights())),
        ("verifiers", verifiers.into()),
        ("noise", json!(NOISE_VERSION)),
        ("recipe", json!(RECIPE_VERSION)),
        ("engine", json!(ENGINE_VERSION)),
    ]
    .into_iter()
}

/// What decodes x0-predictions in the decoder's place.
fn preview(candidates: &Engine) -> Option<(&'static str, Value)> {
    let name = candidates.preview_name()?;
    Some(("preview", json!(name)))
}

fn print(
    fields: impl Iterator<Item = (&'static str, Value)>,
) -> Result<Fingerprint, serde_json::Error> {
    let mut print = Fingerprint::default();
    for (name, value) in fields {
        print.set(name, value)?;
    }
    Ok(print)
}
