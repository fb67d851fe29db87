//! One command a file.

mod completions;
mod generate;
mod models;
mod report;
mod resume;
mod searches;
mod verifiers;
mod verify;

use crate::args::Command;
use crate::exit::Exit;

/// Runs a command.
pub fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Generate(args) => generate::run(*args),
        Command::Resume { run, json } => resume::run(&run, json),
        Command::Verify { run, all } => verify::run(&run, all),
        Command::Report { run } => report::run(&run),
        Command::Models => models::run(),
        Command::Verifiers => verifiers::run(),
        Command::Searches => searches::run(),
        Command::Completions { shell } => completions::run(shell),
    }
}
