//! Gradients of the lab's models and of their verifiers: golden values of PyTorch's autograd, and
//! central differences of our own forwards.

mod common;
mod glyphs;
mod scenes;
