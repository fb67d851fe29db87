//! Studies: a question put to models, searches, verifiers and budgets at equal cost, answered with
//! paired differences, intervals and figures.
//!
//! ```text
//! study.toml -> StudyFile -> cells (arm, point, task, seed) -> Row each -> estimates -> claims, figures
//! ```

pub mod file;
pub mod row;
