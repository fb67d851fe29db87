//! Every limit, stored once, with its reason.

/// Moves in a recipe. A chain of nudges is one move a round, so this is the number of rounds
/// that one lineage may improve; a recipe stays under 9 KB and replaying its noises under a
/// millisecond for the sizes of the embedded models.
pub const MOVES_MAX: usize = 255;

/// Verifiers named in one objective: a row of scores stays small enough to print.
pub const VERIFIERS_MAX: usize = 32;

/// Below this a level counts as clean: far under the cell of the finest schedule in use (1e-3),
/// far above the rounding of sums of levels in f64.
pub const LEVEL_EPSILON: f64 = 1e-6;

/// Bytes in one journal line: an entry of [`TELLS_MAX`] outcomes is a tenth of it.
pub const JOURNAL_LINE_MAX: usize = 64 << 10;

/// Bytes in a journal: it is read whole on resume. Room for ten million candidates.
pub const JOURNAL_MAX: u64 = 4 << 30;

/// Outcomes in one journal entry, which is what a crash can lose.
pub const TELLS_MAX: usize = 32;

/// Times that a job whose worker died is tried again before it counts as failed.
pub const RETRIES_MAX: u32 = 2;

/// Characters of a worker's last words that are kept.
pub const REASON_MAX: usize = 200;
