//! `noisesearch verifiers`.

use crate::exit::Exit;
use noisesearch::registry::{Registry, VerifierEntry};
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
    let family = registry
        .models
        .iter()
        .filter(|model| model.family == entry.family);
    let role = |model: &noisesearch::registry::ModelEntry| {
        let name = &entry.name;
        let role = match (&model.defaults.verifiers, &model.defaults.watch) {
            (verifiers, _) if verifiers.contains(name) => ", optimised by default",
            (_, watch) if watch.contains(name) => ", watched by default",
            _ => "",
        };
        format!("{}{role}", model.name)
    };
    let models: Vec<String> = family.map(role).collect();
    format!(
        "{:14} {}\n{:14} judges {}\n",
        entry.name,
        entry.about,
        "",
        models.join("; ")
    )
}
