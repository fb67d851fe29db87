//! The real binary, as a user runs it.

mod bad_input;
mod cli;
mod common;
mod crash;
mod disk_models;
mod disk_runs;
#[cfg(feature = "hub")]
mod download;
mod families;
mod folders;
mod half;
#[cfg(feature = "hub")]
#[path = "../../../noisesearch/tests/hub/server.rs"]
mod hub_server;
