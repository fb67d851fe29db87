//! `noisesearch report RUN`.

use crate::commands::of_run;
use crate::exit::Exit;
use noisesearch::registry::Registry;
use std::io::{self, Write};
use std::path::Path;

/// Writes the grid and the report of a run anew and prints the report's path.
pub fn run(run: &Path) -> anyhow::Result<Exit> {
    let path =
        noisesearch::report(&Registry::builtin(), run).map_err(|error| of_run(run, error))?;
    writeln!(io::stdout(), "{}", path.display())?;
    Ok(Exit::Done)
}
