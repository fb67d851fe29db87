//! What judges a sample: one verifier, one file.

pub mod verifier;
