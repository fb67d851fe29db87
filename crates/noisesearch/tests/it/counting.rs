//! N5: what the meter counts is what a counting fake saw, and both are what was billed, in ten
//! thousand random runs over every solver, guidance and algorithm.

use crate::fake::{Counts, registry_counting};
use noisesearch::engine::Engine;
use noisesearch::spec::{Checked, Spec};
use noisesearch_core::job::{Job, JobId};
use noisesearch_core::ledger::BACKWARD_NFE;
use noisesearch_core::sim::Dice;
use std::sync::Arc;

const RUNS: u64 = 10_000;

/// A random legal spec; `None` where the budget is too small for what was drawn.
fn spec(seed: u64, registry: &noisesearch::registry::Registry) -> Option<Checked> {
    let mut dice = Dice::new(seed);
    let mut pick = |from: &[&str]| from[dice.below(from.len() as u64) as usize].to_owned();
    let (solver, guidance) = (
        pick(&["euler", "heun", "ddim", "dpmpp-2m"]),
        pick(&["1.0", "2.5"]),
    );
    let (steps, budget, batch) = (
        pick(&["1", "2", "3", "6"]),
        pick(&["1", "2", "5", "12", "30"]),
        pick(&["1", "3", "8"]),
    );
    let search = pick(&[
        "method = \"random\"",
        "method = \"zero-order\"\nneighbours = 3",
        "method = \"zero-order\"\nneighbours = 2\nstuck = \"restart\"",
        "method = \"zero-order\"\nneighbours = 2\nstuck = \"retry\"",
        "method = \"paths\"\npaths = 2\nnoises = 1\nfirst-steps = 2\nleg-steps = 1",
        "method = \"first-order\"",
        "method = \"first-order\"\npivots = 3\nrate = 0.3",
    ]);
    let text = format!(
        "prompt = \"a\"\nseed = {seed}\nsolver = \"{solver}\"\nguidance = {guidance}\n\
         steps = {steps}\nbatch = {batch}\nbudget = \"{budget}evals\"\n[search]\n{search}\n"
    );
    let spec = Spec::from_toml(&text).unwrap();
    spec.check(registry).ok()
}

#[test]
fn the_meter_agrees_with_a_counting_fake_in_ten_thousand_runs() {
    let (mut agreed, mut evaluations) = (0, 0);
    for seed in 0..RUNS * 2 {
        let counts: Arc<Counts> = Arc::default();
        let registry = registry_counting(&counts);
        let Some(spec) = spec(seed, &registry) else {
            continue;
        };
        let engine = Engine::open(&registry, &spec).unwrap();
        let mut search = spec.search.build(&spec.terms().unwrap()).unwrap();
        let mut billed = 0;
        while search.stop().is_none() {
            let jobs: Vec<Job> = search.ask(spec.batch);
            let wanted: Vec<_> = jobs.iter().map(|job| (&job.recipe, job.view)).collect();
            let made = engine.make(&wanted).unwrap();
            for (job, made) in jobs.iter().zip(made) {
                billed += job.nfe;
                let id: JobId = job.id;
                search.tell(id, &made.result.unwrap());
            }
        }
        let spent = engine.spent();
        let passes = if spec.guidance == 1.0 { 1 } else { 2 };
        let seen = counts.rows() + BACKWARD_NFE * counts.back();
        assert_eq!(spent.search_nfe, seen, "seed {seed}: {spec:?}");
        assert_eq!(spent.search_nfe, billed, "seed {seed}: {spec:?}");
        assert_eq!(spent.passes, passes * billed, "seed {seed}");
        evaluations += billed;
        agreed += 1;
        if agreed == RUNS {
            break;
        }
    }
    println!("{agreed} runs, {evaluations} evaluations");
    assert_eq!(agreed, RUNS);
}
