//! From a prompt to what a network is told: tokenizers and text encoders of published models.

mod bpe;
mod charsmap;
mod clip;
mod clip_component;
mod clip_tokenizer;
mod config;
mod embedding;
mod error;
mod files;
mod open_clip;
mod sentencepiece;
mod special;
mod t5;
mod t5_component;
mod t5_tokenizer;
#[cfg(test)]
mod tests;
mod unigram;

pub use clip::{ClipText, ClipTextConfig, ClipTextOutput};
pub use clip_component::ClipComponent;
pub use clip_tokenizer::{ClipTokenizer, Padding};
pub use error::TextError;
pub use files::Files;
pub use t5::{T5Config, T5Encoder};
pub use t5_component::{Padded, T5Component};
pub use t5_tokenizer::T5Tokenizer;
