//! The commands that judge pictures in files.

use clap::{Args, ValueHint};
use std::path::PathBuf;

/// `score`.
#[derive(Debug, Args)]
pub struct ScoreArgs {
    /// PNG files, or folders of them
    #[arg(required = true, value_hint = ValueHint::AnyPath)]
    pub images: Vec<PathBuf>,
    /// Verifier to ask; may be repeated; see `noisesearch verifiers`
    #[arg(long = "verifier", value_name = "NAME", required = true)]
    pub verifiers: Vec<String>,
    /// What each picture shall show.
    #[command(flatten)]
    pub tasks: TaskArgs,
    /// Where a verifier's weights are; may be repeated
    #[arg(long = "weights", value_name = "NAME=PATH")]
    pub weights: Vec<String>,
    /// Print one JSON object on stdout and nothing else
    #[arg(long)]
    pub json: bool,
}

/// What pictures shall show, in one of four ways.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct TaskArgs {
    /// What all pictures shall show [default: what each says in its own text]
    #[arg(long)]
    pub prompt: Option<String>,
    /// The same as a class
    #[arg(long, value_name = "NAME")]
    pub class: Option<String>,
    /// A list of prompts: file name, tab, prompt, and if there is one, tab, category
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub prompts: Option<PathBuf>,
    /// The same with classes
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub classes: Option<PathBuf>,
}

/// `fid`.
#[derive(Debug, Args)]
pub struct FidArgs {
    /// A folder of generated pictures, or statistics of one
    #[arg(value_hint = ValueHint::AnyPath)]
    pub generated: PathBuf,
    /// A folder of real pictures, statistics of one, or `glyphs`: the lab's real ones
    #[arg(value_hint = ValueHint::AnyPath)]
    pub reference: PathBuf,
    /// Network that describes the pictures: inception, or glyphs for the lab's
    /// [default: inception, beside the reference `glyphs` its own]
    #[arg(long, value_name = "NAME", verbatim_doc_comment)]
    pub features: Option<String>,
    /// Where the network's weights are: inception=PATH
    #[arg(long = "weights", value_name = "NAME=PATH")]
    pub weights: Vec<String>,
    /// Keep the statistics of the generated pictures in this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub save: Option<PathBuf>,
    /// Print one JSON object on stdout and nothing else
    #[arg(long)]
    pub json: bool,
}
