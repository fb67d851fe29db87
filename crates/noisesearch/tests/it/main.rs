//! The crate from outside, on a whole model in a few lines.

mod advise;
mod batching;
mod counting;
mod fake;
mod formats;
mod gradient;
mod judging;
mod overlap;
mod places;
mod race;
mod runs;
mod spec;
mod survival;
