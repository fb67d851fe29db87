//! Judges pictures that lie in files, whoever made them: [`score()`] asks verifiers about each,
//! [`compare`] measures a set of them against another.

mod error;
mod pictures;
mod score;
mod sets;
mod statistics;
mod tasks;

pub use error::MeasureError;
pub use noisesearch_verifiers::metrics::describe::Describer;
pub use noisesearch_verifiers::metrics::precision_recall::PrecisionRecall;
pub use noisesearch_verifiers::metrics::scores::PassRate;
pub use pictures::{Listing, list};
pub use score::{Scored, Totals, open, score, totals};
pub use sets::{Comparison, DESCRIBERS, Set, compare, describe, describer};
pub use statistics::{read, reference, save};
pub use tasks::{Tasks, read_tasks};
