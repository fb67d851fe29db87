//! How the program ends: exit codes, and errors as a person reads them.

use crate::outcome;
use noisesearch::measure::MeasureError;
use noisesearch::rundir::SPEC;
use noisesearch::spec::SpecError;
use noisesearch::{Error, ErrorKind};
use noisesearch_study::StudyError;
use std::io::{self, ErrorKind as Io, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Done = 0,
    /// What was asked makes no sense.
    Usage = 1,
    /// It did not work.
    Failed = 2,
    /// The run stopped early and can be resumed.
    Stopped = 3,
    /// The journal is damaged.
    Damaged = 4,
    /// An input was read and refused.
    Refused = 5,
}

/// What was typed makes no sense, in a way that only the command line can know.
#[derive(Debug)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The exit of a command; an error is printed first. A reader that has gone is no error.
pub fn of(result: anyhow::Result<Exit>) -> Exit {
    let error = match result {
        Ok(exit) => return exit,
        Err(error) => error,
    };
    let gone = |error: &io::Error| error.kind() == Io::BrokenPipe;
    if error.downcast_ref::<io::Error>().is_some_and(gone) {
        return Exit::Done;
    }
    say(&format!("error: {}", message(&error)));
    let exit = kind(&error);
    if exit != Exit::Stopped {
        return exit;
    }
    if error.is::<StudyError>() {
        say("to go on: the same command again");
        return exit;
    }
    // What never began cannot be resumed.
    let Some(run) = begun(&error) else {
        return Exit::Failed;
    };
    say(&format!("to go on: {}", outcome::resume(run)));
    exit
}

/// The error and its causes, as far as it does not say them itself.
fn message(error: &anyhow::Error) -> String {
    let add = |text: String, cause: String| match text.contains(&cause) {
        true => text,
        false => format!("{text}: {cause}"),
    };
    error
        .chain()
        .map(ToString::to_string)
        .reduce(add)
        .unwrap_or_default()
}

/// The exit of a command line that could not be read, or that asked for help.
pub fn of_usage(error: &clap::Error) -> Exit {
    // Nothing is left to do when the reader of the help has gone.
    drop(error.print());
    if error.use_stderr() {
        Exit::Usage
    } else {
        Exit::Done
    }
}

/// Lines for a person on stderr; nobody listening is fine. What steers a terminal is shown, not
/// obeyed: prompts and files are quoted in messages.
pub fn say(text: &str) {
    let mut line = String::with_capacity(text.len() + 1);
    for letter in text.chars() {
        if letter.is_control() && letter != '\n' {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
    }
    line.push('\n');
    drop(io::stderr().write_all(line.as_bytes()));
}

/// The run that an error stopped, if it had begun.
fn begun(error: &anyhow::Error) -> Option<&Path> {
    match error.downcast_ref()? {
        Error::Disk { run, .. } | Error::Journal { run, .. } => Some(run),
        Error::Verifier { run, .. } => run.as_ref(),
        _ => None,
    }
    .filter(|run| run.join(SPEC).exists())
    .map(PathBuf::as_path)
}

fn kind(error: &anyhow::Error) -> Exit {
    if error.is::<Usage>() || error.is::<SpecError>() {
        return Exit::Usage;
    }
    let study = error.downcast_ref::<StudyError>().map(StudyError::kind);
    let kind = study.or(error.downcast_ref::<Error>().map(Error::kind));
    match kind.or_else(|| error.downcast_ref().map(MeasureError::kind)) {
        Some(ErrorKind::Usage) => Exit::Usage,
        Some(ErrorKind::Resumable) => Exit::Stopped,
        Some(ErrorKind::Damaged) => Exit::Damaged,
        Some(ErrorKind::Refused) => Exit::Refused,
        Some(ErrorKind::Failed) | None => Exit::Failed,
    }
}
