//! Every limit, stored once, with its reason.

/// Moves in a recipe. A chain of nudges is one move a round, so this is the number of rounds
/// that one lineage may improve; a recipe stays under 4 KB and replaying its noises under a
/// millisecond for the sizes of the embedded models.
pub const MOVES_MAX: usize = 255;

/// Verifiers named in one objective: a row of scores stays small enough to print.
pub const VERIFIERS_MAX: usize = 32;

/// Below this a level counts as clean: far under the cell of the finest schedule in use (1e-3),
/// far above the rounding of sums of levels in f64.
pub const LEVEL_EPSILON: f64 = 1e-6;
