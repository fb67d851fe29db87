//! Runs: begin one, go on with one.

use crate::before::Before;
use crate::engine::Made;
use crate::engines::Engines;
use crate::error::Error;
use crate::finals;
use crate::gallery::Gallery;
use crate::identity;
use crate::observe::Control;
use crate::record::Recorder;
use crate::registry::Registry;
use crate::relay::BATCHES;
use crate::report;
use crate::rundir::{BASELINE, BEST, RunDir, SUMMARY};
use crate::session::Session;
use crate::spec::Checked;
use crate::summary::{Shown, Summary};
use noisesearch_core::drive::{DriveError, Rules};
use noisesearch_core::job::{JobId, Outcome, Scores, View};
use noisesearch_core::journal::{Fingerprint, Journal, JournalError, Opened};
use noisesearch_core::level::Level;
use noisesearch_core::noise::candidate_root;
use noisesearch_core::objective::Objective;
use noisesearch_core::recipe::{Move, Recipe};
use noisesearch_core::search::{Search, StopReason};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// Begins a run in a new directory below `out` and works until it ends or is stopped. The model
/// is opened and asked before anything is written.
pub fn run(
    registry: &Registry,
    spec: &Checked,
    out: &Path,
    control: Control,
) -> Result<Summary, Error> {
    let began = Instant::now();
    let engines = Engines::open(registry, spec)?;
    let fingerprint = begin(spec, &engines).map_err(|source| Error::Journal {
        run: out.to_owned(),
        source,
    })?;
    let run = RunDir::create(out, spec)?;
    let opened = Journal::create(&run.files, &fingerprint);
    let opened = opened.map_err(|source| journal_error(&run, source))?;
    Work {
        spec,
        engines,
        run: &run,
        fingerprint,
        began,
    }
    .go(opened, control)
    .map_err(|error| error.of_run(run.files.path()))
}

/// Goes on with the run in `dir`, or makes its report again when it has ended.
///
/// # Errors
/// When somebody else works on it, when its journal is damaged, and when the program, the
/// weights or the spec are not those that began it.
pub fn resume(registry: &Registry, dir: &Path, control: Control) -> Result<Summary, Error> {
    let began = Instant::now();
    let (run, spec) = RunDir::open(dir, registry)?;
    let engines = Engines::open(registry, &spec)?;
    let fingerprint =
        identity::of_run(&spec, &engines).map_err(|source| journal_error(&run, source))?;
    let opened = match Journal::open(&run.files, &fingerprint) {
        // Stopped between its first file and its journal.
        Err(JournalError::Missing) if run.bytes(SUMMARY)?.is_none() => {
            Journal::create(&run.files, &fingerprint)
        }
        other => other,
    };
    let opened = opened.map_err(|source| journal_error(&run, source))?;
    if let Some(notice) = &opened.notice {
        control.observer.note(&notice.to_string());
    }
    Work {
        spec: &spec,
        engines,
        run: &run,
        fingerprint,
        began,
    }
    .go(opened, control)
    .map_err(|error| error.of_run(run.files.path()))
}

/// The fingerprint of a new run, which fits in a journal.
fn begin(spec: &Checked, engines: &Engines) -> Result<Fingerprint, JournalError> {
    let fingerprint = identity::of_run(spec, engines)?;
    Journal::check(&fingerprint)?;
    Ok(fingerprint)
}

/// The first plain noise at the final steps: what the model gives without search.
pub(crate) fn baseline(spec: &Checked) -> Recipe {
    let moves = vec![Move::Denoise {
        to: Level::CLEAN,
        steps: spec.steps,
    }];
    Recipe {
        root: candidate_root(spec.seed, 0),
        moves,
    }
}

pub(crate) fn journal_error(run: &RunDir, source: JournalError) -> Error {
    Error::Journal {
        run: run.files.path().to_owned(),
        source,
    }
}

/// One process's part of a run.
struct Work<'a> {
    spec: &'a Checked,
    engines: Engines,
    run: &'a RunDir,
    fingerprint: Fingerprint,
    began: Instant,
}

impl Work<'_> {
    fn go(self, opened: Opened, mut control: Control) -> Result<Summary, Error> {
        if let Some(note) = self.engines.candidates().preview_note() {
            control.observer.note(&note);
        }
        let terms = self.spec.terms()?;
        let mut search = self
            .spec
            .search
            .build(&terms)
            .map_err(crate::spec::SpecError::from)?;
        let rules = Rules {
            budget: self.spec.budget,
            room: BATCHES * self.spec.batch,
            verifiers: self.spec.scored().len(),
            passes_per_nfe: self.engines.candidates().passes_per_nfe(),
        };
        let forget = !matches!(self.spec.objective, Objective::MeanRank(_));
        let recorder = || Recorder {
            spec: self.spec,
            fingerprint: &self.fingerprint,
        };
        let before = Before::of(self.run, &opened);
        let place = self.run.files.path();
        control.observer.started(place, self.spec, before.told);
        let gallery = Gallery::new(self.run, recorder(), forget);
        let mut session = Session::new(self.spec, &self.engines, self.run, gallery, &mut control);
        session.began = self.began;
        session.unreported = before.unjournalled;
        let baseline = prepare(&mut session, &recorder(), &*search)?;
        let verdict = session
            .search(&mut *search, opened, rules)
            .map_err(|error| drive_error(self.run, error))?;
        let finalists = search.finalists(self.spec.count);
        let kept = keep(&mut session, &recorder(), &finalists)?;
        let mut answer = finals::answer(&mut session, &recorder(), kept, &verdict)?;
        // Once a run, also when it was stopped and resumed.
        if verdict.stop != StopReason::Cancelled
            && !before.ended
            && let Some((picture, _)) = self.run.image(BEST)?
        {
            session.engines.finals().accept(&picture)?;
        }
        answer.spent += std::mem::take(&mut session.unreported);
        let summary = Summary {
            run: self.run.files.path().to_owned(),
            stop: verdict.stop,
            best: answer.best,
            baseline,
            kept: answer.kept,
            billed: answer.billed.into(),
            spent: answer.spent.into(),
            seconds: before.seconds + session.began.elapsed().as_secs_f64(),
            peak_bytes: crate::memory::peak(),
            journal: verdict.head.to_string(),
        };
        report::write_of(self.run, self.spec, &summary)?;
        let json = serde_json::to_vec_pretty(&summary).map_err(JournalError::Unwritable);
        let json = json.map_err(|source| journal_error(self.run, source))?;
        self.run.write(SUMMARY, &json)?;
        Ok(summary)
    }
}

