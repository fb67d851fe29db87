//! Model families, one folder each.

pub mod flux;
mod rows;
pub mod scenes;
pub mod sit;
