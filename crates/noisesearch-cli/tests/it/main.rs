//! The real binary, as a user runs it.

mod bad_input;
mod cli;
mod common;
mod crash;
mod disk_models;
mod families;
mod folders;
mod half;
