//! Whose gradient a first-order search follows, and whether there is one.

use crate::registry::{Model, ModelEntry, Registry};
use crate::spec::SpecError;
use noisesearch_core::recipe::VerifierName;
use noisesearch_core::search::SearchSpec;
use noisesearch_models::layers::Place;
use noisesearch_verifiers::verifier::Verifier;

/// The search with the verifier whose gradient it follows, if it follows one: by default the
/// first that is optimised, and always one of these.
pub(crate) fn follow(search: SearchSpec, optimised: &[String]) -> Result<SearchSpec, SpecError> {
    let method = search.name();
    if !matches!(search, SearchSpec::FirstOrder(_)) {
        return Ok(search);
    }
    let first = optimised.first().ok_or(SpecError::NoVerifier)?;
    let name = match search.followed() {
        Some(name) => name,
        None => first.parse().map_err(|source| SpecError::Name {
            search: method,
            source,
        })?,
    };
    if optimised.iter().all(|known| known != name.as_str()) {
        return Err(SpecError::NotOptimised {
            search: method,
            name: name.to_string(),
            known: optimised.join(", "),
        });
    }
    Ok(search.following(name))
}

/// Refuses a search that follows `name` unless the model and that verifier have gradients; the
/// refusal names those that have.
pub(crate) fn check(
    registry: &Registry,
    entry: &ModelEntry,
    model: &Model,
    verifiers: &[Box<dyn Verifier>],
    name: VerifierName,
) -> Result<(), SpecError> {
    let refuse = |what, name: String, able: Vec<&str>| SpecError::NoGradient {
        search: "first-order",
        what,
        name,
        able: match able.is_empty() {
            true => "none".to_owned(),
            false => able.join(", "),
        },
    };
    if !differentiable(model) {
        // Opening them all takes a moment, and only a refusal asks for it.
        let opens = |entry: &&ModelEntry| {
            (entry.open)(&Place::cpu()).is_ok_and(|model| differentiable(&model))
        };
        let able = registry.models.iter().filter(opens);
        let able = able.map(|entry| entry.name.as_str()).collect();
        return Err(refuse("model", entry.name.clone(), able));
    }
    let mut named = verifiers.iter().filter(|v| v.id().name == name.as_str());
    if named.any(|verifier| verifier.gradient().is_some()) {
        return Ok(());
    }
    let judges = registry.verifiers.iter().filter(|v| v.judges.judges(entry));
    let able = judges.filter(|v| (v.open)().is_ok_and(|verifier| verifier.gradient().is_some()));
    let able = able.map(|entry| entry.name.as_str()).collect();
    Err(refuse("verifier", name.to_string(), able))
}

/// Whether a noise's gradient can be taken through the whole model.
fn differentiable(model: &Model) -> bool {
    model.denoiser.gradient().is_some() && model.decoder.gradient().is_some()
}
