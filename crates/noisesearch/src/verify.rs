//! Making candidates again from their recipes and comparing: scores and pixels, exactly.

use crate::engine::{Engine, Made};
use crate::engines::Engines;
use crate::error::Error;
use crate::identity;
use crate::picture::Picture;
use crate::record::Record;
use crate::registry::Registry;
use crate::report::summary;
use crate::run::{baseline, journal_error};
use crate::rundir::{BASELINE, BEST, RunDir};
use crate::spec::{Checked, SpecError};
use crate::summary::{Shown, Summary};
use noisesearch_core::job::{Failure, Job, JobId, Outcome, View};
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
    /// What only verifiers judged otherwise that may do so when they are asked again.
    pub varied: Vec<Mismatch>,
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
    let engines = Engines::open(registry, &spec)?;
    let print = identity::of_run(&spec, &engines);
    let print = print.map_err(|source| journal_error(&run, source))?;
    let snapshot = journal::read(&run.files).map_err(|source| journal_error(&run, source))?;
    if let Some(difference) = snapshot.fingerprint.difference(&print) {
        let source = JournalError::Different(Box::new(difference));
        return Err(journal_error(&run, source));
    }
    let mut checks = Vec::new();
    // A run that was killed has no summary, or that of an earlier stop; its images still say what
    // they are.
    let ended = summary(&run, snapshot.head)?;
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
        checks.extend(final_checks(&run, &spec, ended.as_ref()));
    }
    compare(&engines, &checks)
}

/// Makes everything again, each as the run made it.
fn compare(engines: &Engines, checks: &[Check]) -> Result<Verification, Error> {
    let mut report = Verification::default();
    let alike = checks.chunk_by(|one, next| one.handed_out() == next.handed_out());
    for chunk in alike.flat_map(|checks| checks.chunks(CHUNK)) {
        let engine = match chunk.first().is_some_and(Check::handed_out) {
            true => engines.finals(),
            false => engines.candidates(),
        };
        let wanted: Vec<_> = chunk.iter().filter_map(Check::wanted).collect();
        let mut made = engine.make(&wanted)?.into_iter();
        for check in chunk {
            let made = check.wanted().and_then(|_| made.next());
            check.judge(made, engine, &mut report);
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
    /// Whether it is no candidate as the search saw it, but was made to be handed out.
    handed_out: bool,
}

impl Check {
    fn handed_out(&self) -> bool {
        self.said.as_ref().is_some_and(|said| said.handed_out)
    }

    fn wanted(&self) -> Option<(&Recipe, View)> {
        self.said.as_ref().map(|said| (&said.recipe, said.view))
    }

    fn judge(&self, made: Option<Made>, engine: &Engine, report: &mut Verification) {
        let differs = |how: &str| Mismatch {
            what: self.what.clone(),
            how: how.to_owned(),
        };
        let mut wrong = |how: &str| report.mismatches.push(differs(how));
        let (Some(said), Some(made)) = (&self.said, made) else {
            return wrong("it is not there, damaged, or says another recipe than the run");
        };
        let outcome = match made.result {
            Ok(outcome) => outcome,
            Err(lost) => return wrong(&format!("it cannot be made: {}", lost.0)),
        };
        if vary(&said.outcome, &outcome, engine) {
            let how = "made again, it has other scores, of verifiers only that may vary";
            report.varied.push(differs(how));
        } else if outcome != said.outcome {
            wrong("made again, it has other scores");
        }
        if said.picture.is_some() && made.picture != said.picture {
            wrong("made again, it has other pixels");
        }
        report.candidates += 1;
        report.pictures += u64::from(said.picture.is_some());
    }
}

/// Whether two outcomes differ, and only by what verifiers said that may answer otherwise when they
/// are asked again.
fn vary(said: &Outcome, made: &Outcome, engine: &Engine) -> bool {
    use Outcome::{Failed, Scored};
    match (said, made) {
        (Scored(said), Scored(made)) => {
            let (said, made) = (said.values(), made.values());
            let mut pairs = said.iter().zip(made).enumerate();
            let excused = pairs.all(|(at, (said, made))| said == made || engine.varies(at));
            said != made && said.len() == made.len() && excused
        }
        (Scored(_), Failed(Failure::NonFiniteScore { verifier }))
        | (Failed(Failure::NonFiniteScore { verifier }), Scored(_)) => engine.varies(*verifier),
        _ => false,
    }
}

/// An image file, which must be of `recipe` where that is known.
fn file_check(
    run: &RunDir,
    spec: &Checked,
    name: &str,
    recipe: Option<Recipe>,
) -> Result<Check, Error> {
    let same = |record: &Record| {
        let known = recipe.as_ref();
        known.is_none_or(|recipe| *recipe == record.recipe)
    };
    let image = run.image(name)?.filter(|(_, record)| same(record));
    Ok(Check {
        what: name.to_owned(),
        said: image.and_then(|image| said(image, &spec.scored())),
    })
}

/// What an image says about itself; `None` when a score is missing.
fn said((picture, record): (Picture, Record), names: &[String]) -> Option<Said> {
    Some(Said {
        outcome: Outcome::Scored(record.scores(names)?),
        handed_out: record.job.is_none(),
        recipe: record.recipe,
        view: View::Final,
        picture: Some(picture),
    })
}

/// Those of the best that were made again in another number format; the first is the answer.
fn final_checks(run: &RunDir, spec: &Checked, ended: Option<&Summary>) -> Vec<Check> {
    let again = |shown: &&Shown| spec.files.is_ladder() && !shown.searched.is_empty();
    let check = |(place, shown): (usize, &Shown)| {
        let image = run.relative(&shown.image);
        let image = image.and_then(|bytes| Record::read(&bytes));
        let same = |record: &Record| record.recipe == shown.recipe && record.job.is_none();
        let image = image.filter(|(_, record)| same(record));
        Check {
            what: format!("number {}", place + 1),
            said: image.and_then(|image| said(image, &spec.scored())),
        }
    };
    let kept = ended.into_iter().flat_map(|summary| &summary.kept);
    kept.filter(again).enumerate().skip(1).map(check).collect()
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
            handed_out: false,
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
