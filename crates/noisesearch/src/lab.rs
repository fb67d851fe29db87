//! The embedded lab's entries in the registry, with their defaults.

use crate::registry::{Defaults, Judges, Model, ModelEntry, OpenError, TaskKind, VerifierEntry};
use noisesearch_core::budget::Budget;
use noisesearch_models::lab::{self, GlyphsSize, LabError, LabModel};
use noisesearch_models::schedule::Schedule;
use noisesearch_models::solver::Solver;
use noisesearch_models::task::Task;
use noisesearch_verifiers::fid::Fid;
use noisesearch_verifiers::glyphs::classifier::Classifier;
use noisesearch_verifiers::glyphs::judge::Judge;
use noisesearch_verifiers::glyphs::oracle::Oracle;
use noisesearch_verifiers::glyphs::self_supervised;
use noisesearch_verifiers::metrics::Features;
use noisesearch_verifiers::metrics::describe::Describer;
use noisesearch_verifiers::metrics::statistics::StatisticsError;
use noisesearch_verifiers::scenes;
use noisesearch_verifiers::verifier::Verifier;
use std::sync::Arc;

const SCENES: &str = "scenes";
const GLYPHS: &str = "glyphs";

/// Billions of multiply-adds of a pass of the scenes network: 250.7 million, as the FLOP counter of
/// PyTorch counts `lab/scenes/unet.py` (516.3 MFLOP, two a multiply-add, less 10.9 of the text
/// encoder and 3.9 of the words' keys and values, which are made once a task).
const SCENES_GFLOP: f64 = 0.2507;

/// The lab's models; the first that takes a task is the default for it.
pub fn models() -> Vec<ModelEntry> {
    vec![
        scenes_model(),
        glyphs_model("glyphs-base", GlyphsSize::Base),
        glyphs_model("glyphs-small", GlyphsSize::Small),
    ]
}

/// Tasks on which a model of the lab is measured before it advises; two prompts a category.
pub fn pilot_tasks(model: &str) -> Vec<Task> {
    const PROMPTS: [&str; 12] = [
        "a red star and a blue circle",
        "a green square and a yellow cross",
        "a purple ring and a purple triangle",
        "a black circle and a black square",
        "a striped red square and a solid green circle",
        "a striped orange star",
        "a white circle left of a blue triangle",
        "a red cross above a yellow ring",
        "three green triangles",
        "two blue stars and a red square",
        "a small red circle, a large blue square and a green star",
        "two striped yellow circles and a solid purple cross",
    ];
    const CLASSES: [&str; 9] = ["0", "4", "8", "C", "G", "K", "O", "S", "W"];
    let prompts = PROMPTS.iter().map(|&text| Task::Prompt(text.to_owned()));
    let classes = CLASSES.iter().map(|&name| Task::Class(name.to_owned()));
    match model {
        SCENES => prompts.collect(),
        "glyphs-base" | "glyphs-small" => classes.collect(),
        _ => Vec::new(),
    }
}

/// The lab's verifiers.
pub fn verifiers() -> Vec<VerifierEntry> {
    let mut verifiers = scene_verifiers();
    verifiers.extend(glyph_verifiers());
    verifiers
}

/// Who describes the pictures of a family of the lab.
pub fn describer(family: &str) -> Result<Option<Box<dyn Describer>>, OpenError> {
    match family {
        GLYPHS => {
            let judge = Judge::oracle().map_err(|error| OpenError::new("oracle", error))?;
            Ok(Some(Box::new(Oracle::new(judge))))
        }
        _ => Ok(None),
    }
}

/// The features of real pictures of a family, by its describer, if they are known.
pub fn reference(family: &str) -> Result<Option<Features>, OpenError> {
    match family {
        GLYPHS => {
            let features = noisesearch_verifiers::glyphs::reference();
            features
                .map(Some)
                .map_err(|error| OpenError::new("glyphs-reference", error))
        }
        _ => Ok(None),
    }
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
        gflop: Some(SCENES_GFLOP),
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
        open: Arc::new(|place| model(SCENES, lab::scenes(place))),
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
        gflop: Some(size.config().multiply_adds() as f64 / 1e9),
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
        open: Arc::new(move |place| model(name, lab::glyphs(size, place))),
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
            || Ok(Box::new(self_supervised(Arc::new(Judge::classifier()?)))),
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
