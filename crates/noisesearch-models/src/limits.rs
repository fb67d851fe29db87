//! Limits of what this crate reads, each with its reason.

/// Bytes of a safetensors header. The format allows 100 MB; the largest published model's header
/// is under 1 MB, and a header is parsed before anything else is known of a file.
pub const HEADER_BYTES_MAX: u64 = 16 << 20;

/// Tensors in one file; the largest published models have a few thousand.
pub const TENSORS_MAX: usize = 100_000;

/// Bytes of one model file: above every published shard, below what would only fill memory.
pub const FILE_BYTES_MAX: u64 = 64 << 30;

/// Layers of one kind that a configuration may ask for; the largest published models have 57.
pub const LAYERS_MAX: usize = 1000;

/// Features of one kind that a configuration may ask for, so that no product of two overflows and
/// no configuration alone can fill memory; the largest published models have a few ten thousand.
pub const FEATURES_MAX: usize = 65_536;

/// Numbers that stand in for tensors a file lacks, before loading ends with what is missing so far:
/// a gibibyte, so that a configuration that asks for too much cannot fill memory.
pub const MISSING_NUMBERS_MAX: usize = 1 << 28;

/// Bytes of a text file of a model: a tokenizer's vocabulary has a few million.
pub const SIDE_FILE_BYTES_MAX: u64 = 32 << 20;

/// Pixels of an image's longer side: four times what the largest published model was trained for,
/// and what verifiers read back.
pub const SIDE_PIXELS_MAX: usize = 4096;
