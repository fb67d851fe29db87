//! What a person sees while a run goes on, on stderr: a bar on a terminal, otherwise a line now
//! and then.

use crate::exit::say;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use noisesearch::observe::{Observer, Progress};
use noisesearch::spec::Checked;
use noisesearch_core::budget::Budget;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often the bar is drawn: faster than that nobody reads.
const BAR_EVERY: Duration = Duration::from_millis(100);
/// How often a log gets a line: often enough to see that it lives.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Ticks of a full bar.
const FULL: u64 = 1000;

/// Watches a study for a person.
pub struct StudyScreen {
    bar: Option<ProgressBar>,
    shown: Option<Instant>,
}

impl StudyScreen {
    /// Looks at stderr once.
    pub fn new() -> Self {
        Self {
            bar: io::stderr().is_terminal().then(bar),
            shown: None,
        }
    }

    /// Takes the bar away, so that text may follow.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl noisesearch_study::watch::Observer for StudyScreen {
    fn progress(&mut self, progress: &noisesearch_study::watch::Progress) {
        let (cells, of, made) = (progress.cells, progress.of, progress.made);
        let left = progress.seconds_left.map(|s| format!("  {s:.0} s left"));
        let left = left.unwrap_or_default();
        let text = format!("{}: {cells}/{of} cells  {made} made{left}", progress.study);
        if let Some(bar) = &self.bar {
            bar.set_position((progress.fraction * FULL as f64) as u64);
            bar.set_message(text);
        } else if self.shown.is_none_or(|shown| shown.elapsed() >= LINE_EVERY) {
            self.shown = Some(Instant::now());
            say(&text);
        }
    }

    fn note(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(&format!("note: {text}"))),
            None => say(&format!("note: {text}")),
        }
    }
}

/// Watches a run for a person.
pub struct Screen {
    bar: Option<ProgressBar>,
    /// When the last line was shown, where there is no bar.
    shown: Option<Instant>,
    pictured: bool,
    /// What is run, once that is known.
    pub spec: Option<Checked>,
}

impl Screen {
    /// Looks at stderr once.
    pub fn new() -> Self {
        Self {
            bar: io::stderr().is_terminal().then(bar),
            shown: None,
            pictured: false,
            spec: None,
        }
    }

    /// Takes the bar away, so that text may follow.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Says what is going to run.
    pub fn announce(&mut self, spec: &Checked) {
        let (model, search) = (&spec.model, spec.search.name());
        let (seed, budget) = (spec.seed, spec.budget);
        let subject = spec.subject();
        self.line(&format!(
            "{subject:?}: {model}, {search} search, seed {seed}, budget {budget}"
        ));
        self.spec = Some(spec.clone());
    }

    /// Says what a goal chose.
    pub fn chose(&self, goal: &str, spec: &Checked) {
        let objective = spec.objective.text(&spec.scored());
        self.line(&format!("goal {goal}: the objective is {objective}"));
    }

    /// Says something.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }
}

impl Observer for Screen {
    fn started(&mut self, run: &Path, spec: &Checked, told: u64) {
        if self.spec.is_none() {
            self.announce(spec);
        }
        let again = match told {
            0 => String::new(),
            told => format!(", resumed after {told} candidates"),
        };
        self.line(&format!("run directory {}{again}", run.display()));
    }

    fn progress(&mut self, progress: &Progress) {
        if let Some(bar) = &self.bar {
            bar.set_position((progress.fraction() * FULL as f64) as u64);
            bar.set_message(status(progress));
        } else if self.shown.is_none_or(|shown| shown.elapsed() >= LINE_EVERY) {
            self.shown = Some(Instant::now());
            say(&status(progress));
        }
    }

    fn image(&mut self, path: &Path) {
        if !self.pictured {
            self.pictured = true;
            self.line(&format!("first picture {}", path.display()));
        }
    }

    fn note(&mut self, text: &str) {
        self.line(&format!("note: {text}"));
    }
}

/// Billed of budget, the best candidate's scores, time left.
fn status(progress: &Progress) -> String {
    let billed = match progress.spec.budget {
        Budget::Nfe(most) => format!("{}/{most} NFE", progress.billed.total_nfe()),
        Budget::Evals(most) => format!("{}/{most} candidates", progress.candidates),
        Budget::Seconds(most) => format!("{:.0}/{most} s", progress.seconds),
    };
    let names = progress.spec.scored();
    let optimised = progress.spec.verifiers.len();
    let scores = progress.best.map_or(&[][..], |scores| scores.values());
    let best = names
        .iter()
        .zip(scores)
        .enumerate()
        .map(|(at, (name, score))| {
            let watched = if at < optimised { "" } else { " (watched)" };
            format!("{name} {score:.3}{watched}")
        });
    let failed = (progress.failed > 0).then(|| format!("{} failed", progress.failed));
    let left = progress.seconds_left().map(|s| format!("{s:.0} s left"));
    let parts = std::iter::once(billed)
        .chain(left)
        .chain(best)
        .chain(failed);
    parts.collect::<Vec<_>>().join("  ")
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:16} {wide_msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(FULL), ProgressDrawTarget::stderr());
    bar.enable_steady_tick(BAR_EVERY);
    bar.with_style(style)
}
