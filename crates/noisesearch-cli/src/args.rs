//! What can be typed.

use crate::exit::Usage;
use crate::measure_args::{FidArgs, ScoreArgs};
use crate::model_args::ModelArgs;
use crate::search_args::SearchArgs;
use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use noisesearch::Isa;
use noisesearch::limits::CONFIG_BYTES_MAX;
use noisesearch::preview::Preview;
use noisesearch::size::Size;
use noisesearch::spec::{Spec, Task};
use noisesearch_core::budget::{Budget, Target};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Spend more compute, get a better sample from the same diffusion model.
#[derive(Debug, Parser)]
#[command(name = "noisesearch", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Compute at a lower instruction level than the processor has: plain, avx2, avx512,
    /// avx512-vnni, avx512-bf16 or amx. Results are the same, only slower
    #[arg(long, global = true, value_name = "LEVEL")]
    pub isa: Option<String>,
}

impl Cli {
    /// Chooses the instruction level that was asked for.
    pub fn prefer_level(&self) -> anyhow::Result<()> {
        let Some(name) = &self.isa else { return Ok(()) };
        Isa::prefer(name).map_err(|levels| {
            let name: String = name.chars().take(80).collect();
            let problem =
                format!("no instruction level `{name}` on this processor; it has {levels}");
            Usage(problem).into()
        })
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Search for a better sample
    Generate(Box<Generate>),
    /// Measure a few tasks and say how a budget is best spent
    Advise(Box<Advise>),
    /// Go on with a run that was stopped
    Resume {
        /// The run directory
        #[arg(value_hint = ValueHint::DirPath)]
        run: PathBuf,
        /// Print one JSON object on stdout and nothing else
        #[arg(long)]
        json: bool,
    },
    /// Make the winner again from its recipe and compare
    Verify {
        /// The run directory
        #[arg(value_hint = ValueHint::DirPath)]
        run: PathBuf,
        /// Every candidate, not only the winner
        #[arg(long)]
        all: bool,
    },
    /// Write report.html and grid.png of a run anew
    Report {
        /// The run directory
        #[arg(value_hint = ValueHint::DirPath)]
        run: PathBuf,
    },
    /// Compare searches, verifiers and models at equal cost, as a file says
    Study(Study),
    /// Ask verifiers about pictures that are there
    Score(ScoreArgs),
    /// Measure a set of pictures against another: FID, inception score, precision, recall
    Fid(FidArgs),
    /// Fetch a model, a verifier or org/name of the Hugging Face hub into its cache
    #[cfg(feature = "hub")]
    Download {
        /// What to fetch
        name: String,
        /// Agree to size and licence without being asked
        #[arg(long)]
        yes: bool,
    },
    /// List the models and their defaults
    Models,
    /// List the verifiers
    Verifiers,
    /// List the searches and their settings
    Searches,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// `study`.
#[derive(Debug, Args)]
pub struct Study {
    /// Files of studies, or directories of them
    #[arg(required = true, value_name = "FILE|DIR", value_hint = ValueHint::AnyPath)]
    pub studies: Vec<PathBuf>,
    /// Where known outcomes lie and every study has its directory
    #[arg(
        long,
        value_name = "DIR",
        default_value = "runs/studies",
        value_hint = ValueHint::DirPath
    )]
    pub out: PathBuf,
    /// The small sizes that a file has for a quick look
    #[arg(long)]
    pub quick: bool,
    /// Write the answers as images, too, in the layouts of GenEval and T2I-CompBench
    #[arg(long)]
    pub images: bool,
    /// Where the findings of all studies are written; findings.md in --out by default
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub findings: Option<PathBuf>,
    /// Print one JSON object on stdout and nothing else
    #[arg(long)]
    pub json: bool,
}

