//! Studies: a question put to models, searches, verifiers and budgets at equal cost, answered with
//! paired differences, intervals and figures.
//!
//! ```text
//! study.toml -> StudyFile -> cells (arm, point, task, seed) -> Row each
//!           -> estimates -> claims, figures
//! ```

pub mod answers;
mod bench;
mod cell;
pub mod check;
mod checksum;
pub mod claims;
pub mod curse;
mod error;
pub mod figures;
pub mod file;
pub mod findings;
mod greedy;
mod images;
mod known;
pub mod limits;
mod maker;
pub mod measure;
mod output;
pub mod overlay;
mod page;
mod plan;
pub mod plot;
pub mod population;
pub mod prompts;
mod publish;
pub mod report;
pub mod row;
mod samples;
mod scout;
pub mod stats;
pub mod study;
mod table;
pub mod watch;
mod wins;

pub use error::StudyError;
pub use study::run;

#[cfg(test)]
mod shipped;
#[cfg(test)]
mod testing;
