//! Every limit of this crate, stored once, with its reason.

/// Seconds that a verifier's program may take for one batch when nothing is said: a large network
/// on a slow processor needs a minute, and a program that hangs should not cost an afternoon.
pub const COMMAND_SECONDS: u64 = 120;

/// Seconds that it may be given: a day, as long as its processor time may last.
pub const COMMAND_SECONDS_MAX: u64 = 24 * 3600;

/// Bytes of a line that a verifier's program answers with: 256 scores need 6 KB.
pub const COMMAND_REPLY_BYTES_MAX: usize = 64 << 10;

/// Bytes of what a program wrote to stderr that a message may quote: its last lines.
pub const COMMAND_STDERR_BYTES_KEPT: usize = 1 << 10;

/// Bytes of address space of a verifier's program: above any network on a processor, below what
/// would take the machine down.
pub const COMMAND_MEMORY_BYTES_MAX: u64 = 64 << 30;

/// Seconds of processor time of a verifier's program, over the whole run.
pub const COMMAND_CPU_SECONDS_MAX: u64 = 24 * 3600;

/// Bytes of a file that a verifier's program writes: it has nothing large to write.
pub const COMMAND_FILE_BYTES_MAX: u64 = 1 << 30;

/// Files that a verifier's program has open; the usual default of systems.
pub const COMMAND_OPEN_FILES_MAX: u64 = 1024;

/// Bytes of a file of certificates: the whole of a system's authorities is a tenth of it.
pub const LLM_AUTHORITIES_BYTES_MAX: u64 = 4 << 20;

/// Requests to a judge that run at the same time when nothing is said: what free tiers allow.
pub const LLM_CONCURRENT: usize = 4;

/// Requests that may be told to: each has a thread, and a batch has no more pictures.
pub const LLM_CONCURRENT_MAX: usize = 256;

/// Seconds that a judge is waited for because it asks to: quotas are of a minute, and who wants
/// hours should be resumed then.
pub const LLM_RETRY_SECONDS_MAX: u64 = 120;

/// Seconds for one request to a judge: a slow model takes half of it.
pub const LLM_SECONDS_MAX: u64 = 60;

/// Times that a request is sent, the first included.
pub const LLM_ATTEMPTS_MAX: u32 = 4;

/// Bytes of a response of a judge: a grade is about 2 KB, its envelope another.
pub const LLM_RESPONSE_BYTES_MAX: u64 = 256 << 10;

/// Bytes of one cached grade.
pub const LLM_CACHED_BYTES_MAX: u64 = 64 << 10;

/// Answers of a judge that are kept until the other verifiers of that judge have taken them: each
/// takes a batch of at most 256 pictures as soon as it was asked; more, for runs side by side.
pub const LLM_LEFT_MAX: usize = 1024;
