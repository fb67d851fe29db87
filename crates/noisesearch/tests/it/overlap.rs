//! A batch is solved while the one before it is judged, and what ends early is counted.

use crate::fake::{Counts, registry_counting};
use crate::runs::{checked, go, scratch};
use candle_core::Result;
use noisesearch::registry::Registry;
use noisesearch_core::search::StopReason;
use noisesearch_models::task::Task;
use noisesearch_verifiers::verifier::{Samples, Verifier, VerifierId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a judge waits for the network before it gives up: never reached where they overlap.
const PATIENCE: Duration = Duration::from_secs(20);

/// A judge whose second answer, the first batch's, waits until the network works on the next.
struct Waiting {
    judge: Box<dyn Verifier>,
    counts: Arc<Counts>,
    calls: AtomicU64,
    overlapped: Arc<AtomicBool>,
}

impl Verifier for Waiting {
    fn id(&self) -> &VerifierId {
        self.judge.id()
    }

    fn score(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        // The first call is for the sample without search, before the loop.
        if self.calls.fetch_add(1, Ordering::Relaxed) == 1 {
            // Two batches of four rows and six steps, of which one was known.
            let (both, began) = (2 * 4 * 6, Instant::now());
            while self.counts.rows() < both && began.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(1));
            }
            let reached = self.counts.rows() >= both;
            self.overlapped.store(reached, Ordering::Relaxed);
        }
        self.judge.score(task, samples)
    }
}

/// The fakes, with a judge that waits.
fn waiting(counts: &Arc<Counts>, overlapped: &Arc<AtomicBool>) -> Registry {
    let mut registry = registry_counting(counts);
    let mut entries = registry.verifiers.iter_mut();
    let entry = entries.find(|entry| entry.name == "bright").unwrap();
    let (open, counts, overlapped) = (entry.open.clone(), counts.clone(), overlapped.clone());
    entry.open = Arc::new(move || {
        Ok(Box::new(Waiting {
            judge: open()?,
            counts: counts.clone(),
            calls: AtomicU64::new(0),
            overlapped: overlapped.clone(),
        }))
    });
    registry
}

#[test]
fn the_network_works_while_a_judge_waits() {
    let (counts, overlapped): (Arc<Counts>, Arc<AtomicBool>) = Default::default();
    let registry = waiting(&counts, &overlapped);
    let out = scratch("overlap");
    let text = "prompt = \"a\"\nbudget = \"12evals\"\nwatch = []";
    let summary = go(&registry, &checked(text, &registry), &out);
    assert!(overlapped.load(Ordering::Relaxed), "one after the other");
    assert_eq!(summary.spent.search_nfe, 12 * 6);
    assert_eq!(summary.billed.search_nfe, 12 * 6);
    std::fs::remove_dir_all(out).unwrap();
}

/// What was solved beside the batch that ended the run is spent, and billed to nobody.
#[test]
fn what_is_given_up_is_counted() {
    let (counts, overlapped): (Arc<Counts>, Arc<AtomicBool>) = Default::default();
    let registry = waiting(&counts, &overlapped);
    let out = scratch("given-up");
    let text = "prompt = \"a\"\nuntil = \"bright=0.0\"\nwatch = []";
    let summary = go(&registry, &checked(text, &registry), &out);
    assert_eq!(summary.stop, StopReason::Target);
    assert_eq!(
        summary.billed.search_nfe, 6,
        "the first candidate is enough"
    );
    assert_eq!(summary.spent.search_nfe, counts.rows());
    assert!(summary.spent.search_nfe >= 2 * 4 * 6);
    std::fs::remove_dir_all(out).unwrap();
}
