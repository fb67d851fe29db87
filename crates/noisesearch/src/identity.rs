//! What decides results, by name: of a whole run, and of one recipe's outcome.

use crate::engine::Engine;
use crate::spec::Checked;
use noisesearch_core::journal::{Fingerprint, JournalError};
use noisesearch_core::noise::NOISE_VERSION;
use noisesearch_core::recipe::RECIPE_VERSION;
use serde_json::{Map, Value, json};

/// Changes whenever this crate would make another result from the same spec and weights.
const ENGINE_VERSION: u32 = 1;

/// Everything that decides a run's results; `engine` is one of the run's.
pub(crate) fn of_run(spec: &Checked, engine: &Engine) -> Result<Fingerprint, JournalError> {
    let text = serde_json::to_value(spec.to_spec()).map_err(JournalError::Unwritable)?;
    let searching = spec.files.searching().backend();
    let searching = spec
        .files
        .is_ladder()
        .then(|| ("search-backend", json!(searching)));
    let backend = ("backend", json!(spec.files.backend()));
    let fields = common(engine)
        .chain([("spec", text), backend])
        .chain(searching);
    print(fields).map_err(JournalError::Unwritable)
}

/// Everything that decides what a recipe gives: neither search, objective, budget nor seed.
pub(crate) fn of_outcome(
    spec: &Checked,
    engine: &Engine,
) -> Result<Fingerprint, serde_json::Error> {
    print(common(engine).chain([
        ("backend", json!(engine.backend())),
        ("model", json!(spec.model)),
        ("task", json!(spec.task)),
        ("guidance", json!(spec.guidance)),
        ("solver", json!(spec.solver.name())),
        ("size", json!([spec.files.width, spec.files.height])),
    ]))
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
    .chain(engine.preview_name().map(|name| ("preview", json!(name))))
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
