//! One command a file.

mod advise;
mod completions;
#[cfg(feature = "hub")]
mod download;
mod fid;
mod generate;
mod models;
mod report;
mod resume;
mod score;
mod searches;
mod study;
mod verifiers;
mod verify;

use crate::args::Command;
use crate::exit::Exit;
use noisesearch::Error;
use noisesearch::rundir::SPEC;
use std::path::Path;

/// Runs a command.
pub fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Generate(args) => generate::run(*args),
        Command::Advise(args) => advise::run(*args),
        Command::Resume { run, json } => resume::run(&run, json),
        Command::Verify { run, all } => verify::run(&run, all),
        Command::Report { run } => report::run(&run),
        Command::Study(args) => study::run(&args),
        Command::Score(args) => score::run(args),
        Command::Fid(args) => fid::run(&args),
        #[cfg(feature = "hub")]
        Command::Download { name, yes } => download::run(&name, yes),
        Command::Models => models::run(),
        Command::Verifiers => verifiers::run(),
        Command::Searches => searches::run(),
        Command::Completions { shell } => completions::run(shell),
    }
}

/// An error of a run; one in its spec does not know in which file it is.
fn of_run(run: &Path, error: Error) -> anyhow::Error {
    match error {
        Error::Spec(error) => {
            anyhow::Error::from(error).context(run.join(SPEC).display().to_string())
        }
        other => other.into(),
    }
}
