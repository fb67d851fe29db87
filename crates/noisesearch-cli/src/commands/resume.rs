//! `noisesearch resume RUN`.

use crate::commands::of_run;
use crate::exit::Exit;
use crate::screen::Screen;
use crate::{interrupt, outcome};
use noisesearch::observe::Control;
use noisesearch::registry::Registry;
use std::path::Path;

/// Goes on with a run that was stopped; of one that is over it shows what came out.
pub fn run(run: &Path, json: bool) -> anyhow::Result<Exit> {
    let mut screen = Screen::new();
    let control = Control {
        observer: &mut screen,
        cancel: interrupt::listen()?,
    };
    let summary = noisesearch::resume(&Registry::builtin(), run, control)
        .map_err(|error| of_run(run, error))?;
    outcome::print(&summary, &screen, json)
}
