//! `noisesearch advise`, and what `generate --search auto` does before it searches.

use crate::args::Advise;
use crate::exit::{Exit, Usage};
use crate::interrupt;
use crate::screen::Screen;
use noisesearch::advise::{
    self, Advice, Entrant, Gain, Kept, Look, Pilot, RACE_TASKS_MIN, Race, Rated, Source,
};
use noisesearch::registry::{Registry, TaskKind};
use noisesearch::spec::{Checked, Spec, Task};
use noisesearch_core::budget::Budget;
use noisesearch_core::search::SearchSpec;
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;

/// What `--json` prints.
#[derive(Serialize)]
struct Object<'a> {
    measurement: &'a Path,
    tasks: Vec<&'a str>,
    correlations: Vec<(Look, f64)>,
    advice: Vec<Advised<'a>>,
}

/// One advice with what follows from it.
#[derive(Serialize)]
struct Advised<'a> {
    #[serde(flatten)]
    advice: &'a Advice,
    chosen: Entrant,
    /// Over the best default, by the race.
    gain: Option<Gain>,
}

impl<'a> Advised<'a> {
    fn new(advice: &'a Advice) -> Self {
        let (chosen, race) = (advice.chosen(), advice.race.as_ref());
        let gain = race.and_then(Race::gain);
        Self {
            advice,
            chosen,
            gain,
        }
    }
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
    let stopped = || {
        screen.line("stopped; nothing was kept, so the same command begins anew");
        Ok(Exit::Stopped)
    };
    let specs = asked.specs()?;
    let source = asked.source(&specs)?;
    let Some(mut kept) = asked.measure(&source, &screen)? else {
        return stopped();
    };
    let first = &specs[0];
    let budgets = match args.budgets.is_empty() {
        true => vec![first.budget],
        false => args.budgets,
    };
    // All budgets are checked before the first race.
    let foreseen = |&budget: &Budget| advise_on(&kept.pilot, first, budget);
    let foreseen = budgets
        .iter()
        .map(foreseen)
        .collect::<Result<Vec<_>, _>>()?;
    let mut advice = Vec::with_capacity(foreseen.len());
    for foreseen in foreseen {
        match kept.race(&source, foreseen, interrupt::listen()?)? {
            Some(raced) => advice.push(raced),
            None => return stopped(),
        }
    }
    let text = match args.json {
        true => {
            let object = Object {
                measurement: &kept.path,
                tasks: kept.pilot.tasks.iter().map(|t| t.task.as_str()).collect(),
                correlations: advise::correlations(&kept.pilot),
                advice: advice.iter().map(Advised::new).collect(),
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
    let specs = asked.specs()?;
    let source = asked.source(&specs)?;
    let Some(mut kept) = asked.measure(&source, screen)? else {
        return Ok(None);
    };
    let advice = advise_on(&kept.pilot, &own, own.budget)?;
    let Some(advice) = kept.race(&source, advice, interrupt::listen()?)? else {
        return Ok(None);
    };
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
    /// Where the advice comes from; `specs` are those of [`Asked::specs`].
    fn source<'a>(&'a self, specs: &'a [Checked]) -> anyhow::Result<Source<'a>> {
        if specs.is_empty() {
            let text = "name prompts or classes to measure; only the lab's models have their own";
            return Err(Usage(text.to_owned()).into());
        }
        Ok(Source {
            registry: self.registry,
            specs,
            noises: self.noises,
            out: self.out,
        })
    }

    /// The measurement; `None` when it was stopped.
    fn measure(&self, source: &Source, screen: &Screen) -> anyhow::Result<Option<Kept>> {
        let (tasks, noises) = (source.specs.len(), self.noises);
        let race = match tasks < RACE_TASKS_MIN {
            true => "",
            false => ", then a race of searches at the budget",
        };
        screen.line(&format!(
            "advice on {}: {tasks} tasks of {noises} noises{race}; measured once and kept",
            source.specs[0].model
        ));
        Ok(advise::pilot(source, interrupt::listen()?)?)
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
    let chosen = advice.chosen();
    let nfe = advice.budget_nfe;
    let head = format!(
        "for {nfe} NFE: {}\n",
        flags(&chosen.search, chosen.search_steps)
    );
    head + &match &advice.race {
        Some(race) => raced(advice, race),
        None => foreseen(advice),
    }
}

/// What is expected of the advice by a race.
fn raced(advice: &Advice, race: &Race) -> String {
    let (searches, ways) = (race.searches(), race.ran.len());
    let cost = format!(
        "  by a race of {ways} ways: {searches} searches of {} NFE\n",
        advice.budget_nfe
    );
    let reference = race.reference();
    let default = flags(&reference.search, reference.search_steps);
    let Some(Gain { mean, low, high, n }) = race.gain() else {
        return format!("  no other way did better than this default\n{cost}");
    };
    let said = format!("{mean:+.4} [{low:+.4}, {high:+.4}], n = {n}");
    match race.advised().alike(reference) {
        false => format!("  expected over the best default, {default}: {said}\n{cost}"),
        true => format!("  this default: what won the race was not better than it: {said}\n{cost}"),
    }
}

/// What is expected of the advice by the looks.
fn foreseen(advice: &Advice) -> String {
    let (more, low, high) = advice.more;
    let gain = |rated: &Rated| match rated.gain {
        Some(gain) => format!("{:.2} deviations, {gain:+.4}", rated.deviations),
        None => format!("{:.2} deviations", rated.deviations),
    };
    let (best, plain) = (&advice.best, &advice.plain);
    format!(
        "  {} noises; expected {} over one noise\n  best of {} at full steps: expected {}; the \
         difference is {more:+.2} [{low:+.2}, {high:+.2}] deviations\n  fewer than \
         {RACE_TASKS_MIN} tasks: local searches were not tried\n",
        best.allocation.candidates,
        gain(best),
        plain.allocation.candidates,
        gain(plain),
    )
}

/// The search as it can be typed.
fn flags(search: &SearchSpec, steps: u16) -> String {
    let search = super::searches::flags(search);
    format!("--search {search} --search-steps {steps}")
}
