//! The engines of a run: one makes its candidates, one what is handed out. They are the same unless
//! the run makes its candidates in another number format; then each has its own cache and meter,
//! and both have the same verifiers.

use crate::engine::Engine;
use crate::error::Error;
use crate::registry::Registry;
use crate::spec::Checked;

/// The engines of one spec.
pub struct Engines {
    candidates: Engine,
    finals: Option<Engine>,
}

impl Engines {
    /// Opens what a spec needs, with the verifiers of the spec.
    pub fn open(registry: &Registry, spec: &Checked) -> Result<Self, Error> {
        Self::open_with(registry, spec, &spec.scored())
    }

    /// The same with other verifiers, in this order.
    pub fn open_with(
        registry: &Registry,
        spec: &Checked,
        verifiers: &[String],
    ) -> Result<Self, Error> {
        let candidates = Engine::open_with(registry, spec, verifiers)?;
        let ladder = spec.files.is_ladder();
        let finals = ladder.then(|| candidates.beside(registry, spec));
        Ok(Self {
            finals: finals.transpose()?,
            candidates,
        })
    }

    /// Makes candidates.
    pub fn candidates(&self) -> &Engine {
        &self.candidates
    }

    /// Makes what is handed out: the baseline and, again, the best.
    pub fn finals(&self) -> &Engine {
        self.finals.as_ref().unwrap_or(&self.candidates)
    }

    /// Turns both to another spec, see [`Engine::turn`].
    pub fn turn(&mut self, spec: &Checked) -> Result<(), Error> {
        self.candidates.turn(spec)?;
        self.finals
            .as_mut()
            .map_or(Ok(()), |engine| engine.turn(spec))
    }
}
