//! One process at work on a run: the world around the loop of [`noisesearch_core::drive`].

use crate::engine::{Engine, Made};
use crate::engines::Engines;
use crate::error::Error;
use crate::gallery::Gallery;
use crate::observe::{Control, Progress};
use crate::picture::Picture;
use crate::relay::{Batch, Relay};
use crate::rundir::{BEST, RunDir};
use crate::spec::Checked;
use noisesearch_core::drive::{DriveError, Finished, News, Rules, Verdict, World, drive};
use noisesearch_core::job::{Job, JobId, Outcome, View};
use noisesearch_core::journal::Opened;
use noisesearch_core::ledger::Ledger;
use noisesearch_core::recipe::Recipe;
use noisesearch_core::search::Search;
use std::collections::BTreeMap;
use std::time::Instant;

/// Replayed candidates after which the gallery forgets rejected ones.
const TRIM_EVERY: usize = 256;

/// What a run needs besides its search and its journal.
pub struct Session<'a, 'c> {
    /// What is run.
    pub spec: &'a Checked,
    /// Make and score recipes.
    pub engines: &'a Engines,
    /// Where it runs.
    pub run: &'a RunDir,
    /// Its best candidates.
    pub gallery: Gallery<'a>,
    /// Who watches.
    pub control: &'a mut Control<'c>,
    /// The baseline, which also is the first candidate of most searches.
    baseline: Option<(Recipe, Made)>,
    /// Spent, but in no [`Finished`] yet.
    pub unreported: Ledger,
    /// Spent by batches that were told.
    reported: Ledger,
    /// When this process began.
    pub began: Instant,
    pictures: BTreeMap<JobId, Picture>,
    told: u64,
    failed: u64,
}

impl<'a, 'c> Session<'a, 'c> {
    /// A session that has done nothing yet.
    pub fn new(
        spec: &'a Checked,
        engines: &'a Engines,
        run: &'a RunDir,
        gallery: Gallery<'a>,
        control: &'a mut Control<'c>,
    ) -> Self {
        Self {
            spec,
            engines,
            run,
            gallery,
            control,
            baseline: None,
            unreported: Ledger::default(),
            reported: Ledger::default(),
            began: Instant::now(),
            pictures: BTreeMap::new(),
            told: 0,
            failed: 0,
        }
    }

    /// Takes in the baseline, which then is no candidate's work again, unless candidates are made
    /// in another number format.
    pub fn known(&mut self, baseline: Recipe, made: Made) {
        let same = !self.spec.files.is_ladder();
        self.baseline = same.then_some((baseline, made));
    }

    /// Makes recipes with one of the engines; returns also what was spent on them.
    pub fn make(
        &mut self,
        engine: &Engine,
        wanted: &[(&Recipe, View)],
    ) -> Result<(Vec<Made>, Ledger), Error> {
        let before = engine.spent();
        let made = engine.make(wanted);
        self.pass_notes();
        Ok((made?, difference(engine.spent(), before)))
    }

    /// Runs the search until it ends or is cancelled.
    pub fn search(
        &mut self,
        search: &mut dyn Search,
        opened: Opened,
        rules: Rules,
    ) -> Result<Verdict, DriveError<Error>> {
        let (engine, cancel) = (self.engines.candidates(), self.control.cancel);
        let (before, reported) = (engine.spent(), self.reported);
        let verdict = Relay::with(engine, cancel, |relay| {
            let session = &mut *self;
            drive(search, opened, rules, &mut Searching { session, relay })
        });
        // What was given up, too, has run.
        let known = difference(self.reported, reported);
        self.unreported += difference(difference(engine.spent(), before), known);
        verdict
    }

    fn pass_notes(&mut self) {
        for note in self.engines.finals().notes() {
            self.control.observer.note(&note);
        }
    }
}

/// A session in its loop.
struct Searching<'s, 'a, 'c> {
    session: &'s mut Session<'a, 'c>,
    relay: Relay,
}

impl World for Searching<'_, '_, '_> {
    type Error = Error;

    fn submit(&mut self, jobs: &[Job]) -> Result<(), Error> {
        if self.session.control.cancelled() {
            return Ok(()); // the run ends when what is under way is told
        }
        let known = |job: &Job| {
            let (recipe, made) = self.session.baseline.as_ref()?;
            let same = job.view == View::Final && job.recipe == *recipe;
            same.then(|| (job.id, made.clone()))
        };
        for jobs in jobs.chunks(self.session.spec.batch) {
            self.relay.put(Batch {
                jobs: jobs.to_vec(),
                known: jobs.iter().find_map(known),
            });
        }
        Ok(())
    }

    fn poll(&mut self) -> Result<Vec<Finished>, Error> {
        let done = self.relay.take();
        self.session.pass_notes();
        let Some(done) = done? else {
            return Ok(Vec::new());
        };
        self.session.reported += done.spent;
        // What a batch cost belongs to its jobs together; it stands with the first.
        let mut spent = Some(done.spent);
        let unreported = std::mem::take(&mut self.session.unreported);
        let finished = done.made.into_iter().map(|(job, made)| {
            let spent = spent.take().map(|mut spent| {
                spent += unreported;
                spent
            });
            let picture = made.picture.map(|picture| (job, picture));
            self.session.pictures.extend(picture);
            Finished {
                job,
                result: made.result,
                spent: spent.unwrap_or_default(),
            }
        });
        Ok(finished.collect())
    }

    fn told(&mut self, news: &News) -> Result<(), Error> {
        self.session.told(news)
    }

    fn seconds(&mut self) -> f64 {
        self.session.began.elapsed().as_secs_f64()
    }

    fn cancelled(&mut self) -> bool {
        self.session.control.cancelled() && self.relay.is_empty()
    }
}

impl Session<'_, '_> {
    /// Makes the best of `finalists` `best.png` and tells the observer where that is new.
    pub fn crown(&mut self, finalists: &[JobId]) -> Result<(), Error> {
        if self.gallery.crown(finalists)? {
            self.control.observer.image(&self.run.path(BEST));
        }
        Ok(())
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
        // Within a batch only its last candidate changes the disk.
        let finalists = news.search.finalists(keep);
        if self.pictures.is_empty() {
            self.gallery.settle(&finalists)?;
            self.crown(&finalists)?;
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
}

/// What was spent from `before` to `after`; all of it as search, no seconds.
fn difference(after: Ledger, before: Ledger) -> Ledger {
    Ledger {
        search_nfe: after.search_nfe - before.search_nfe,
        passes: after.passes - before.passes,
        verifier_calls: after.verifier_calls - before.verifier_calls,
        fees: after.fees - before.fees,
        ..Ledger::default()
    }
}
