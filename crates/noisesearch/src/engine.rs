//! From recipes to scores, in this process.
//!
//! Two steps, which may work on different batches at once: recipes are *solved* to samples, and
//! samples are decoded and *judged*. A row's numbers depend neither on its neighbours nor on the
//! batch, so neither does its outcome.

mod judge;
mod solve;

pub use solve::Solved;

use crate::cache::Cache;
use crate::error::Error;
use crate::files::Files;
use crate::gradient;
use crate::identity;
use crate::meter::Meter;
use crate::picture::Picture;
use crate::preview;
use crate::registry::{Model, ModelEntry, Registry};
use crate::spec::Checked;
use noisesearch_core::drive::Lost;
use noisesearch_core::job::{Outcome, View};
use noisesearch_core::journal::Fingerprint;
use noisesearch_core::ledger::{Fees, Ledger};
use noisesearch_core::level::Level;
use noisesearch_core::recipe::{Recipe, VerifierName};
use noisesearch_models::denoiser::{Conditioner, Conditioning, Decoder, Denoiser};
use noisesearch_models::path::NoisePath;
use noisesearch_models::preview::Linear;
use noisesearch_models::schedule::Schedule;
use noisesearch_models::solver::Solver;
use noisesearch_models::task::Task;
use noisesearch_verifiers::verifier::{Verifier, VerifierId};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A model, verifiers and a task: makes and scores recipes.
pub struct Engine {
    conditioner: Box<dyn Conditioner>,
    denoiser: Meter,
    decoder: Box<dyn Decoder>,
    /// Decodes x0-predictions in its place.
    preview: Option<Linear>,
    path: NoisePath,
    schedule: Schedule,
    weights: String,
    /// What it computes with, besides weights.
    backend: String,
    /// Shared with the engine of the same run in another number format.
    verifiers: Arc<Vec<Box<dyn Verifier>>>,
    task: Task,
    cond: Conditioning,
    solver: Solver,
    batch: usize,
    cache: Mutex<Cache>,
    /// The different early levels that verifiers want.
    early: Vec<Level>,
    verifier_calls: AtomicU64,
}

/// What became of one recipe.
#[derive(Clone)]
pub struct Made {
    /// Its scores, its failure, or why it must be tried again.
    pub result: Result<Outcome, Lost>,
    /// What was scored; `None` when there is nothing to see.
    pub picture: Option<Picture>,
}

impl Engine {
    /// Opens the model and the verifiers of a spec, for its candidates, and encodes its task.
    /// Refuses a search that follows a gradient where there is none.
    pub fn open(registry: &Registry, spec: &Checked) -> Result<Self, Error> {
        Self::open_with(registry, spec, &spec.scored())
    }

    /// The same with other verifiers than those of the spec, in this order.
    pub fn open_with(
        registry: &Registry,
        spec: &Checked,
        verifiers: &[String],
    ) -> Result<Self, Error> {
        let beside = crate::judges::bytes(registry, verifiers, &spec.files);
        let files = Files {
            beside,
            ..spec.files.clone()
        };
        let entry = registry.model_for(&spec.task, Some(&spec.model), &files)?;
        let files = files.searching();
        let place = files.place()?;
        let judges = || judges(registry, &entry, verifiers, spec);
        let (model, verifiers) = std::thread::scope(|scope| {
            let verifiers = scope.spawn(judges);
            let model = (entry.open)(&place);
            let verifiers = verifiers.join();
            (
                model,
                verifiers.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            )
        });
        let model = model?;
        let cond = model.conditioner.encode(&spec.task, spec.guidance)?;
        let verifiers = verifiers?;
        if let Some(name) = spec.search.followed() {
            gradient::check(registry, &entry, &model, &verifiers, name)?;
        }
        let verifiers = Arc::new(verifiers);
        let mut engine = Self::of(model, verifiers, cond, (spec, &files));
        engine.preview = engine.linear(spec)?;
        Ok(engine)
    }

    /// The same model and verifiers in the number format of what is handed out.
    pub fn beside(&self, registry: &Registry, spec: &Checked) -> Result<Self, Error> {
        let entry = registry.model_for(&spec.task, Some(&spec.model), &spec.files)?;
        let model = (entry.open)(&spec.files.place()?)?;
        let cond = model.conditioner.encode(&spec.task, spec.guidance)?;
        let verifiers = self.verifiers.clone();
        Ok(Self::of(model, verifiers, cond, (spec, &spec.files)))
    }

    fn of(
        model: Model,
        verifiers: Arc<Vec<Box<dyn Verifier>>>,
        cond: Conditioning,
        (spec, files): (&Checked, &Files),
    ) -> Self {
        let mut early: Vec<Level> = Vec::new();
        for level in verifiers
            .iter()
            .filter_map(|verifier| verifier.early_level())
        {
            if !early.contains(&level) {
                early.push(level);
            }
        }
        Self {
            conditioner: model.conditioner,
            denoiser: Meter::new(model.denoiser),
            decoder: model.decoder,
            preview: None,
            path: model.path,
            schedule: model.schedule,
            weights: model.weights,
            backend: files.backend(),
            verifiers,
            task: spec.task.clone(),
            cond,
            solver: spec.solver,
            batch: spec.batch,
            cache: Mutex::new(cache(spec)),
            early,
            verifier_calls: AtomicU64::new(0),
        }
    }

