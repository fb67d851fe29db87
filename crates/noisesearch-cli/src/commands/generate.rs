//! `noisesearch generate`.

use super::advise;
use crate::args::Generate;
use crate::exit::Exit;
use crate::screen::Screen;
use crate::{interrupt, outcome};
use noisesearch::observe::Control;
use noisesearch::registry::Registry;
use std::hash::{BuildHasher, RandomState};

/// Searches for a better sample.
pub fn run(args: Generate) -> anyhow::Result<Exit> {
    let (out, json) = (args.out.clone(), args.json);
    let mut spec = args.spec()?;
    spec.seed.get_or_insert_with(random_seed);
    let registry = Registry::builtin();
    let goal = spec.goal.clone();
    let mut screen = Screen::new();
    if spec.search.is_auto() {
        match advise::choose(&registry, spec, &out, &screen)? {
            Some(chosen) => spec = chosen,
            None => return Ok(Exit::Stopped),
        }
    }
    let checked = spec.check(&registry)?;
    screen.announce(&checked);
    if let Some(goal) = goal {
        screen.chose(&goal, &checked);
    }
    let control = Control {
        observer: &mut screen,
        cancel: interrupt::listen()?,
    };
    let summary = noisesearch::run(&registry, &checked, &out, control)?;
    outcome::print(&summary, &screen, json)
}

/// A seed that differs from run to run, short enough to be typed.
fn random_seed() -> u64 {
    RandomState::new().hash_one(std::process::id()) >> 32
}
