//! The procedural data of the embedded lab: scenes drawn from the grammar, with their truth.
//!
//! Training streams these pictures, and the tests of the exact grader read them back.

pub mod draw;
pub mod rng;
pub mod sample;
