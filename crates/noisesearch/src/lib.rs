//! Spend more compute at inference, get a better sample from a frozen diffusion model, by
//! searching over its noises with verifiers.
//!
//! ```text
//! Spec -> check -> Checked -> run -> runs/<utc>-<name>-<hash8>/ -> resume, verify, report
//! ```

pub mod advise;
mod before;
mod cache;
mod chart;
pub mod disk;
#[cfg(feature = "hub")]
pub mod download;
pub mod engine;
pub mod engines;
mod error;
pub mod files;
mod finals;
mod font;
mod gallery;
pub mod goal;
mod gradient;
mod grid;
mod html;
mod identity;
mod judges;
pub mod known;
mod lab;
mod library;
pub mod limits;
pub mod measure;
pub mod memory;
mod meter;
pub mod observe;
pub mod preview;
pub mod record;
pub mod registry;
mod relay;
mod report;
mod run;
pub mod rundir;
mod session;
pub mod size;
pub mod spec;
mod spec_error;
mod spec_judges;
mod spec_search;
pub mod summary;
mod verify;

pub use error::{Error, ErrorKind};
pub use noisesearch_models::nn::isa::Isa;
pub use noisesearch_models::task;
pub use noisesearch_verifiers::command::exit_at_once;
pub use noisesearch_verifiers::picture;
pub use report::report;
pub use run::{resume, run};
pub use verify::{Mismatch, Verification, verify};