    /// Turns to the task, guidance and solver of another spec for the same model, without opening
    /// it again.
    ///
    /// # Errors
    /// [`Error::Task`] when the model cannot be asked this, and a refusal of linear previews; then
    /// it is as it was.
    pub fn turn(&mut self, spec: &Checked) -> Result<(), Error> {
        let cond = self.conditioner.encode(&spec.task, spec.guidance)?;
        self.preview = self.linear(spec)?;
        self.cond = cond;
        self.task = spec.task.clone();
        (self.solver, self.batch) = (spec.solver, spec.batch);
        self.cache = Mutex::new(cache(spec));
        Ok(())
    }

    /// The linear decoder of previews, if `spec` asks for it.
    fn linear(&self, spec: &Checked) -> Result<Option<Linear>, Error> {
        preview::open(spec, (&self.denoiser, &*self.decoder), &self.verifiers)
    }

    /// What a person is told of it.
    pub(crate) fn preview_note(&self) -> Option<String> {
        self.preview.as_ref().map(preview::note)
    }

    /// What decodes x0-predictions in the decoder's place, and how it was fitted.
    pub(crate) fn preview_name(&self) -> Option<String> {
        self.preview.as_ref().map(|_| preview::name())
    }

    /// Channels, rows and columns of its latents.
    pub(crate) fn latent(&self) -> [usize; 3] {
        let shape = self.denoiser.shape();
        [shape.channels, shape.height, shape.width]
    }

    /// Whether a search can follow the gradient of this verifier here.
    pub fn follows(&self, name: VerifierName) -> bool {
        let mut named = self
            .verifiers
            .iter()
            .filter(|v| v.id().name == name.as_str());
        let there = self.denoiser.gradient().is_some() && self.decoder.gradient().is_some();
        there && named.any(|verifier| verifier.gradient().is_some())
    }

    /// BLAKE3 of the model's weights in hexadecimal.
    pub fn weights(&self) -> &str {
        &self.weights
    }

    /// What it computes with, besides weights: device, number format, version.
    pub fn backend(&self) -> &str {
        &self.backend
    }

    /// Everything that decides what a recipe gives when it is made for `spec`, to which the engine
    /// has turned: neither search, objective, budget nor seed.
    pub fn context(&self, spec: &Checked) -> Result<Fingerprint, serde_json::Error> {
        identity::of_outcome(spec, self)
    }

    /// Who judges, in the order of scores.
    pub fn verifiers(&self) -> Vec<&VerifierId> {
        self.verifiers
            .iter()
            .map(|verifier| verifier.id())
            .collect()
    }

    /// Whether a score means "pass", for a verifier that grades exactly.
    pub fn passes(&self, verifier: usize, score: f64) -> Option<bool> {
        self.verifiers.get(verifier)?.passes(score)
    }

    /// Whether a verifier may answer otherwise when it is asked again.
    pub fn varies(&self, verifier: usize) -> bool {
        self.verifiers.get(verifier).is_some_and(|v| v.varies())
    }

    /// Network passes of one evaluation: 2 when guided.
    pub fn passes_per_nfe(&self) -> u64 {
        self.denoiser.passes_per_row(&self.cond)
    }

    /// What was really spent since the engine was opened, all NFE as search; no seconds.
    pub fn spent(&self) -> Ledger {
        let search_nfe = self.denoiser.nfe();
        let passes = search_nfe * self.passes_per_nfe();
        let verifier_calls = self.verifier_calls.load(Ordering::Relaxed);
        let mut fees = Fees::default();
        self.verifiers.iter().for_each(|v| fees += v.fees());
        Ledger {
            search_nfe,
            passes,
            verifier_calls,
            fees,
            ..Ledger::default()
        }
    }

    /// What the verifiers have to say to a person since this was last asked.
    pub fn notes(&self) -> Vec<String> {
        self.verifiers.iter().flat_map(|v| v.notes()).collect()
    }

    /// Tells the verifiers which picture was chosen.
    pub fn accept(&self, picture: &Picture) -> Result<(), Error> {
        let image = picture.to_image()?;
        for verifier in self.verifiers.iter() {
            let told = verifier.accept(&self.task, &image);
            told.map_err(|source| judge::failed(&**verifier, source))?;
        }
        Ok(())
    }

    /// Whether everything that is being solved stops with an error at its next evaluation.
    pub(crate) fn give_up(&self, yes: bool) {
        self.denoiser.give_up(yes);
    }

    /// Makes and scores `wanted`; one answer each, in the same order. A row that stops being
    /// finite fails alone; an error is one of all.
    pub fn make(&self, wanted: &[(&Recipe, View)]) -> Result<Vec<Made>, Error> {
        self.judge(self.solve(wanted)?)
    }

    /// The same, with verifiers that use nothing kept of earlier answers: of those that vary, an
    /// independent second look.
    pub fn make_afresh(&self, wanted: &[(&Recipe, View)]) -> Result<Vec<Made>, Error> {
        self.judge_afresh(self.solve(wanted)?)
    }
}

/// An empty cache of the size that the spec allows.
fn cache(spec: &Checked) -> Cache {
    Cache::new(usize::try_from(spec.cache.0).unwrap_or(usize::MAX))
}

/// Opens verifiers by name, in this order.
fn judges(
    registry: &Registry,
    entry: &ModelEntry,
    names: &[String],
    spec: &Checked,
) -> Result<Vec<Box<dyn Verifier>>, Error> {
    let open = |name: &String| -> Result<Box<dyn Verifier>, Error> {
        Ok((registry.verifier_for(entry, name, &spec.files)?.open)()?)
    };
    names.iter().map(open).collect()
}
