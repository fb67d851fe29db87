//! The embedded lab's entries in the registry, with their defaults.

use crate::registry::{Defaults, Judges, Model, ModelEntry, OpenError, TaskKind, VerifierEntry};
use noisesearch_core::budget::Budget;
use noisesearch_models::lab::{self, GlyphsSize, LabError, LabModel};
use noisesearch_models::schedule::Schedule;
use noisesearch_models::solver::Solver;
use noisesearch_verifiers::fid::Fid;
use noisesearch_verifiers::glyphs::classifier::Classifier;
use noisesearch_verifiers::glyphs::judge::Judge;
use noisesearch_verifiers::glyphs::oracle::Oracle;
use noisesearch_verifiers::glyphs::self_supervised::SelfSupervised;
use noisesearch_verifiers::metrics::statistics::StatisticsError;
use noisesearch_verifiers::scenes;
use noisesearch_verifiers::verifier::Verifier;
use std::sync::Arc;

const SCENES: &str = "scenes";
const GLYPHS: &str = "glyphs";

/// The lab's models; the first that takes a task is the default for it.
pub fn models() -> Vec<ModelEntry> {
    vec![
        scenes_model(),
        glyphs_model("glyphs-base", GlyphsSize::Base),
        glyphs_model("glyphs-small", GlyphsSize::Small),
    ]
}

/// The lab's verifiers.
pub fn verifiers() -> Vec<VerifierEntry> {
    let mut verifiers = scene_verifiers();
    verifiers.extend(glyph_verifiers());
    verifiers
}

fn model(name: &str, opened: Result<LabModel, LabError>) -> Result<Model, OpenError> {
    let lab = opened.map_err(|e| OpenError::new(name, e))?;
    Ok(Model {
        conditioner: Box::new(lab.conditioner),
        denoiser: Box::new(lab.denoiser),
        path: lab.path,
        schedule: Schedule::EVEN,
        decoder: Box::new(lab.decoder),
        weights: lab.weights,
    })
}

fn scenes_model() -> ModelEntry {
    ModelEntry {
        name: SCENES.into(),
        about: "text to 64x64 pictures of coloured shapes (lab, U-Net, 2.5 M parameters)".into(),
        family: SCENES,
        colour: true,
        task: TaskKind::Prompt,
        defaults: Defaults {
            steps: 16,
            search_steps: 16,
            guidance: 1.5,
            solver: Solver::Euler,
            budget: Budget::Evals(64),
            batch: 16,
            count: 7,
            verifiers: vec!["clip"],
            watch: vec!["grader"],
        },
        open: Arc::new(|| model(SCENES, lab::scenes())),
    }
}

fn glyphs_model(name: &'static str, size: GlyphsSize) -> ModelEntry {
    ModelEntry {
        name: name.into(),
        about: match size {
            GlyphsSize::Base => "digit or capital, 32x32 grey (lab, SiT, 1.6 M parameters)",
            GlyphsSize::Small => "digit or capital, 32x32 grey (lab, SiT, 0.4 M parameters)",
        }
        .into(),
        family: GLYPHS,
        colour: false,
        task: TaskKind::Class,
        defaults: Defaults {
            steps: 20,
            search_steps: 20,
            guidance: 1.5,
            solver: Solver::Heun,
            budget: Budget::Evals(32),
            batch: 32,
            count: 7,
            verifiers: vec!["classifier"],
            watch: vec!["oracle"],
        },
        open: Arc::new(move || model(name, lab::glyphs(size))),
    }
}

fn scene_verifiers() -> Vec<VerifierEntry> {
    let entry = |entry: scenes::Entry| VerifierEntry {
        name: entry.name.into(),
        about: entry.about.into(),
        judges: Judges::Family(SCENES),
        open: Arc::new(move || (entry.open)().map_err(|e| OpenError::new(entry.name, e))),
    };
    scenes::all().into_iter().map(entry).collect()
}

fn glyph_verifiers() -> Vec<VerifierEntry> {
    type Make = fn() -> Result<Box<dyn Verifier>, StatisticsError>;
    let all: [(&str, &str, Make); 4] = [
        (
            "classifier",
            "supervised: the classifier's logit of the class",
            || Ok(Box::new(Classifier::new(Arc::new(Judge::classifier()?)))),
        ),
        (
            "oracle",
            "independent evaluator: its probability of the class",
            || Ok(Box::new(Oracle::new(Judge::oracle()?))),
        ),
        (
            "oracle-fid",
            "minus the FID of the accepted glyphs with this one, by the evaluator's features",
            || Ok(Box::new(Fid::glyphs()?)),
        ),
        (
            "self",
            "self-supervised: is the final image what the x0-prediction at 0.4 promised",
            || {
                Ok(Box::new(SelfSupervised::new(
                    Arc::new(Judge::classifier()?),
                )))
            },
        ),
    ];
    let entry = |(name, about, make): (&'static str, &'static str, Make)| VerifierEntry {
        name: name.into(),
        about: about.into(),
        judges: Judges::Family(GLYPHS),
        open: Arc::new(move || make().map_err(|e| OpenError::new(name, e))),
    };
    all.into_iter().map(entry).collect()
}
