//! `noisesearch searches`.

use crate::exit::Exit;
use noisesearch_core::search::SearchSpec;
use std::io::{self, Write};

/// Lists the searches and the defaults of their settings.
pub fn run() -> anyhow::Result<Exit> {
    let lines: String = SearchSpec::all().iter().map(line).collect();
    io::stdout().write_all(lines.as_bytes())?;
    Ok(Exit::Done)
}

fn line(spec: &SearchSpec) -> String {
    let typed = flags(spec);
    let settings = typed
        .split_once(' ')
        .map_or("no settings", |(_, rest)| rest);
    format!(
        "{:14} {}\n{:14} by default {settings}\n",
        spec.name(),
        spec.about(),
        ""
    )
}

/// A search as it is typed after `--search`.
pub fn flags(spec: &SearchSpec) -> String {
    // The TOML form shows every number as short as it was written.
    let text = toml::to_string(spec)
        .unwrap_or_default()
        .replace(['"', '[', ']'], "");
    let settings = text.lines().filter_map(|line| line.split_once(" = "));
    let settings = settings.filter(|(name, _)| *name != "method");
    let flag = |(name, value): (&str, &str)| format!(" --{name} {}", value.replace(", ", ","));
    spec.name().to_owned() + &settings.map(flag).collect::<String>()
}
