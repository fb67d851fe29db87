//! `noisesearch models`.

use crate::exit::Exit;
use noisesearch::registry::{ModelEntry, Registry};
use std::io::{self, Write};

/// Lists the models and their defaults.
pub fn run() -> anyhow::Result<Exit> {
    let lines: Vec<String> = Registry::builtin().models.iter().map(line).collect();
    io::stdout().write_all(lines.concat().as_bytes())?;
    Ok(Exit::Done)
}

fn line(entry: &ModelEntry) -> String {
    let defaults = &entry.defaults;
    let watch = if defaults.watch.is_empty() {
        String::new()
    } else {
        format!(", watch {}", defaults.watch.join(" "))
    };
    format!(
        "{:14} {}\n{:14} takes a {}; by default {} {} steps, guidance {}, budget {}, verifier \
         {}{watch}\n",
        entry.name,
        entry.about,
        "",
        entry.task.word(),
        defaults.steps,
        defaults.solver.name(),
        defaults.guidance,
        defaults.budget,
        defaults.verifiers.join(" "),
    )
}
