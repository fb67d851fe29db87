//! FLUX.1 (Black Forest Labs 2024): a rectified flow (Esser et al., arXiv 2403.03206) whose
//! transformer first keeps text and image apart, then works on both as one sequence.
//!
//! A double block, for text and image alike, and a single block, with `shift, scale, gate, …`
//! from the time, the guidance scale and the pooled text:
//!
//! ```text
//! x += gate1 * out(attention(qkv(layer_norm(x) * (1 + scale1) + shift1)))    over both streams
//! x += gate2 * mlp(layer_norm(x) * (1 + scale2) + shift2)
//!
//! h  = layer_norm(x) * (1 + scale) + shift
//! x += gate * out([attention(qkv(h)), gelu(wide(h))])
//! ```
//!
//! Queries and keys are normalised by heads and turned by rotary positions over three axes, of
//! which a text token has none. The key layout is that of diffusers' `FluxTransformer2DModel`.

mod block;
mod config;
mod network;
mod open;
mod positions;
mod schedule;

pub use config::FluxConfig;
pub use network::Flux;
pub use open::open;
pub use schedule::FlowConfig;
