//! The core's hot functions, one a run, for a tool that counts instructions: `hot NAME COUNT`.
//! `hot` alone prints the names.
//!
//! All that is counted happens inside of `measured`, COUNT times; what it needs is made before.
//! `cargo xtask instructions` compares the counts with `benches/instructions.json`.

use noisesearch_core::budget::Budget;
use noisesearch_core::conformance::terms;
use noisesearch_core::disk::Nowhere;
use noisesearch_core::job::{JobId, Outcome, Scores};
use noisesearch_core::journal::{Entry as Line, Fingerprint, Journal, Told};
use noisesearch_core::ledger::Ledger;
use noisesearch_core::level::Level;
use noisesearch_core::noise::Stream;
use noisesearch_core::objective::{Entry, Objective};
use noisesearch_core::recipe::{Move, Recipe};
use noisesearch_core::search::{Search, SearchSpec};
use std::error::Error;
use std::hint::black_box;

/// A function of its own under this name, whose instructions are counted.
#[inline(never)]
fn measured(mut work: impl FnMut()) {
    work();
}

/// Counts itself done so many times.
type Hot = fn(usize) -> Result<(), Box<dyn Error>>;

const HOT: [(&str, Hot); 5] = [
    ("normals", normals),
    ("recipe-id", recipe_id),
    ("journal-line", journal_line),
    ("mean-rank", mean_rank),
    ("rounds", rounds),
];

/// A latent of Stable Diffusion's noise: 16384 normals.
fn normals(count: usize) -> Result<(), Box<dyn Error>> {
    let mut out = vec![0.0; 4 * 64 * 64];
    measured(|| {
        for root in 0..count as u64 {
            Stream::initial(black_box(root)).fill(0, &mut out);
        }
    });
    black_box(out);
    Ok(())
}

fn recipe() -> Result<Recipe, Box<dyn Error>> {
    let (to, steps) = (Level::CLEAN, 20);
    let nudge = |draw| Move::Nudge { draw, cosine: 0.95 };
    let mut moves: Vec<Move> = (0..8).map(nudge).collect();
    moves.push(Move::Denoise { to, steps });
    let recipe = Recipe { root: 7, moves };
    recipe.check()?;
    Ok(recipe)
}

/// The name of a recipe of nine moves.
fn recipe_id(count: usize) -> Result<(), Box<dyn Error>> {
    let recipe = recipe()?;
    measured(|| {
        for _ in 0..count {
            black_box(black_box(&recipe).id());
        }
    });
    Ok(())
}

/// A line of 32 outcomes.
fn journal_line(count: usize) -> Result<(), Box<dyn Error>> {
    let id = recipe()?.id();
    let mut journal = Journal::create(&Nowhere, &Fingerprint::default())?.journal;
    let told = |i: u64| -> Result<Told, Box<dyn Error>> {
        Ok(Told {
            job: JobId(i),
            recipe: id,
            nfe: 20,
            outcome: Outcome::Scored(scores(i)?),
        })
    };
    let line = Line {
        told: (0..32).map(told).collect::<Result<_, _>>()?,
        spent: Ledger::default(),
        ended: None,
    };
    let mut result = Ok(());
    measured(|| {
        for _ in 0..count {
            if let Err(error) = journal.append(&line) {
                result = Err(error);
            }
        }
    });
    Ok(result?)
}

/// Two scores that do not rise with `i`.
fn scores(i: u64) -> Result<Scores, Box<dyn Error>> {
    let part = |factor| (i * factor % 1009) as f64 / 1009.0;
    Ok(Scores::new(vec![part(617), part(283)])?)
}

/// 1000 candidates in the order of their mean rank under two verifiers.
fn mean_rank(count: usize) -> Result<(), Box<dyn Error>> {
    let all = (0..1000).map(scores).collect::<Result<Vec<_>, _>>()?;
    let set: Vec<Entry> = (0..)
        .zip(&all)
        .map(|(i, scores)| Entry {
            job: JobId(i),
            scores: Some(scores),
        })
        .collect();
    let objective = Objective::MeanRank(vec![0, 1]);
    measured(|| {
        for _ in 0..count {
            black_box(objective.order(black_box(&set)));
        }
    });
    Ok(())
}

/// A whole search over paths of 256 evaluations: asked, told, ranked.
fn rounds(count: usize) -> Result<(), Box<dyn Error>> {
    let terms = terms(Budget::Evals(256));
    let spec = SearchSpec::named("paths").ok_or("there is no search over paths")?;
    let build = |_| spec.build(&terms);
    let mut searches = (0..count).map(build).collect::<Result<Vec<_>, _>>()?;
    let outcomes = (0..256).map(|i| Ok(Outcome::Scored(scores(i)?)));
    let outcomes = outcomes.collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    measured(|| {
        for search in &mut searches {
            finish(&mut **search, &outcomes);
        }
    });
    Ok(())
}

fn finish(search: &mut dyn Search, outcomes: &[Outcome]) {
    while search.stop().is_none() {
        for job in search.ask(32) {
            search.tell(job.id, &outcomes[job.id.0 as usize % outcomes.len()]);
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, count] = arguments.as_slice() else {
        HOT.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(());
    };
    let found = HOT.iter().find(|(hot, _)| hot == name);
    let (_, hot) = found.ok_or_else(|| format!("there is no `{name}`"))?;
    hot(count.parse()?)
}
