//! What makes an image: paths, solvers, guidance and the model families.

pub mod denoiser;
pub mod guidance;
pub mod models;
pub mod nn;
pub mod path;
pub mod prediction;
pub mod schedule;
pub mod solver;
pub mod task;
