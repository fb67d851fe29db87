//! `noisesearch searches`.

use crate::exit::Exit;
use noisesearch_core::search::SearchSpec;
use std::io::{self, Write};

/// Lists the searches and the defaults of their settings.
pub fn run() -> anyhow::Result<Exit> {
    let lines: Result<Vec<String>, _> = SearchSpec::all().iter().map(line).collect();
    io::stdout().write_all(lines?.concat().as_bytes())?;
    Ok(Exit::Done)
}

fn line(spec: &SearchSpec) -> anyhow::Result<String> {
    // The TOML form shows every number as short as it was written.
    let text = toml::to_string(spec)?.replace('"', "");
    let settings = text.lines().filter_map(|line| line.split_once(" = "));
    let settings = settings.filter(|(name, _)| *name != "method");
    let settings: String = settings
        .map(|(name, value)| format!(" --{name} {value}"))
        .collect();
    let settings = if settings.is_empty() {
        " no settings"
    } else {
        &settings
    };
    Ok(format!(
        "{:14} {}\n{:14} by default{settings}\n",
        spec.name(),
        spec.about(),
        ""
    ))
}
