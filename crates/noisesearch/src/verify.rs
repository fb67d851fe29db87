//! Making candidates again from their recipes and comparing: scores and pixels, exactly.

use crate::engine::{Engine, Made};
use crate::error::Error;
use crate::identity;
use crate::picture::Picture;
use crate::record::Record;
use crate::registry::Registry;
use crate::report::summary;
use crate::run::{baseline, journal_error};
use crate::rundir::{BASELINE, BEST, RunDir};
use crate::spec::{Checked, SpecError};
use noisesearch_core::job::{Job, JobId, Outcome, View};
use noisesearch_core::journal::{self, JournalError, Snapshot};
use noisesearch_core::recipe::Recipe;
use serde::Serialize;
use std::path::Path;

/// Recipes made in one go.
const CHUNK: usize = 64;

/// What was compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Candidates made again, the baseline and the answer included.
    pub candidates: u64,
    /// How many of them were compared pixel by pixel, too.
    pub pictures: u64,
    /// What was not the same.
    pub mismatches: Vec<Mismatch>,
}

/// A candidate that is not what the run says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// Which, for example `best.png` or `job 12`.
    pub what: String,
    /// How it differs.
    pub how: String,
}

/// Makes the answer and the baseline of the run in `dir` again, with `all` every candidate, and
/// compares scores and pixels exactly. Reads without a lock and changes nothing.
pub fn verify(registry: &Registry, dir: &Path, all: bool) -> Result<Verification, Error> {
    let (run, spec) = RunDir::open(dir, registry)?;
    let engine = Engine::open(registry, &spec)?;
    let print = identity::of_run(&spec, &engine).map_err(|source| journal_error(&run, source))?;
    let snapshot = journal::read(&run.files).map_err(|source| journal_error(&run, source))?;
    if let Some(difference) = snapshot.fingerprint.difference(&print) {
        let source = JournalError::Different(Box::new(difference));
        return Err(journal_error(&run, source));
    }
    let mut checks = Vec::new();
    // A run that was killed has no summary; its images still say what they are.
    let ended = summary(&run).ok();
    let shown = |name| match (&ended, name) {
        (Some(summary), BASELINE) => summary.baseline.is_some(),
        (Some(summary), _) => summary.best.is_some(),
        (None, name) => run.path(name).exists(),
    };
    if shown(BASELINE) {
        checks.push(file_check(&run, &spec, BASELINE, Some(baseline(&spec)))?);
    }
    if shown(BEST) {
        let best = ended
            .as_ref()
            .and_then(|summary| Some(summary.best.as_ref()?.recipe.clone()));
        checks.push(file_check(&run, &spec, BEST, best)?);
    }
    if all {
        checks.extend(job_checks(&run, &spec, &snapshot)?);
    }
    let mut report = Verification::default();
    for chunk in checks.chunks(CHUNK) {
        let wanted: Vec<_> = chunk.iter().filter_map(Check::wanted).collect();
        let mut made = engine.make(&wanted)?.into_iter();
        for check in chunk {
            let made = check.wanted().and_then(|_| made.next());
            check.judge(made, &mut report);
        }
    }
    Ok(report)
}

/// One thing to be compared.
struct Check {
    what: String,
    /// `None` when it is damaged.
    said: Option<Said>,
}

/// What the run says about a candidate.
struct Said {
    recipe: Recipe,
    view: View,
    outcome: Outcome,
    picture: Option<Picture>,
}

impl Check {
    fn wanted(&self) -> Option<(&Recipe, View)> {
        self.said.as_ref().map(|said| (&said.recipe, said.view))
    }

    fn judge(&self, made: Option<Made>, report: &mut Verification) {
        let mut wrong = |how: &str| {
            report.mismatches.push(Mismatch {
                what: self.what.clone(),
                how: how.to_owned(),
            });
        };
        let (Some(said), Some(made)) = (&self.said, made) else {
            return wrong("it is not there, damaged, or says another recipe than the run");
        };
        let same = match made.result {
            Ok(outcome) => outcome == said.outcome,
            Err(lost) => return wrong(&format!("it cannot be made: {}", lost.0)),
        };
        if !same {
            wrong("made again, it has other scores");
        }
        if said.picture.is_some() && made.picture != said.picture {
            wrong("made again, it has other pixels");
        }
        report.candidates += 1;
        report.pictures += u64::from(said.picture.is_some());
    }
}

/// An image file, which must be of `recipe` where that is known.
fn file_check(
    run: &RunDir,
    spec: &Checked,
    name: &str,
    recipe: Option<Recipe>,
) -> Result<Check, Error> {
    let names = spec.scored();
    let said = |(picture, record): (Picture, Record)| {
        let same = recipe
            .as_ref()
            .is_none_or(|recipe| *recipe == record.recipe);
        let outcome = Outcome::Scored(record.scores(&names).filter(|_| same)?);
        let picture = Some(picture);
        Some(Said {
            recipe: record.recipe,
            view: View::Final,
            outcome,
            picture,
        })
    };
    Ok(Check {
        what: name.to_owned(),
        said: run.image(name)?.and_then(said),
    })
}

/// Every candidate in the journal; the recipes are those that the search asks for again.
fn job_checks(run: &RunDir, spec: &Checked, snapshot: &Snapshot) -> Result<Vec<Check>, Error> {
    let mut checks = Vec::new();
    for (job, outcome) in replay(run, spec, snapshot)? {
        let image = run
            .candidate(job.id)?
            .and_then(|(bytes, _)| Record::read(&bytes));
        let picture = image.filter(|(_, record)| record.recipe == job.recipe);
        let said = Said {
            recipe: job.recipe,
            view: job.view,
            outcome,
            picture: picture.map(|(picture, _)| picture),
        };
        checks.push(Check {
            what: format!("job {}", job.id.0),
            said: Some(said),
        });
    }
    Ok(checks)
}

fn replay(run: &RunDir, spec: &Checked, snapshot: &Snapshot) -> Result<Vec<(Job, Outcome)>, Error> {
    let diverged = |job: JobId| Error::Diverged {
        run: run.files.path().to_owned(),
        problem: format!(
            "the journal's job {} is not the one that this search asks for",
            job.0
        ),
    };
    let mut search = spec.search.build(&spec.terms()?).map_err(SpecError::from)?;
    let mut jobs = Vec::new();
    for told in snapshot.entries.iter().flat_map(|entry| &entry.told) {
        if search.stop().is_some() {
            break;
        }
        let job = search
            .ask(1)
            .pop()
            .filter(|job| job.recipe.id() == told.recipe);
        let job = job
            .filter(|job| job.id == told.job)
            .ok_or_else(|| diverged(told.job))?;
        search.tell(job.id, &told.outcome);
        jobs.push((job, told.outcome.clone()));
    }
    Ok(jobs)
}
