//! Studies: a question put to models, searches, verifiers and budgets at equal cost, answered with
//! paired differences, intervals and figures.
//!
//! ```text
//! study.toml -> StudyFile -> cells (arm, point, task, seed) -> Row each -> estimates -> claims, figures
//! ```

mod bench;
mod cell;
pub mod check;
mod error;
pub mod file;
mod images;
mod known;
pub mod limits;
mod maker;
pub mod measure;
mod output;
mod plan;
pub mod prompts;
pub mod row;
mod scout;
pub mod study;
mod table;
pub mod watch;

pub use error::StudyError;
pub use study::run;
