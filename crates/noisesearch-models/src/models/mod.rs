//! Model families, one folder each.

pub mod scenes;
pub mod sit;
