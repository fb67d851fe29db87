//! The real binary, as a user runs it.

mod advise;
mod bad_input;
mod bad_pictures;
mod bad_studies;
mod cli;
mod common;
mod crash;
mod disk_models;
mod families;
mod first_order;
mod folders;
mod measure;
mod study;
