//! PixArt-Sigma and PixArt-Alpha (Chen et al., arXiv 2403.04692 and 2310.00426): a transformer on
//! patches of latents that reads a caption by cross-attention. A block, with `shift, scale, gate,
//! …` from one projection of the time for all blocks plus the block's own table (adaLN-single):
//!
//! ```text
//! x += gate1 * attention(layer_norm(x) * (1 + scale1) + shift1)
//! x += cross_attention(x, caption)
//! x += gate2 * mlp(layer_norm(x) * (1 + scale2) + shift2)
//! ```
//!
//! The key layout is that of diffusers' `PixArtTransformer2DModel`.

mod block;
mod config;
mod network;
mod open;

pub use config::PixArtConfig;
pub use network::PixArt;
pub use open::open;
