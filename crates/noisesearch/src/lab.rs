//! The embedded lab's entries in the registry, with their defaults.

use crate::registry::{Defaults, Model, ModelEntry, OpenError, Registry, TaskKind, VerifierEntry};
use noisesearch_core::budget::Budget;
use noisesearch_models::lab::{self, GlyphsSize, LabError, LabModel};
use noisesearch_models::schedule::Schedule;
use noisesearch_models::solver::Solver;
use noisesearch_verifiers::glyphs::classifier::Classifier;
use noisesearch_verifiers::glyphs::judge::Judge;
use noisesearch_verifiers::glyphs::oracle::Oracle;
use noisesearch_verifiers::glyphs::self_supervised::SelfSupervised;
use noisesearch_verifiers::scenes;
use noisesearch_verifiers::verifier::Verifier;
use std::sync::Arc;

const SCENES: &str = "scenes";
const GLYPHS: &str = "glyphs";

impl Registry {
    /// The embedded lab.
    pub fn builtin() -> Self {
        let mut verifiers = scene_verifiers();
        verifiers.extend(glyph_verifiers());
        Self {
            models: vec![
                scenes_model(),
                glyphs_model("glyphs-base", GlyphsSize::Base),
                glyphs_model("glyphs-small", GlyphsSize::Small),
            ],
            verifiers,
        }
    }
}

fn open_error(name: &str, reason: impl ToString) -> OpenError {
    OpenError {
        name: name.into(),
        reason: reason.to_string(),
    }
}

fn model(name: &str, opened: Result<LabModel, LabError>) -> Result<Model, OpenError> {
    let lab = opened.map_err(|e| open_error(name, e))?;
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
        name: SCENES,
        about: "text to 64x64 pictures of coloured shapes (lab, U-Net, 2.5 M parameters)",
        family: SCENES,
        task: TaskKind::Prompt,
        defaults: Defaults {
            steps: 16,
            guidance: 1.5,
            solver: Solver::Euler,
            budget: Budget::Evals(64),
            batch: 16,
            count: 7,
            verifiers: vec!["clip"],
            watch: vec!["grader"],
        },
        open: Box::new(|| model(SCENES, lab::scenes())),
    }
}

fn glyphs_model(name: &'static str, size: GlyphsSize) -> ModelEntry {
    ModelEntry {
        name,
        about: match size {
            GlyphsSize::Base => "digit or capital, 32x32 grey (lab, SiT, 1.6 M parameters)",
            GlyphsSize::Small => "digit or capital, 32x32 grey (lab, SiT, 0.4 M parameters)",
        },
        family: GLYPHS,
        task: TaskKind::Class,
        defaults: Defaults {
            steps: 20,
            guidance: 1.5,
            solver: Solver::Heun,
            budget: Budget::Evals(32),
            batch: 32,
            count: 7,
            verifiers: vec!["classifier"],
            watch: vec!["oracle"],
        },
        open: Box::new(move || model(name, lab::glyphs(size))),
    }
}

fn scene_verifiers() -> Vec<VerifierEntry> {
    let entry = |entry: scenes::Entry| VerifierEntry {
        name: entry.name,
        about: entry.about,
        family: SCENES,
        open: Box::new(move || (entry.open)().map_err(|e| open_error(entry.name, e))),
    };
    scenes::all().into_iter().map(entry).collect()
}

fn glyph_verifiers() -> Vec<VerifierEntry> {
    type Make = fn() -> Result<Box<dyn Verifier>, noisesearch_models::weights::WeightsError>;
    let all: [(&str, &str, Make); 3] = [
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
        name,
        about,
        family: GLYPHS,
        open: Box::new(move || make().map_err(|e| open_error(name, e))),
    };
    all.into_iter().map(entry).collect()
}
