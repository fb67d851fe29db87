//! The scenes model of the embedded lab: text to 64x64 RGB images of coloured shapes.

pub mod grammar;
