//! Studies: a question put to models, searches, verifiers and budgets at equal cost, answered with
//! paired differences, intervals and figures.
//!
//! ```text
//! study.toml -> StudyFile -> cells (arm, point, task, seed) -> Row each -> estimates -> claims, figures
//! ```

pub mod answers;
pub mod check;
pub mod claims;
pub mod curse;
pub mod figures;
pub mod file;
pub mod findings;
pub mod measure;
pub mod overlay;
mod page;
pub mod plot;
pub mod population;
pub mod report;
pub mod row;
mod samples;
pub mod stats;

#[cfg(test)]
mod testing;
