//! `noisesearch completions SHELL`.

use crate::args::Cli;
use crate::exit::Exit;
use clap::CommandFactory;
use clap_complete::Shell;
use std::io::{self, Write};

/// Prints a completion script.
pub fn run(shell: Shell) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "noisesearch", &mut script);
    io::stdout().write_all(&script)?;
    Ok(Exit::Done)
}
