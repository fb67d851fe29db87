//! `noisesearch advise`, and what `generate --search auto` does before it searches.

use crate::args::Advise;
use crate::exit::{Exit, Usage};
use crate::interrupt;
use crate::screen::Screen;
use noisesearch::advise::{self, Advice, Kept, Look, Pilot, Rated, Source};
use noisesearch::registry::{Registry, TaskKind};
use noisesearch::spec::{Checked, Spec, Task};
use noisesearch_core::budget::Budget;
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;

/// What `--json` prints.
#[derive(Serialize)]
struct Object<'a> {
    measurement: &'a Path,
    tasks: Vec<&'a str>,
    correlations: Vec<(Look, f64)>,
    advice: Vec<Advice>,
}

/// Measures and advises.
pub fn run(args: Advise) -> anyhow::Result<Exit> {
    let registry = Registry::builtin();
    let screen = Screen::new();
    let tasks = args.tasks();
    let spec = args.model.spec()?;
    let asked = Asked {
        registry: &registry,
        tasks: match tasks.is_empty() {
            true => advise::usual_tasks(model(&registry, &spec)),
            false => tasks,
        },
        spec,
        noises: args.noises,
        out: &args.out,
    };
    let Some((kept, spec)) = asked.measure(&screen)? else {
        screen.line("stopped; nothing was kept, so the same command begins anew");
        return Ok(Exit::Stopped);
    };
    let budgets = match args.budgets.is_empty() {
        true => vec![spec.budget],
        false => args.budgets,
    };
    let advice = |&budget: &Budget| advise_on(&kept.pilot, &spec, budget);
    let advice = budgets.iter().map(advice).collect::<Result<Vec<_>, _>>()?;
    let text = match args.json {
        true => {
            let object = Object {
                measurement: &kept.path,
                tasks: kept.pilot.tasks.iter().map(|t| t.task.as_str()).collect(),
                correlations: advise::correlations(&kept.pilot),
                advice,
            };
            serde_json::to_string_pretty(&object)? + "\n"
        }
        false => measured(&kept) + &advice.iter().map(line).collect::<String>(),
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(Exit::Done)
}

/// The model of a spec without a task; by default the first that takes a prompt.
fn model<'a>(registry: &'a Registry, spec: &'a Spec) -> &'a str {
    let mut models = registry.models.iter();
    let first = models.find(|entry| entry.task == TaskKind::Prompt);
    let first = first.map_or("", |entry| entry.name.as_str());
    spec.model.as_deref().unwrap_or(first)
}

/// `spec` with the search that a measurement advises; `None` when it was cancelled. The lab's
/// models are measured on tasks of their own, others on the one at hand.
pub fn choose(
    registry: &Registry,
    spec: Spec,
    out: &Path,
    screen: &Screen,
) -> anyhow::Result<Option<Spec>> {
    let own = spec.clone().without_search().check(registry)?;
    let usual = advise::usual_tasks(&own.model);
    let asked = Asked {
        registry,
        spec: spec.clone(),
        tasks: match usual.is_empty() {
            true => vec![own.task.clone()],
            false => usual,
        },
        noises: advise::NOISES,
        out,
    };
    let Some((kept, _)) = asked.measure(screen)? else {
        return Ok(None);
    };
    let advice = advise_on(&kept.pilot, &own, own.budget)?;
    screen.line(line(&advice).trim_end());
    Ok(Some(advice.apply(spec)))
}

/// What to measure.
struct Asked<'a> {
    registry: &'a Registry,
    /// Its task, its search, and what it watches or waits for change nothing.
    spec: Spec,
    tasks: Vec<Task>,
    noises: u64,
    out: &'a Path,
}

impl Asked<'_> {
    /// The measurement and the spec of its first task.
    fn measure(&self, screen: &Screen) -> anyhow::Result<Option<(Kept, Checked)>> {
        let specs = self.specs()?;
        let first = specs.first().ok_or_else(|| {
            let text = "name prompts or classes to measure; only the lab's models have their own";
            Usage(text.to_owned())
        })?;
        let source = Source {
            registry: self.registry,
            specs: &specs,
            noises: self.noises,
            out: self.out,
        };
        let (tasks, noises) = (specs.len(), self.noises);
        screen.line(&format!(
            "advice on {}: {tasks} tasks of {noises} noises, measured once and kept",
            first.model
        ));
        let kept = advise::pilot(&source, interrupt::listen()?)?;
        Ok(kept.map(|kept| (kept, first.clone())))
    }

    /// One spec a task.
    fn specs(&self) -> anyhow::Result<Vec<Checked>> {
        let of = |task: &Task| -> anyhow::Result<Checked> {
            let (prompt, class) = match task.clone() {
                Task::Prompt(text) => (Some(text), None),
                Task::Class(name) => (None, Some(name)),
            };
            let spec = Spec {
                prompt,
                class,
                watch: Some(Vec::new()),
                until: None,
                ..self.spec.clone().without_search()
            };
            Ok(spec.check(self.registry)?)
        };
        self.tasks.iter().map(of).collect()
    }
}

fn advise_on(pilot: &Pilot, spec: &Checked, budget: Budget) -> anyhow::Result<Advice> {
    let mut terms = spec.terms()?;
    terms.budget = budget;
    terms.final_steps = spec.steps;
    terms.search_steps = spec.steps;
    let refused = || {
        let nfe = terms.candidate_nfe();
        Usage(format!(
            "no advice on a budget of {budget}; give it as nfe or evals, and at least {nfe}nfe"
        ))
    };
    Ok(advise::plan(pilot, &terms).ok_or_else(refused)?)
}

/// What was measured, for a person.
fn measured(kept: &Kept) -> String {
    let pilot = &kept.pilot;
    let mut text = String::from("how the order of candidates goes with their final order\n");
    for (look, correlation) in advise::correlations(pilot) {
        let what = match look {
            Look::Preview { level } => format!("preview at level {level:.2}"),
            Look::Steps { steps } => format!("{steps} of {} steps", pilot.steps),
            Look::Final => continue,
        };
        text.push_str(&format!("  {what:24} {correlation:.2}\n"));
    }
    let how = if kept.fresh {
        "measured"
    } else {
        "kept before"
    };
    text + &format!("{how}: {}\n", kept.path.display())
}

/// One advice, for a person.
fn line(advice: &Advice) -> String {
    let (more, low, high) = advice.more;
    let gain = |rated: &Rated| match rated.gain {
        Some(gain) => format!("{:.2} deviations, {gain:+.3}", rated.deviations),
        None => format!("{:.2} deviations", rated.deviations),
    };
    let (best, plain) = (&advice.best, &advice.plain);
    format!(
        "for {} NFE: {}, {} noises, {} steps; expected {}\n  best of {} at full steps: \
         expected {}; the difference is {more:+.2} [{low:+.2}, {high:+.2}] deviations\n",
        advice.budget_nfe,
        flags(best),
        best.allocation.candidates,
        best.allocation.search_steps,
        gain(best),
        plain.allocation.candidates,
        gain(plain),
    )
}

/// The search as it can be typed.
fn flags(rated: &Rated) -> String {
    let allocation = &rated.allocation;
    let mut text = format!("--search {}", super::searches::flags(&allocation.search));
    text.push_str(&format!(" --search-steps {}", allocation.search_steps));
    text
}
