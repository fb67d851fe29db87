//! Spend more compute at inference, get a better sample from a frozen diffusion model, by
//! searching over its noises with verifiers.
//!
//! ```text
//! Spec -> check -> Checked -> run -> runs/<utc>-<name>-<hash8>/ -> resume, verify, report
//! ```

pub mod disk;
mod error;
mod font;
mod grid;
pub mod limits;
pub mod observe;
pub mod picture;
pub mod registry;
pub mod spec;
mod spec_search;
pub mod summary;

pub use error::{Error, ErrorKind};
