//! What makes an image: paths, solvers, guidance and the model families.

pub mod checkpoint;
pub mod decode;
pub mod denoiser;
mod elementwise;
pub mod gradient;
pub mod guidance;
pub mod lab;
pub mod layers;
pub mod limits;
pub mod models;
pub mod nn;
pub mod parity;
pub mod path;
pub mod pipeline;
pub mod prediction;
pub mod preview;
pub mod replay;
pub mod schedule;
pub mod solver;
pub mod task;
pub mod text;
pub mod weights;
