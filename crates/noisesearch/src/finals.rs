//! What is handed out: the best candidates, made again where the search made them otherwise.
//!
//! ```text
//! fewer steps in the search:   the winner again; the others stay as the search saw them
//! another number format:       all that are kept again; the answer is the best of their new scores
//! ```
//!
//! After a search in another number format the order of the nearest is not certain, so its best are
//! a short list; the new scores, which are of the pictures that are handed out, choose from it.
//!
//! What an earlier process made again is found where it put it.

use crate::engine::Made;
use crate::error::Error;
use crate::picture::Picture;
use crate::record::Recorder;
use crate::run::shown;
use crate::rundir::{BEST, RunDir};
use crate::session::Session;
use crate::summary::Shown;
use noisesearch_core::drive::Verdict;
use noisesearch_core::job::{JobId, Outcome, Scores, View};
use noisesearch_core::ledger::Ledger;
use noisesearch_core::objective::Entry;
use noisesearch_core::recipe::Recipe;
use noisesearch_core::search::StopReason;

/// The answer and how it came about.
pub struct Answer {
    /// The answer itself; `None` when no candidate was finished.
    pub best: Option<Shown>,
    /// The best candidates, best first.
    pub kept: Vec<Shown>,
    /// What the run was billed in all.
    pub billed: Ledger,
    /// What was spent in all.
    pub spent: Ledger,
}

/// A candidate that was made again.
struct Again {
    /// Its place among those that are kept.
    place: usize,
    job: JobId,
    recipe: Recipe,
    scores: Scores,
    picture: Picture,
}

/// What a making of its own cost, as final generation.
pub fn as_final(cost: Ledger) -> Ledger {
    Ledger {
        search_nfe: 0,
        final_nfe: cost.search_nfe,
        ..cost
    }
}

/// Makes the best of `kept` again where the search made them otherwise, and chooses the answer. One
/// that fails then stays as the search saw it, and so does everything in a run that was stopped.
pub fn answer(
    session: &mut Session,
    recorder: &Recorder,
    kept: Vec<(JobId, Shown)>,
    verdict: &Verdict,
) -> Result<Answer, Error> {
    let (mut billed, mut spent) = (verdict.billed, verdict.spent);
    let mut again = Vec::new();
    if verdict.stop != StopReason::Cancelled {
        let (made, charged, cost) = remake(session, recorder, &kept)?;
        (billed, spent) = (sum(billed, charged), sum(spent, as_final(cost)));
        again = made;
    }
    // Where something was made again, the best of that is `best.png`.
    if again.is_empty() {
        let finalists: Vec<JobId> = kept.iter().map(|(job, _)| *job).collect();
        session.crown(&finalists)?;
    }
    let mut best = kept.first().map(|(_, shown)| Shown {
        image: session.run.path(BEST),
        ..shown.clone()
    });
    let mut kept: Vec<Option<Shown>> = kept.into_iter().map(|(_, shown)| Some(shown)).collect();
    let mut handed = Vec::new();
    for (rank, again) in again.iter().enumerate() {
        let searched = kept[again.place].clone();
        let new = Shown {
            searched: searched.map_or_else(Default::default, |shown| shown.scores),
            ..shown(
                recorder,
                &again.recipe,
                &again.scores,
                session.run.path(BEST),
            )
        };
        let png = recorder.png(&again.picture, None, &again.recipe, &again.scores);
        let png = png.map_err(|source| Error::Picture {
            path: session.run.path(BEST),
            source,
        })?;
        if recorder.spec.files.is_ladder() {
            let image = session.run.put_final(again.job, &png)?;
            kept[again.place] = None;
            handed.push(Shown {
                image,
                ..new.clone()
            });
        }
        if rank == 0 {
            session.run.write(BEST, &png)?;
            session.control.observer.image(&session.run.path(BEST));
            best = Some(new);
        }
    }
    handed.extend(kept.into_iter().flatten());
    Ok(Answer {
        best,
        kept: handed,
        billed,
        spent,
    })
}

/// Those that are made again, best first by their new scores; what they are billed and what they
/// cost.
fn remake(
    session: &mut Session,
    recorder: &Recorder,
    kept: &[(JobId, Shown)],
) -> Result<(Vec<Again>, Ledger, Ledger), Error> {
    let terms = recorder.spec.terms()?;
    let best = kept.iter().take(terms.finals()).enumerate();
    let wanted: Vec<(usize, JobId, Recipe, u64)> = best
        .filter_map(|(place, (job, shown))| {
            let (recipe, nfe) = terms.remake(&shown.recipe)?;
            Some((place, *job, recipe, nfe))
        })
        .collect();
    if wanted.is_empty() {
        return Ok((Vec::new(), Ledger::default(), Ledger::default()));
    }
    let finals = session.engines.finals();
    let (mut found, mut missing) = (Vec::with_capacity(wanted.len()), Vec::new());
    for (_, job, recipe, _) in &wanted {
        let earlier = found_again(session.run, recorder, *job, recipe)?;
        if earlier.is_none() {
            missing.push((recipe, View::Final));
        }
        found.push(earlier);
    }
    let (made, cost) = match missing.is_empty() {
        true => (Vec::new(), Ledger::default()),
        false => session.make(finals, &missing)?,
    };
    let nfe = wanted.iter().map(|(.., nfe)| nfe).sum::<u64>();
    let charged = Ledger {
        final_nfe: nfe,
        passes: nfe * finals.passes_per_nfe(),
        verifier_calls: (wanted.len() * recorder.spec.scored().len()) as u64,
        ..Ledger::default()
    };
    let mut again = Vec::with_capacity(wanted.len());
    let mut made = made.into_iter();
    for ((place, job, recipe, _), found) in wanted.into_iter().zip(found) {
        let Some((scores, picture)) = found.or_else(|| finished(made.next()?)) else {
            let text = format!(
                "candidate {} failed when it was made again; it stays as the search saw it",
                job.0
            );
            session.control.observer.note(&text);
            continue;
        };
        again.push(Again {
            place,
            job,
            recipe,
            scores,
            picture,
        });
    }
    let entries = again.iter().map(|again: &Again| Entry {
        job: again.job,
        scores: Some(&again.scores),
    });
    let order = terms.objective.order(&entries.collect::<Vec<_>>());
    let jobs: Vec<JobId> = order.into_iter().map(|place| again[place].job).collect();
    again.sort_by_key(|again| jobs.iter().position(|job| *job == again.job));
    Ok((again, charged, cost))
}

/// What an earlier process made again of a candidate: in a place of its own where all that are kept
/// are made again, else `best.png`.
fn found_again(
    run: &RunDir,
    recorder: &Recorder,
    job: JobId,
    recipe: &Recipe,
) -> Result<Option<(Scores, Picture)>, Error> {
    let image = match recorder.spec.files.is_ladder() {
        true => run.made_again(job)?,
        false => run.image(BEST)?,
    };
    let Some((picture, record)) = image else {
        return Ok(None);
    };
    let same = record.job.is_none() && record.recipe == *recipe;
    let scores = record.scores(&recorder.spec.scored());
    let scores = scores.filter(|_| same && record.fingerprint == *recorder.fingerprint);
    Ok(scores.map(|scores| (scores, picture)))
}

fn finished(made: Made) -> Option<(Scores, Picture)> {
    match made.result {
        Ok(Outcome::Scored(scores)) => Some((scores, made.picture?)),
        _ => None,
    }
}

fn sum(mut one: Ledger, other: Ledger) -> Ledger {
    one += other;
    one
}
