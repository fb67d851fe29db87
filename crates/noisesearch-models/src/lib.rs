//! What makes an image: paths, solvers, guidance and the model families.

pub mod denoiser;
pub mod models;
pub mod nn;
pub mod task;
