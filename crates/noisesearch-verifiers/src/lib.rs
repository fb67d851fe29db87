//! What judges a sample: one verifier, one file.

pub mod agreement;
pub mod aspect;
pub mod base64;
pub mod command;
pub mod conformance;
pub mod fid;
pub mod glyphs;
pub mod image;
pub mod inception;
pub mod limits;
#[cfg(feature = "judge")]
pub mod llm;
pub mod metrics;
pub mod picture;
pub mod preprocess;
pub mod resample;
pub mod reward;
pub mod scenes;
pub mod url;
pub mod verifier;
pub mod vision;
