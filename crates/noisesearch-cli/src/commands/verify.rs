//! `noisesearch verify RUN`.

use crate::commands::of_run;
use crate::exit::Exit;
use noisesearch::registry::Registry;
use std::io::{self, Write};
use std::path::Path;

/// Makes the winner and the baseline again, with `all` every candidate, and says what differs.
pub fn run(run: &Path, all: bool) -> anyhow::Result<Exit> {
    let found =
        noisesearch::verify(&Registry::builtin(), run, all).map_err(|error| of_run(run, error))?;
    let mut text = format!(
        "made again from recipes: {}, of which {} with their pixels\n",
        found.candidates, found.pictures
    );
    for mismatch in found.mismatches.iter().chain(&found.varied) {
        text.push_str(&format!("{}: {}\n", mismatch.what, mismatch.how));
    }
    let same = found.mismatches.is_empty();
    text.push_str(match (same, found.varied.is_empty()) {
        (true, true) => "all the same\n",
        (true, false) => "all the same, as far as its verifiers answer the same twice\n",
        (false, _) => "this run is not what it says\n",
    });
    io::stdout().write_all(text.as_bytes())?;
    Ok(if same { Exit::Done } else { Exit::Failed })
}
