//! Model families, one folder each.

pub mod resnet;
pub mod scenes;
pub mod sit;
pub mod unet;
pub mod vae;
