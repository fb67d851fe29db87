//! The noisesearch command line.

#![forbid(unsafe_code)]

mod args;
mod commands;
mod exit;
mod files_args;
mod interrupt;
mod measure_args;
mod model_args;
mod outcome;
mod screen;
mod search_args;

use clap::Parser;
use std::process::ExitCode;

/// Keeps freed memory for a while: the results of layers are large, and fresh pages for each would
/// take a tenth of the time of a large network.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let exit = match args::Cli::try_parse() {
        Ok(cli) => exit::of(cli.prefer_level().and_then(|()| commands::run(cli.command))),
        Err(error) => exit::of_usage(&error),
    };
    exit.into()
}
