//! One process at work on a run: the world around the loop of [`noisesearch_core::drive`].

use crate::engine::{Engine, Made};
use crate::error::Error;
use crate::gallery::Gallery;
use crate::observe::{Control, Progress};
use crate::picture::Picture;
use crate::rundir::{BEST, RunDir};
use crate::spec::Checked;
use noisesearch_core::drive::{Finished, News, World};
use noisesearch_core::job::{Job, JobId, Outcome, View};
use noisesearch_core::ledger::Ledger;
use noisesearch_core::recipe::Recipe;
use std::collections::BTreeMap;
use std::time::Instant;

/// Replayed candidates after which the gallery forgets rejected ones.
const TRIM_EVERY: usize = 256;

/// What a run needs besides its search and its journal.
pub struct Session<'a, 'c> {
    /// What is run.
    pub spec: &'a Checked,
    /// Makes and scores recipes.
    pub engine: &'a mut Engine,
    /// Where it runs.
    pub run: &'a RunDir,
    /// Its best candidates.
    pub gallery: Gallery<'a>,
    /// Who watches.
    pub control: &'a mut Control<'c>,
    /// The baseline, which also is the first candidate of most searches.
    pub baseline: Option<(Recipe, Made)>,
    /// Spent, but in no [`Finished`] yet.
    pub unreported: Ledger,
    /// When this process began.
    pub began: Instant,
    waiting: Vec<Job>,
    pictures: BTreeMap<JobId, Picture>,
    told: u64,
    failed: u64,
    started: bool,
}

impl<'a, 'c> Session<'a, 'c> {
    /// A session that has done nothing yet.
    pub fn new(
        spec: &'a Checked,
        engine: &'a mut Engine,
        run: &'a RunDir,
        gallery: Gallery<'a>,
        control: &'a mut Control<'c>,
    ) -> Self {
        Self {
            spec,
            engine,
            run,
            gallery,
            control,
            baseline: None,
            unreported: Ledger::default(),
            began: Instant::now(),
            waiting: Vec::new(),
            pictures: BTreeMap::new(),
            told: 0,
            failed: 0,
            started: false,
        }
    }

    /// Makes recipes; returns also what was spent on them.
    pub fn make(&mut self, wanted: &[(&Recipe, View)]) -> Result<(Vec<Made>, Ledger), Error> {
        let before = self.engine.spent();
        let made = self.engine.make(wanted);
        for note in self.engine.notes() {
            self.control.observer.note(&note);
        }
        let made = made?;
        let after = self.engine.spent();
        let spent = Ledger {
            search_nfe: after.search_nfe - before.search_nfe,
            passes: after.passes - before.passes,
            verifier_calls: after.verifier_calls - before.verifier_calls,
            ..Ledger::default()
        };
        Ok((made, spent))
    }

    /// Tells the observer once that the search begins.
    pub fn start(&mut self) {
        if !self.started {
            self.started = true;
            self.control
                .observer
                .started(self.run.files.path(), self.spec, self.told);
        }
    }
}

impl World for Session<'_, '_> {
    type Error = Error;

    fn submit(&mut self, jobs: &[Job]) -> Result<(), Error> {
        self.waiting.extend_from_slice(jobs);
        Ok(())
    }

    fn poll(&mut self) -> Result<Vec<Finished>, Error> {
        let jobs = std::mem::take(&mut self.waiting);
        let known = |job: &Job| {
            let (recipe, made) = self.baseline.as_ref()?;
            (job.view == View::Final && job.recipe == *recipe).then(|| made.clone())
        };
        let mut done: Vec<(JobId, Made)> = Vec::with_capacity(jobs.len());
        let mut fresh: Vec<&Job> = Vec::with_capacity(jobs.len());
        for job in &jobs {
            match known(job) {
                Some(made) => done.push((job.id, made)),
                None => fresh.push(job),
            }
        }
        let wanted: Vec<_> = fresh.iter().map(|job| (&job.recipe, job.view)).collect();
        let (made, spent) = self.make(&wanted)?;
        done.extend(fresh.iter().map(|job| job.id).zip(made));
        // What a batch cost belongs to its jobs together; it stands with the first.
        let mut spent = Some(spent);
        let unreported = std::mem::take(&mut self.unreported);
        let finished = done.into_iter().map(|(job, made)| {
            let spent = spent.take().map(|mut spent| {
                spent += unreported;
                spent
            });
            self.pictures
                .extend(made.picture.map(|picture| (job, picture)));
            Finished {
                job,
                result: made.result,
                spent: spent.unwrap_or_default(),
            }
        });
        Ok(finished.collect())
    }

    fn told(&mut self, news: &News) -> Result<(), Error> {
        let picture = self.pictures.remove(&news.job.id);
        self.told += 1;
        match news.outcome {
            Outcome::Scored(scores) if news.job.view == View::Final => {
                self.gallery.add(news.job, scores, picture);
            }
            Outcome::Scored(_) => {}
            Outcome::Failed(_) => self.failed += 1,
        }
        let keep = self.spec.count;
        if news.replayed {
            if self.gallery.len() >= keep + TRIM_EVERY {
                self.gallery.trim(&news.search.finalists(keep));
            }
            return Ok(());
        }
        self.start();
        // Within a batch only its last candidate changes the disk.
        let finalists = news.search.finalists(keep);
        if self.pictures.is_empty() && self.gallery.settle(&finalists)? {
            self.control.observer.image(&self.run.path(BEST));
        }
        let best = finalists.first().and_then(|&job| self.gallery.get(job));
        let progress = Progress {
            spec: self.spec,
            candidates: self.told,
            failed: self.failed,
            best: best.map(|candidate| &candidate.scores),
            billed: *news.billed,
            seconds: news.spent.seconds,
        };
        self.control.observer.progress(&progress);
        Ok(())
    }

    fn seconds(&mut self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    fn cancelled(&mut self) -> bool {
        self.control.cancelled()
    }
}
