//! The allocator of the program and of its benchmarks: a binary that calls [`keep_freed_memory`]
//! has it.

/// Keeps freed memory for a while: the results of layers are large, and fresh pages for each would
/// take a tenth of the time of a large network.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of the allocator's header, which its bindings do not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// Milliseconds. A block of FLUX.1 takes more than the allocator's own second, after which its
/// memory would go back to the system before the next block needs as much; weights of an encoder
/// that is not needed any more should not stay for long.
const DELAY: std::ffi::c_long = 10_000;

/// Has freed memory wait ten seconds for what needs it next, before it goes back to the system. To
/// be called at the start of a program.
pub fn keep_freed_memory() {
    // SAFETY: the option exists in all versions of the allocator, and any number is allowed.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, DELAY) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In its own words the allocator has the option at this place: 1000 ms before, ours after.
    #[test]
    fn the_delay_is_the_option_that_it_is_taken_for() {
        // SAFETY: it only reads the option.
        let delay = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(delay(), 1000);
        keep_freed_memory();
        assert_eq!(delay(), DELAY);
    }
}
