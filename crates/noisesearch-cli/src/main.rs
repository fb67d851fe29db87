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

fn main() -> ExitCode {
    noisesearch_allocator::keep_freed_memory();
    let exit = match args::Cli::try_parse() {
        Ok(cli) => exit::of(cli.prefer_level().and_then(|()| commands::run(cli.command))),
        Err(error) => exit::of_usage(&error),
    };
    exit.into()
}
