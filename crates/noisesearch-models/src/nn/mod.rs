//! The operations that networks are made of: one image at a time, the same bits everywhere.
//!
//! An image is `[height, width, channels]` (channels innermost), a sequence is
//! `[tokens, channels]`, so a sequence is an image read in reading order. Every operation takes
//! the instruction level ([`isa::Isa`]) first, writes into memory of the caller (see
//! [`buffer::Arena`]) and runs on the calling thread, where it does not say otherwise; networks run
//! rows in parallel. Each output
//! is computed in one fixed order of exactly rounded operations. So a result depends neither on
//! the batch, nor on the number of threads, nor on the processor.
//!
//! Shapes are the caller's responsibility: lengths that do not fit panic.

mod accumulate;
pub mod activation;
pub mod attention;
pub mod backward;
pub mod bf16;
pub mod buffer;
pub mod conv;
pub mod embed;
mod epilogue;
pub mod gemm;
pub mod group_norm;
pub mod int8;
pub mod isa;
mod lanes;
pub mod norm;
pub mod peak;
pub mod resample;
pub(crate) mod tiles;
mod windows;

#[cfg(test)]
pub(crate) mod testing;
