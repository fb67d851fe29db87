//! `noisesearch verifiers`.

use crate::exit::Exit;
use noisesearch::registry::{Judges, ModelEntry, Registry, VerifierEntry};
use std::io::{self, Write};

/// Lists the verifiers, the models that they judge, and which of these use them by default.
pub fn run() -> anyhow::Result<Exit> {
    let registry = Registry::builtin();
    let lines: Vec<String> = registry
        .verifiers
        .iter()
        .map(|entry| line(&registry, entry))
        .collect();
    io::stdout().write_all(lines.concat().as_bytes())?;
    Ok(Exit::Done)
}

fn line(registry: &Registry, entry: &VerifierEntry) -> String {
    let judged = registry
        .models
        .iter()
        .filter(|model| entry.judges.judges(model));
    let role = |model: &ModelEntry| {
        let named = |names: &[&str]| names.iter().any(|name| *name == entry.name);
        let role = match (&model.defaults.verifiers, &model.defaults.watch) {
            (verifiers, _) if named(verifiers) => ", optimised by default",
            (_, watch) if named(watch) => ", watched by default",
            _ => "",
        };
        format!("{}{role}", model.name)
    };
    let judges = match entry.judges {
        Judges::Family(_) => judged.map(role).collect::<Vec<_>>().join("; "),
        Judges::Colour(Some(task)) => format!("colour pictures of a {}", task.word()),
        Judges::Colour(None) => "colour pictures".to_owned(),
    };
    let place = registry
        .whereabouts(entry)
        .map(|place| format!("\n{:14} {place}", ""));
    format!(
        "{:14} {}\n{:14} judges {judges}{}\n",
        entry.name,
        entry.about,
        "",
        place.unwrap_or_default()
    )
}