fn drive_error(run: &RunDir, error: DriveError<Error>) -> Error {
    match error {
        DriveError::World(error) => error,
        DriveError::Journal(source) => journal_error(run, source),
        other => Error::Diverged {
            run: run.files.path().to_owned(),
            problem: other.to_string(),
        },
    }
}

/// Makes the baseline, or finds it where an earlier process put it. Its cost is spent, not
/// billed: as search when it is the first candidate anyway, else as final generation.
fn prepare(
    session: &mut Session,
    recorder: &Recorder,
    search: &dyn Search,
) -> Result<Option<Shown>, Error> {
    let recipe = baseline(recorder.spec);
    let run = session.run;
    let names = recorder.spec.scored();
    if let Some((picture, record)) = run.image(BASELINE)? {
        let mine = record.recipe == recipe && record.fingerprint == *recorder.fingerprint;
        if let Some(scores) = record.scores(&names).filter(|_| mine) {
            let shown = shown(recorder, &recipe, &scores, run.path(BASELINE));
            let made = Made {
                result: Ok(Outcome::Scored(scores)),
                picture: Some(picture),
            };
            session.known(recipe, made);
            return Ok(Some(shown));
        }
    }
    let finals = session.engines.finals();
    let (mut made, mut spent) = session.make(finals, &[(&recipe, View::Final)])?;
    let alike = recorder.spec.terms()?.finals() == 0;
    if search.baseline().is_none() || !alike {
        spent = finals::as_final(spent);
    }
    session.unreported += spent;
    let Some(made) = made.pop() else {
        return Ok(None);
    };
    let scored = match (&made.result, &made.picture) {
        (Ok(Outcome::Scored(scores)), Some(picture)) => Some((scores, picture)),
        _ => None,
    };
    let shown = match scored {
        Some((scores, picture)) => {
            save(run, BASELINE, recorder.png(picture, None, &recipe, scores))?;
            session.control.observer.image(&run.path(BASELINE));
            Some(shown(recorder, &recipe, scores, run.path(BASELINE)))
        }
        None => None,
    };
    // One that was lost is tried again where a search asks for it.
    if made.result.is_ok() {
        session.known(recipe, made);
    }
    Ok(shown)
}

/// Makes sure that every finalist has its image and shows them, best first.
fn keep(
    session: &mut Session,
    recorder: &Recorder,
    finalists: &[JobId],
) -> Result<Vec<(JobId, Shown)>, Error> {
    session.gallery.settle(finalists)?;
    let missing = session.gallery.missing(finalists);
    let recipes: Vec<(JobId, Recipe)> = missing
        .into_iter()
        .filter_map(|job| Some((job, session.gallery.get(job)?.recipe.clone())))
        .collect();
    let wanted: Vec<_> = recipes
        .iter()
        .map(|(_, recipe)| (recipe, View::Final))
        .collect();
    if !wanted.is_empty() {
        let (made, spent) = session.make(session.engines.candidates(), &wanted)?;
        session.unreported += spent;
        for ((job, _), made) in recipes.iter().zip(made) {
            if let Some(picture) = made.picture {
                session.gallery.restore(*job, picture);
            }
        }
        session.gallery.settle(finalists)?;
    }
    let show = |&job: &JobId| {
        let candidate = session.gallery.get(job)?;
        let image = session.run.image_path(job);
        let shown = shown(recorder, &candidate.recipe, &candidate.scores, image);
        Some((job, shown))
    };
    Ok(finalists.iter().filter_map(show).collect())
}

pub(crate) fn shown(
    recorder: &Recorder,
    recipe: &Recipe,
    scores: &Scores,
    image: std::path::PathBuf,
) -> Shown {
    Shown {
        id: recipe.id(),
        recipe: recipe.clone(),
        scores: recorder.named(scores),
        searched: BTreeMap::new(),
        image,
    }
}

fn save(
    run: &RunDir,
    name: &str,
    png: Result<Vec<u8>, crate::picture::PictureError>,
) -> Result<(), Error> {
    let png = png.map_err(|source| Error::Picture {
        path: run.path(name),
        source,
    })?;
    run.write(name, &png)
}
