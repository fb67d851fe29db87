//! Every limit of this crate, stored once, with its reason.

/// Bytes of a study's file: studies are small.
pub const STUDY_BYTES_MAX: u64 = 1 << 20;

/// Bytes of a prompt set: the largest public ones have some hundred thousand lines.
pub const PROMPTS_BYTES_MAX: u64 = 64 << 20;

/// Characters of one prompt: far beyond what any text encoder reads.
pub const PROMPT_CHARS_MAX: usize = 10_000;

/// Cells of a study: their rows are held in memory.
pub const CELLS_MAX: usize = 1_000_000;

/// Bytes of one line of known outcomes: the largest batch, 256 rows with 2048 features each.
pub const KNOWN_LINE_MAX: usize = 8 << 20;

/// Bytes of known outcomes, which are read whole: some ten million of them.
pub const KNOWN_MAX: u64 = 4 << 30;
