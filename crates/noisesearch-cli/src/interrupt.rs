//! Ctrl-C and a polite kill: the first stops after the batch in flight, the second at once.

use crate::exit::{Exit, say};
use anyhow::Context;
use std::sync::atomic::{AtomicBool, Ordering};

static CANCEL: AtomicBool = AtomicBool::new(false);
static LISTENING: AtomicBool = AtomicBool::new(false);

/// A flag that the first SIGINT, SIGTERM or SIGHUP sets. A second one ends the process and the
/// programs that it started, which leaves a run that can be resumed, as any kill does. May be
/// asked for more than once: a search that measures first has one flag for both.
pub fn listen() -> anyhow::Result<&'static AtomicBool> {
    let handler = || {
        if CANCEL.swap(true, Ordering::Relaxed) {
            noisesearch::exit_at_once(Exit::Stopped as i32);
        }
        say("\nstopping after the batch in flight; once more to stop at once");
    };
    if !LISTENING.swap(true, Ordering::Relaxed) {
        ctrlc::set_handler(handler).context("cannot listen for Ctrl-C")?;
    }
    Ok(&CANCEL)
}
