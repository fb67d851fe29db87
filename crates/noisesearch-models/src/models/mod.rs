//! Model families, one folder each.

pub mod resnet;
pub mod scenes;
pub mod scheduler;
pub mod sd15;
pub mod sdxl;
pub mod sit;
pub mod unet;
pub mod vae;
