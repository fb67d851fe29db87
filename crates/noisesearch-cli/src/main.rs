//! The noisesearch binary.
fn main() {}
