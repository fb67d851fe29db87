//! Who watches a study, and who may stop it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Told how a study goes, on the thread that runs it. Every method may be left out.
pub trait Observer {
    /// A batch was made or a cell ended.
    fn progress(&mut self, _progress: &Progress) {}

    /// Something that a person should read.
    fn note(&mut self, _text: &str) {}
}

/// An observer that does not look.
impl Observer for () {}

/// How far a study is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress<'a> {
    /// Its name.
    pub study: &'a str,
    /// Cells that ended.
    pub cells: usize,
    /// Cells in all.
    pub of: usize,
    /// Candidates that this process made; those that were known cost nothing.
    pub made: u64,
    /// Which part of the candidates that its searches ask for is told, in `[0, 1]`.
    pub fraction: f64,
    /// Seconds that the rest takes at the speed of this process; `None` before there is one.
    pub seconds_left: Option<f64>,
}

/// An observer and a flag that stops the study after the batch in flight.
pub struct Control<'a> {
    /// Who watches.
    pub observer: &'a mut dyn Observer,
    /// Set to true, from any thread or a signal handler, to stop; the same command goes on.
    pub cancel: &'a AtomicBool,
}

impl Control<'_> {
    /// Whether somebody asked to stop.
    pub fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

/// Counts what is done of a study.
#[derive(Debug)]
pub struct Meter {
    /// Candidates that all cells ask for, about.
    expected: f64,
    /// Of cells of tasks that are over.
    done: f64,
    /// When the first candidate was made here, and what was told by then.
    began: Option<(Instant, f64)>,
}

impl Meter {
    /// Before anything is told of about `expected` candidates.
    pub fn new(expected: f64) -> Self {
        Self {
            expected: expected.max(1.0),
            done: 0.0,
            began: None,
        }
    }

    /// Cells that were expected to ask for so many are over.
    pub fn over(&mut self, expected: f64) {
        self.done += expected;
    }

    /// The part that is done, and the seconds left, when `told` candidates of cells that are not
    /// over were told and `made` were made in this process by `now`.
    pub fn at(&mut self, told: f64, made: u64, now: Instant) -> (f64, Option<f64>) {
        let told = self.done + told;
        if made > 0 && self.began.is_none() {
            self.began = Some((now, told));
        }
        let left = self.began.and_then(|(began, before)| {
            let gained = told - before;
            let left = (self.expected - told).max(0.0);
            (gained > 0.0).then(|| (now - began).as_secs_f64() * left / gained)
        });
        ((told / self.expected).clamp(0.0, 1.0), left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_was_known_before_does_not_count_as_speed() {
        let start = Instant::now();
        let mut meter = Meter::new(100.0);
        assert_eq!(meter.at(40.0, 0, start), (0.4, None));
        meter.over(50.0);
        assert_eq!(meter.at(10.0, 1, start), (0.6, None));
        // 20 of the 40 that were left took 3 seconds, so the other 20 take as long.
        let later = start + Duration::from_secs(3);
        assert_eq!(meter.at(30.0, 20, later), (0.8, Some(3.0)));
        assert_eq!(meter.at(70.0, 60, later).0, 1.0);
    }
}
