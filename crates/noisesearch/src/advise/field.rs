//! Who takes part in a race.

use super::plan::Advice;
use super::race::Entrant;
use super::track::terms;
use crate::error::Error;
use crate::spec::Checked;
use noisesearch_core::search::{SearchSpec, paths};

/// The default searches, the best allocation of `advice` and other settings of search over paths,
/// as far as the budget pays for them. Searches along gradients are left out: few models and
/// verifiers have them.
pub fn field(spec: &Checked, advice: &Advice) -> Result<Vec<Entrant>, Error> {
    let steps = spec.steps;
    let default = |search| Entrant {
        search,
        search_steps: steps,
        default: true,
    };
    let defaults = SearchSpec::all().into_iter().map(default);
    let defaults = defaults.filter(|entrant| !matches!(entrant.search, SearchSpec::FirstOrder(_)));
    let other = |search| Entrant {
        search,
        search_steps: steps,
        default: false,
    };
    let looked = advice.foreseen();
    let more = paths_settings(steps)
        .into_iter()
        .map(|spec| other(SearchSpec::Paths(spec)));
    let mut field: Vec<Entrant> = Vec::new();
    for entrant in defaults.chain([looked]).chain(more) {
        let terms = terms(spec, &entrant, advice.budget_nfe, 0)?;
        let new = field.iter().all(|other| !other.alike(&entrant));
        if new && entrant.search.build(&terms).is_ok() {
            field.push(entrant);
        }
    }
    Ok(field)
}

/// Settings of search over paths that are tried, for a model with so many steps: shorter legs, and
/// a start further from the end with larger stretches between judgements. What other settings did
/// on the lab's scenes is in `docs/advice.md`.
fn paths_settings(steps: u16) -> [paths::Spec; 3] {
    let short = Some((f64::from(steps) / 8.0).round().max(1.0) as u16);
    let early = paths::Spec {
        sigma: 0.2,
        forward: 0.7,
        backward: 0.74,
        ..paths::Spec::default()
    };
    [
        early.clone(),
        paths::Spec {
            leg_steps: short,
            ..early
        },
        paths::Spec {
            leg_steps: short,
            ..paths::Spec::default()
        },
    ]
}
