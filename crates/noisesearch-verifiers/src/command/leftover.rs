//! What would be left behind by a process that ends without dropping anything.

use rustix::process::{Pid, Signal, kill_process_group};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Of this process, whoever owns it.
static LEFTOVERS: Mutex<Vec<Leftover>> = Mutex::new(Vec::new());

/// Something that outlives the process.
#[derive(Debug, PartialEq, Eq)]
pub enum Leftover {
    /// A program and everything it started. Its number is its own until it is waited for, so that
    /// nothing else is killed.
    Group(Pid),
    /// A folder with all that is in it.
    Folder(PathBuf),
}

/// Makes something that would be left behind, or nothing: an end at once waits for it.
pub fn make<T, E>(
    make: impl FnOnce() -> Result<T, E>,
    leftover: impl FnOnce(&T) -> Option<Leftover>,
) -> Result<T, E> {
    let mut leftovers = all();
    let made = make()?;
    leftovers.extend(leftover(&made));
    Ok(made)
}

/// Says that its owner has put something away.
pub fn gone(leftover: &Leftover) {
    all().retain(|other| other != leftover);
}

/// Ends this process with an exit code, kills every program that it started as a verifier and
/// removes their folders. Nothing else is dropped.
pub fn exit_at_once(code: i32) -> ! {
    // Held to the end: whoever would start another program waits.
    let leftovers = all();
    for leftover in &*leftovers {
        if let Leftover::Group(group) = leftover {
            let _ = kill_process_group(*group, Signal::KILL);
        }
    }
    for leftover in &*leftovers {
        if let Leftover::Folder(path) = leftover {
            let _ = std::fs::remove_dir_all(path);
        }
    }
    std::process::exit(code)
}

/// A list is whole at any time, whatever its holder did.
fn all() -> MutexGuard<'static, Vec<Leftover>> {
    LEFTOVERS.lock().unwrap_or_else(PoisonError::into_inner)
}
