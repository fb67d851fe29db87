//! `noisesearch score IMAGES…`.

use crate::exit::{Exit, say};
use crate::files_args::named;
use crate::measure_args::{ScoreArgs, TaskArgs};
use noisesearch::files::Files;
use noisesearch::measure::{self, MeasureError, Scored, Tasks, Totals};
use noisesearch::registry::Registry;
use noisesearch::task::Task;
use serde_json::{Value, json};
use std::io::{self, Write};

/// Asks verifiers about pictures and prints a line each, then the means.
pub fn run(args: ScoreArgs) -> anyhow::Result<Exit> {
    let files = Files {
        weights: named(&args.weights)?,
        ..Files::default()
    };
    let tasks = tasks(args.tasks)?;
    let listing = measure::list(&args.images)?;
    left_out(listing.others);
    let names = &args.verifiers;
    let verifiers = measure::open(&Registry::builtin(), names, &files)?;
    let mut out = io::stdout().lock();
    // A reader that has gone ends the work; what it was is said then.
    let mut written = Ok(());
    let mut head = Some(heads(names)).filter(|_| !args.json);
    let mut told = |scored: &Scored| {
        if !args.json {
            let head = head.take().unwrap_or_default();
            written = writeln!(out, "{head}{}", line(names, scored));
        }
        written.is_ok()
    };
    let scored = measure::score(&verifiers, &listing.files, &tasks, &mut told)?;
    written?;
    for note in verifiers.iter().flat_map(|verifier| verifier.notes()) {
        say(&format!("note: {note}"));
    }
    let totals = |index: usize| measure::totals(&scored, index);
    let totals: Vec<Totals> = (0..names.len()).map(totals).collect();
    match args.json {
        true => writeln!(out, "{}", object(names, &scored, &totals))?,
        false => out.write_all(summary(names, &totals).as_bytes())?,
    }
    Ok(Exit::Done)
}

/// Says that pictures of other formats were left out.
pub fn left_out(others: usize) {
    if others > 0 {
        say(&format!(
            "note: {others} pictures that are no PNG were left out; convert them to judge them"
        ));
    }
}

/// A column as wide as its head.
fn cell(head: &str, text: &str) -> String {
    let width = head.chars().count().max(9) + 1;
    format!("{text:>width$}")
}

fn tasks(args: TaskArgs) -> Result<Tasks, MeasureError> {
    match (args.prompt, args.class, args.prompts, args.classes) {
        (Some(prompt), ..) => Ok(Tasks::One(Task::Prompt(prompt))),
        (_, Some(class), ..) => Ok(Tasks::One(Task::Class(class))),
        (_, _, Some(list), _) => measure::read_tasks(&list, Task::Prompt),
        (.., Some(list)) => measure::read_tasks(&list, Task::Class),
        _ => Ok(Tasks::Own),
    }
}

fn heads(names: &[String]) -> String {
    let heads: String = names.iter().map(|name| cell(name, name)).collect();
    format!("{heads}  picture\n")
}

fn line(names: &[String], scored: &Scored) -> String {
    let cells = names.iter().zip(&scored.scores);
    let cells: String = cells
        .map(|(name, score)| cell(name, &format!("{score:.4}")))
        .collect();
    // What steers a terminal is shown, not obeyed.
    format!(
        "{cells}  {}",
        scored.path.display().to_string().escape_debug()
    )
}

/// A line for the means, and one a grader and category for what passed.
fn summary(names: &[String], totals: &[Totals]) -> String {
    let n = totals.first().map_or(0, |t| t.mean.n + t.mean.missing);
    let means = names.iter().zip(totals);
    let means: String = means
        .map(|(name, t)| cell(name, &format!("{:.4}", t.mean.value)))
        .collect();
    let mut lines = vec![format!("{means}  mean of {n}")];
    for (name, totals) in names.iter().zip(totals) {
        if totals.mean.missing > 0 {
            let (missing, of) = (totals.mean.missing, totals.mean.n);
            lines.push(format!(
                "{name}: no score for {missing}; the mean is of {of}"
            ));
        }
        let rate = |what: &str, rate: &measure::PassRate| {
            let (passed, n, share) = (rate.passed, rate.n, 100.0 * rate.share());
            format!("{name} passes {passed} of {n} ({share:.1} %){what}")
        };
        lines.extend(totals.passed.as_ref().map(|all| rate("", all)));
        let categories = totals.categories.iter();
        lines.extend(categories.map(|(category, of)| rate(&format!(" of {category}"), of)));
    }
    lines.join("\n") + "\n"
}

fn object(names: &[String], scored: &[Scored], totals: &[Totals]) -> Value {
    let rate = |rate: &measure::PassRate| json!({"passed": rate.passed, "n": rate.n});
    let pictures = scored.iter().map(|scored| {
        let (kind, subject) = match &scored.task {
            Task::Prompt(text) => ("prompt", text),
            Task::Class(text) => ("class", text),
        };
        let scores = names.iter().zip(&scored.scores);
        let scores: serde_json::Map<_, _> = scores
            .map(|(name, &score)| (name.clone(), json!(score)))
            .collect();
        json!({"image": scored.path, kind: subject, "scores": scores})
    });
    let verifiers = names.iter().zip(totals).map(|(name, totals)| {
        let categories = totals.categories.iter();
        let categories: serde_json::Map<_, _> = categories
            .map(|(category, of)| (category.clone(), rate(of)))
            .collect();
        let value = json!({
            "mean": totals.mean.value,
            "n": totals.mean.n,
            "missing": totals.mean.missing,
            "passed": totals.passed.as_ref().map(rate),
            "categories": categories,
        });
        (name.clone(), value)
    });
    let verifiers: serde_json::Map<_, _> = verifiers.collect();
    json!({"pictures": pictures.collect::<Vec<_>>(), "verifiers": verifiers})
}
