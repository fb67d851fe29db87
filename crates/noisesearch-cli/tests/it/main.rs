//! The real binary, as a user runs it.

mod advise;
mod bad_input;
mod bad_pictures;
mod bad_studies;
mod cli;
mod common;
mod crash;
mod disk_models;
mod disk_runs;
#[cfg(feature = "hub")]
mod download;
mod families;
#[cfg(feature = "judge")]
mod fees;
mod first_order;
mod folders;
mod half;
#[cfg(feature = "hub")]
#[path = "../../../noisesearch/tests/hub/server.rs"]
mod hub_server;
#[cfg(feature = "judge")]
#[path = "../../../noisesearch-verifiers/tests/llm/server.rs"]
mod llm_server;
mod measure;
mod previews;
mod programs;
mod saved;
mod slow_program;
mod study;
