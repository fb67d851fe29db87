//! A fake world in which thousands of whole runs, with everything that can go wrong, take
//! seconds. The loop, the journal and the searches are the real ones; the disk, the workers, the
//! clock and the picture's score are made up.
//!
//! Whatever happens, a run that is resumed until it ends must show what an undisturbed run shows:
//! [`survive`] is to return what it returns on a faultless [`SimDisk`].

mod dice;
mod disk;
pub mod gaussian_mixture;
mod landscape;
mod run;
mod workers;

pub use dice::Dice;
pub use disk::{Fault, Process, SimDisk, Trouble, Unsynced};
pub use landscape::Landscape;
pub use run::{Report, Setup, SimError, Witness, attempt, survive};
pub use workers::Weather;
