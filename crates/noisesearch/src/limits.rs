//! Every limit of this crate, stored once, with its reason.

/// Solver steps: the paper's finest generation has 250 NFE; more than 1000 is a typing error.
pub const STEPS_MAX: u16 = 1000;

/// Rows that run together: memory grows with them, speed does not beyond a few dozen.
pub const BATCH_MAX: usize = 256;

/// Candidates kept as images: what a grid can still show.
pub const COUNT_MAX: usize = 64;

/// Guidance: above this every model saturates.
pub const GUIDANCE_MAX: f32 = 100.0;

/// Characters of a prompt or class: far beyond what any text encoder reads, and with each escaped
/// as six they still fit in the first line of a journal.
pub const SUBJECT_CHARS_MAX: usize = 10_000;

/// Bytes of a config file: specs are small.
pub const CONFIG_BYTES_MAX: usize = 1 << 20;

/// Bytes of states that the prefix cache holds when nothing is said: some thousand latents of small
/// pictures and 250 of a megapixel, more than any search goes back to.
pub const CACHE_BYTES: u64 = 256_000_000;

/// Bytes of an image file of a run that is read back: the largest picture, uncompressed.
pub const IMAGE_BYTES_MAX: u64 = 64 << 20;

/// Bytes of a list of prompts: a hundred thousand of them.
pub const PROMPTS_BYTES_MAX: u64 = 16 << 20;

/// Free bytes on the disk before a run starts: a journal line is a few hundred bytes and an image
/// some thousands, so a run that begins does not end for lack of space.
pub const FREE_BYTES_MIN: u64 = 64 << 20;
