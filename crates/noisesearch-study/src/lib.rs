//! Studies: a question put to models, searches, verifiers and budgets at equal cost, answered with
//! paired differences, intervals and figures.
//!
//! ```text
//! study.toml -> StudyFile -> cells (arm, point, task, seed) -> Row each -> estimates -> claims, figures
//! ```

pub mod answers;
pub mod check;
pub mod claims;
pub mod figures;
pub mod file;
pub mod measure;
pub mod overlay;
pub mod plot;
pub mod population;
pub mod row;
pub mod stats;

#[cfg(test)]
mod testing;
