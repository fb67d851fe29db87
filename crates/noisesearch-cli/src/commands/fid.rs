//! `noisesearch fid GENERATED REFERENCE`.

use crate::commands::score::left_out;
use crate::exit::{Exit, Usage, say};
use crate::files_args::named;
use crate::measure_args::FidArgs;
use noisesearch::measure::{self, Comparison, Describer, Set};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::Path;

/// The reference that is part of the program, where no file has its name.
const GLYPHS: &str = "glyphs";
/// A long description says how far it is after every so many pictures.
const SAY_EVERY: usize = 1000;

/// Measures a set of pictures against another and prints every metric with its n.
pub fn run(args: &FidArgs) -> anyhow::Result<Exit> {
    let own = args.reference == Path::new(GLYPHS) && !args.reference.exists();
    let usual = if own { GLYPHS } else { "inception" };
    let features = args.features.as_deref().unwrap_or(usual);
    let mut weights = named(&args.weights)?;
    let network = weights.remove(features);
    if let Some(name) = weights.keys().next() {
        let problem = format!("weights are given for `{name}`, but the features are {features}");
        return Err(Usage(problem).into());
    }
    let describer = measure::describer(features, network.as_deref())?;
    let generated = set(&*describer, &args.generated)?;
    if let Some(path) = &args.save {
        measure::save(&generated, path)?;
    }
    let reference = match own {
        true => measure::reference()?,
        false => set(&*describer, &args.reference)?,
    };
    let found = measure::compare(&*describer, &generated, &reference)?;
    let text = match args.json {
        true => format!("{}\n", object(features, &found)),
        false => text(features, &found),
    };
    io::stdout().write_all(text.as_bytes())?;
    for caution in found.cautions() {
        say(&format!("warning: {caution}"));
    }
    Ok(Exit::Done)
}

/// A folder is described, a file is read as statistics.
fn set(describer: &dyn Describer, path: &Path) -> anyhow::Result<Set> {
    if !path.is_dir() {
        return Ok(measure::read(path)?);
    }
    let listing = measure::list(&[path.to_owned()])?;
    left_out(listing.others);
    let (name, all) = (path.display().to_string(), listing.files.len());
    let mut said = 0;
    let mut told = |done: usize| {
        if done >= said + SAY_EVERY {
            said = done;
            say(&format!("{name}: {done} of {all}"));
        }
    };
    Ok(measure::describe(
        describer,
        &name,
        &listing.files,
        &mut told,
    )?)
}

fn text(features: &str, found: &Comparison) -> String {
    let count = |n: Option<usize>| n.map_or("unknown".to_owned(), |n| n.to_string());
    let [generated, reference] = found.frechet.n.map(count);
    let fid = found.frechet.value;
    let mut lines = vec![format!(
        "fid              {fid:10.4}  {features} features, n = {generated} against {reference}"
    )];
    lines.push(match found.inception_score {
        Some(score) => format!("inception score  {:10.4}  n = {}", score.value, score.n),
        None => "inception score           -  needs the features of the first set".to_owned(),
    });
    match found.precision_recall {
        Some(both) => {
            let [real, generated] = both.n;
            lines.push(format!(
                "precision        {:10.4}  n = {generated}",
                both.precision
            ));
            lines.push(format!("recall           {:10.4}  n = {real}", both.recall));
        }
        None => {
            lines.push("precision, recall         -  need the features of both sets".to_owned())
        }
    }
    lines.join("\n") + "\n"
}

fn object(features: &str, found: &Comparison) -> Value {
    let warnings = found.cautions().map(|caution| caution.to_string());
    let neighbours =
        |of: fn(&measure::PrecisionRecall) -> f64| found.precision_recall.as_ref().map(of);
    json!({
        "features": features,
        "n": {"generated": found.frechet.n[0], "reference": found.frechet.n[1]},
        "fid": found.frechet.value,
        "inception_score": found.inception_score.map(|score| score.value),
        "precision": neighbours(|both| both.precision),
        "recall": neighbours(|both| both.recall),
        "warnings": warnings.collect::<Vec<_>>(),
    })
}
