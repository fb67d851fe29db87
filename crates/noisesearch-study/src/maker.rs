//! Makes what is not known yet: one opened model, in full batches, each made durable at once.

use crate::error::StudyError;
use crate::known::{Context, Known, Store};
use noisesearch::engine::{Engine, Made};
use noisesearch::engines::Engines;
use noisesearch::picture::Picture;
use noisesearch::spec::{Checked, Spec};
use noisesearch_core::job::{Job, Outcome, View};
use noisesearch_core::journal::Fingerprint;
use noisesearch_core::recipe::{Recipe, RecipeId};
use noisesearch_verifiers::metrics::describe::Describer;
use std::collections::BTreeSet;
use std::time::Instant;

/// Who judges a model's pictures: every verifier that a cell of that model names, so that all
/// cells share outcomes and every answer has every score.
pub type Panel = Vec<String>;

/// A model with its judges, opened.
pub struct Opened {
    /// What decides that it is this one: model, files, sizes and place.
    pub identity: Spec,
    /// The model and its verifiers, twice where a cell makes its candidates in another number
    /// format than its answer.
    pub engines: Engines,
    /// The verifiers' names, in the order of scores.
    pub panel: Panel,
    /// Who describes its pictures, if somebody does.
    pub describer: Option<Box<dyn Describer>>,
    /// Billions of multiply-adds of a pass, where they are known.
    pub gflop: Option<f64>,
}

/// A recipe and what of it is wanted.
pub type Wanted = (Recipe, View);

/// An opened model at one task, and what is known there.
pub struct Maker<'a> {
    /// The model.
    pub opened: &'a Opened,
    /// What is known.
    pub store: &'a mut Store,
    engine: &'a Engine,
    context: Context,
    /// Where what is handed out is known.
    finals: Context,
    /// Where second looks at it are known.
    afresh: Context,
    /// Rows that are made together.
    pub batch: usize,
    /// Outcomes made, not looked up.
    pub made: u64,
}

impl<'a> Maker<'a> {
    /// Turns the model to the task, guidance and solver of `spec`, with `batch` rows together.
    pub fn turn(
        opened: &'a mut Opened,
        store: &'a mut Store,
        spec: &Checked,
        batch: usize,
    ) -> Result<Self, StudyError> {
        opened.engines.turn(spec)?;
        let opened: &Opened = opened;
        let context = |engine: &Engine| -> Result<Fingerprint, StudyError> {
            let mut print = engine.context(spec)?;
            if let Some(describer) = &opened.describer {
                print.set("describer", describer.id())?;
            }
            Ok(print)
        };
        let engine = opened.engines.candidates();
        let here = store.context(&context(engine)?)?;
        let mut print = context(opened.engines.finals())?;
        let finals = store.context(&print)?;
        print.set("look", 2)?;
        let afresh = store.context(&print)?;
        Ok(Self {
            opened,
            store,
            engine,
            context: here,
            finals,
            afresh,
            batch,
            made: 0,
        })
    }

    /// The same for what is handed out, which may be made in another number format.
    pub fn finals(&mut self) -> Maker<'_> {
        self.at(self.finals)
    }

    /// The same for second looks at what is handed out, by verifiers that use nothing kept of
    /// their first one.
    pub fn afresh(&mut self) -> Maker<'_> {
        self.at(self.afresh)
    }

    fn at(&mut self, context: Context) -> Maker<'_> {
        Maker {
            opened: self.opened,
            store: self.store,
            engine: self.opened.engines.finals(),
            context,
            finals: self.finals,
            afresh: self.afresh,
            batch: self.batch,
            made: 0,
        }
    }

    /// What a recipe gave, if it is known.
    pub fn known(&self, recipe: RecipeId, view: View) -> Option<&Known> {
        self.store.get(self.context, recipe, view)
    }

    /// What a job gave, if it is known.
    pub fn outcome(&self, job: &Job) -> Option<&Known> {
        self.known(job.recipe.id(), job.view)
    }

    /// What is wanted and not known, each once.
    pub fn fresh(&self, wanted: Vec<Wanted>) -> Vec<Wanted> {
        let mut seen = BTreeSet::new();
        let fresh = wanted.into_iter().filter(|(recipe, view)| {
            let id = recipe.id();
            self.known(id, *view).is_none() && seen.insert((id, *view == View::Final))
        });
        fresh.collect()
    }

    /// Makes what is not known, in full batches, each durable before the next. What was lost stays
    /// unknown; the last reason is returned.
    pub fn make(&mut self, fresh: &[Wanted]) -> Result<Option<String>, StudyError> {
        let mut lost = None;
        for batch in fresh.chunks(self.batch) {
            lost = self.make_batch(batch)?.or(lost);
        }
        Ok(lost)
    }

    fn make_batch(&mut self, batch: &[Wanted]) -> Result<Option<String>, StudyError> {
        let wanted: Vec<_> = batch.iter().map(|(recipe, view)| (recipe, *view)).collect();
        let began = Instant::now();
        let made = match self.context == self.afresh {
            true => self.engine.make_afresh(&wanted)?,
            false => self.engine.make(&wanted)?,
        };
        let features = self.features(&made)?;
        let seconds = began.elapsed().as_secs_f64() / batch.len() as f64;
        let (mut outcomes, mut lost) = (Vec::with_capacity(batch.len()), None);
        for ((&(recipe, view), made), features) in wanted.iter().zip(made).zip(features) {
            match made.result {
                Ok(outcome) => outcomes.push(Known {
                    recipe: recipe.id(),
                    view,
                    outcome,
                    features: if view == View::Final {
                        features
                    } else {
                        vec![]
                    },
                    seconds,
                }),
                Err(why) => lost = Some(why.0),
            }
        }
        self.made += outcomes.len() as u64;
        self.store.add(self.context, outcomes)?;
        Ok(lost)
    }

    /// Features of every picture; none where there is no picture or nobody who describes it.
    fn features(&self, made: &[Made]) -> Result<Vec<Vec<f32>>, StudyError> {
        let Some(describer) = &self.opened.describer else {
            return Ok(vec![Vec::new(); made.len()]);
        };
        let describe = |made: &Made| -> Result<Vec<f32>, noisesearch::Error> {
            let scored = matches!(made.result, Ok(Outcome::Scored(_)));
            let Some(picture) = made.picture.as_ref().filter(|_| scored) else {
                return Ok(Vec::new());
            };
            let features = describer.features(&picture.to_image()?)?;
            Ok(features.values().to_vec())
        };
        Ok(made.iter().map(describe).collect::<Result<_, _>>()?)
    }

    /// The picture of an answer's recipe, made again; `None` when it has none.
    pub fn picture(&mut self, recipe: &Recipe) -> Result<Option<Picture>, StudyError> {
        Ok(self.opened.engines.finals().show(recipe)?)
    }

    /// What the verifiers have to say to a person.
    pub fn notes(&self) -> Vec<String> {
        self.engine.notes()
    }
}
