//! `noisesearch models`.

use crate::exit::Exit;
use noisesearch::known::{CANDIDATES, KEPT, KNOWN, Known, Origin};
use noisesearch::registry::{ModelEntry, Registry};
use std::io::{self, Write};

/// Lists the models that are part of the program, and the published ones: where they are, or how
/// large, under which licence, and from where.
pub fn run() -> anyhow::Result<Exit> {
    let registry = Registry::builtin();
    let mut text: String = registry.models.iter().map(line).collect();
    text.push_str("\npublished models, whose files lie on the disk");
    let hub = registry.hub.as_ref().map(|hub| hub.path());
    let folders = registry.folder.as_deref().into_iter().chain(hub);
    let folders: Vec<String> = folders.map(|path| path.display().to_string()).collect();
    if !folders.is_empty() {
        text.push_str(&format!(" (looked in {})", folders.join(" and ")));
    }
    text.push('\n');
    text.extend(KNOWN.iter().map(|known| published(&registry, known)));
    io::stdout().write_all(text.as_bytes())?;
    Ok(Exit::Done)
}

/// A published model and where it is.
fn published(registry: &Registry, known: &Known) -> String {
    let from = match known.origin {
        Origin::Hub { repository, .. } | Origin::Tuned { repository, .. } => repository.to_owned(),
        Origin::Converted { page, .. } => format!("{page}, converted"),
    };
    let gate = match known.origin {
        Origin::Hub { gated: true, .. } => ", asks to accept it",
        _ => "",
    };
    let place = match registry.place_of(known) {
        Some(folder) => format!("found: {}", folder.display()),
        None => "not found; `noisesearch generate --model` says how to get it".to_owned(),
    };
    let recipe = &known.recipe;
    let [candidate, answer] = recipe.nfe();
    let pad = format!("\n{:14} ", "");
    [
        format!("{:14} {}", known.name, known.about),
        format!(
            "{from}, {} GB, licence: {}{gate}",
            known.gigabytes, known.licence
        ),
        format!(
            "takes a {}; by default {CANDIDATES} candidates of {} {} steps ({candidate} NFE), the \
             answer {} ({answer} NFE), {KEPT} kept, guidance {}, {} pixels",
            recipe.task.word(),
            recipe.search_steps,
            recipe.solver.name(),
            recipe.steps,
            recipe.guidance,
            recipe.side,
        ),
        place,
    ]
    .join(&pad)
        + "\n"
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