/// `generate`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Generate {
    /// What the picture shall show, for example "two red circles and a blue square"
    #[arg(conflicts_with = "class")]
    pub prompt: Option<String>,
    /// What the picture shall show, for class-conditional models
    #[arg(long, value_name = "NAME")]
    pub class: Option<String>,
    /// Model, judges, and how a sample is made.
    #[command(flatten)]
    pub model: ModelArgs,
    /// What the run may cost: 640nfe, 64evals or 90s
    #[arg(long)]
    pub budget: Option<Budget>,
    /// Stop early at this score, for example clip=0.9
    #[arg(long, value_name = "VERIFIER=SCORE")]
    pub until: Option<Target>,
    /// Verifier to score and show but never optimise; may be repeated
    #[arg(long, value_name = "NAME")]
    pub watch: Option<Vec<String>>,
    /// Solver steps of a candidate during search [default: those of the answer]
    #[arg(long, value_name = "N")]
    pub search_steps: Option<u16>,
    /// Number format of candidates; the best --count are made again in --dtype, and the best of
    /// these is the answer [default: that of --dtype]
    #[arg(long, visible_alias = "search-precision", value_name = "FORMAT")]
    pub search_dtype: Option<String>,
    /// How x0-predictions are decoded to be scored: full, or linear, which is rough and fast and
    /// for models with latents [default: full]
    #[arg(long, value_name = "HOW")]
    pub preview: Option<Preview>,
    /// Decides every noise [default: random, printed and recorded]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Candidates that run together; changes speed and no bit of the result
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Memory for what is gone back to, such as 256MB or 0B; changes speed and no bit of the result
    #[arg(long, value_name = "SIZE")]
    pub cache: Option<Size>,
    /// How many of the best candidates to keep as pictures
    #[arg(long, value_name = "N")]
    pub count: Option<usize>,
    /// Where the run directory is made
    #[arg(long, value_name = "DIR", default_value = "runs", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Print one JSON object on stdout and nothing else
    #[arg(long)]
    pub json: bool,
    /// Settings to start from, such as the run.toml of a run; what is typed beside it wins
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// The search and its settings.
    #[command(flatten)]
    pub search: SearchArgs,
}

/// `advise`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Advise {
    /// Prompts to measure [default for the lab's models: twelve of theirs]
    #[arg(conflicts_with = "classes")]
    pub prompts: Vec<String>,
    /// Class to measure, for class-conditional models; may be repeated
    #[arg(long = "class", value_name = "NAME")]
    pub classes: Vec<String>,
    /// Model, judges, and how a sample is made.
    #[command(flatten)]
    pub model: ModelArgs,
    /// What a run may cost: 640nfe or 64evals; may be repeated
    #[arg(long = "budget")]
    pub budgets: Vec<Budget>,
    /// Noises to measure a task with
    #[arg(long, value_name = "N", default_value_t = noisesearch::advise::NOISES,
          value_parser = clap::value_parser!(u64).range(2..=256))]
    pub noises: u64,
    /// Where the measurement is kept, for this command and for `generate --search auto`
    #[arg(long, value_name = "DIR", default_value = "runs", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Print one JSON object on stdout and nothing else
    #[arg(long)]
    pub json: bool,
}

impl Advise {
    /// The tasks that were typed.
    pub fn tasks(&self) -> Vec<Task> {
        let prompts = self.prompts.iter().cloned().map(Task::Prompt);
        prompts
            .chain(self.classes.iter().cloned().map(Task::Class))
            .collect()
    }
}

impl Generate {
    /// What was typed over what the config file says. No flag is ignored.
    pub fn spec(self) -> anyhow::Result<Spec> {
        let base = self.config.as_deref().map_or(Ok(Spec::default()), config)?;
        let typed = Spec {
            prompt: self.prompt,
            class: self.class,
            watch: self.watch,
            budget: self.budget,
            until: self.until,
            search_steps: self.search_steps,
            search_dtype: self.search_dtype,
            preview: self.preview,
            seed: self.seed,
            batch: self.batch,
            cache: self.cache,
            count: self.count,
            search: self.search.table(&base.search)?,
            ..self.model.spec()?
        };
        Ok(typed.over(base))
    }
}

/// Reads a config file of bounded size.
fn config(path: &Path) -> anyhow::Result<Spec> {
    let mut bytes = Vec::new();
    let cannot = |reason: String| Usage(format!("cannot read config {}: {reason}", path.display()));
    let most = CONFIG_BYTES_MAX as u64 + 1;
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map_err(|error| cannot(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| cannot("it is no UTF-8 text".into()))?;
    Spec::from_toml(&text).with_context(|| format!("config {}", path.display()))
}
