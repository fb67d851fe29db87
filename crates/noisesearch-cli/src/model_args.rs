//! The flags that say with which model samples are made and who judges them.

use crate::files_args::FilesArgs;
use clap::Args;
use noisesearch::spec::Spec;

/// Model, judges, and how a sample is made.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Model: a name of `noisesearch models`, org/name of the Hugging Face hub, a folder or a file
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// What the search is for, instead of verifiers: overall, prompt, preference or looks
    #[arg(long, value_name = "WHAT", conflicts_with_all = ["verifiers", "objective"])]
    pub goal: Option<String>,
    /// Verifier to optimise; may be repeated; see `noisesearch verifiers`
    #[arg(long = "verifier", value_name = "NAME")]
    pub verifiers: Option<Vec<String>>,
    /// What is maximised: a verifier, 0.7*clip+0.3*looks, or rank(clip,looks)
    #[arg(long, value_name = "EXPRESSION")]
    pub objective: Option<String>,
    /// Solver steps of the answer
    #[arg(long, value_name = "N")]
    pub steps: Option<u16>,
    /// Classifier-free guidance; 1 is unguided
    #[arg(long, value_name = "SCALE")]
    pub guidance: Option<f32>,
    /// euler, heun, ddim or dpmpp-2m
    #[arg(long, value_name = "NAME")]
    pub solver: Option<String>,
    /// Where files lie and the model lives.
    #[command(flatten)]
    pub files: FilesArgs,
}

impl ModelArgs {
    /// What was typed; everything else is a hole.
    pub fn spec(self) -> anyhow::Result<Spec> {
        Ok(Spec {
            model: self.model,
            goal: self.goal,
            verifiers: self.verifiers,
            objective: self.objective,
            steps: self.steps,
            guidance: self.guidance,
            solver: self.solver,
            width: self.files.width,
            height: self.files.height,
            weights: self.files.weights()?,
            device: self.files.device,
            dtype: self.files.dtype,
            ..Spec::default()
        })
    }
}
