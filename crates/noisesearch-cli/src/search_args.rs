//! The flags of `--search`: each is a setting of one search, under the name that it has in
//! `run.toml`.

use crate::exit::Usage;
use anyhow::Context;
use clap::Args;
use clap::builder::PossibleValuesParser;
use noisesearch::spec::{AUTO, SearchTable};
use noisesearch_core::search::SearchSpec;
use toml::{Table, Value};

const ZERO_ORDER: &str = "zero-order";
const PATHS: &str = "paths";
const FIRST_ORDER: &str = "first-order";
const HALVING: &str = "halving";
const METHOD: &str = "method";

/// A search and its settings.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// How to search; see `noisesearch searches`; auto measures first, see `noisesearch advise`
    #[arg(long, value_name = "NAME", value_parser = names())]
    pub search: Option<String>,
    /// Neighbours a round
    #[arg(long, value_name = "N", help_heading = "With --search zero-order")]
    pub neighbours: Option<u32>,
    /// Cosine of a neighbour with its pivot
    #[arg(long, value_name = "C", help_heading = "With --search zero-order")]
    pub cosine: Option<f64>,
    /// When no neighbour beats the pivot: keep, restart or retry
    #[arg(long, value_name = "WHAT", help_heading = "With --search zero-order")]
    pub stuck: Option<String>,
    /// Rounds at most [default: as many as the budget pays for]
    #[arg(long, value_name = "N", help_heading = "With --search zero-order")]
    pub rounds: Option<u32>,
    /// Paths kept
    #[arg(long, value_name = "N", help_heading = "With --search paths")]
    pub paths: Option<u32>,
    /// Renoisings of each path a round [default: as many as the budget pays for]
    #[arg(long, value_name = "M", help_heading = "With --search paths")]
    pub noises: Option<u32>,
    /// Noise level where the search starts
    #[arg(long, value_name = "LEVEL", help_heading = "With --search paths")]
    pub sigma: Option<f64>,
    /// How far up a renoising goes
    #[arg(long, value_name = "LEVEL", help_heading = "With --search paths")]
    pub forward: Option<f64>,
    /// How far down a leg goes from there
    #[arg(long, value_name = "LEVEL", help_heading = "With --search paths")]
    pub backward: Option<f64>,
    /// Solver steps of the first leg
    #[arg(long, value_name = "N", help_heading = "With --search paths")]
    pub first_steps: Option<u16>,
    /// Solver steps of a backward leg
    #[arg(long, value_name = "N", help_heading = "With --search paths")]
    pub leg_steps: Option<u16>,
    /// Noises that climb side by side
    #[arg(long, value_name = "N", help_heading = "With --search first-order")]
    pub pivots: Option<u32>,
    /// Fresh noises that a climb begins with; the best of them climbs
    #[arg(long, value_name = "N", help_heading = "With --search first-order")]
    pub tries: Option<u32>,
    /// Length of the first step, as a share of the noise's norm
    #[arg(long, value_name = "SHARE", help_heading = "With --search first-order")]
    pub rate: Option<f64>,
    /// Verifier whose gradient is followed [default: the first that is optimised]
    #[arg(long, value_name = "NAME", help_heading = "With --search first-order")]
    pub follow: Option<String>,
    /// Noises to begin with [default: as many as the budget pays for]
    #[arg(long, value_name = "N", help_heading = "With --search halving")]
    pub starts: Option<u32>,
    /// Noise levels where predictions are judged, such as 0.75,0.5
    #[arg(
        long,
        value_name = "LEVELS",
        value_delimiter = ',',
        help_heading = "With --search halving"
    )]
    pub rungs: Option<Vec<f64>>,
    /// One in this many survives a rung
    #[arg(long, value_name = "N", help_heading = "With --search halving")]
    pub factor: Option<u32>,
}

impl SearchArgs {
    /// The `[search]` table as typed; `base` is that of the config file.
    pub fn table(self, base: &SearchTable) -> anyhow::Result<SearchTable> {
        let base = Table::try_from(base).context("the config's search")?;
        let named = base.get(METHOD).and_then(Value::as_str);
        let method = self.search.as_deref().or(named).unwrap_or("random");
        let mut table = Table::new();
        for (owner, name, value) in self.settings() {
            let Some(value) = value else { continue };
            if owner != method {
                let problem = format!("--{name} is a setting of --search {owner}, not of {method}");
                return Err(Usage(problem).into());
            }
            table.insert(name.to_owned(), value);
        }
        if let Some(method) = self.search {
            table.insert(METHOD.to_owned(), method.into());
        }
        table.try_into().context("the search settings")
    }

    /// Search, setting, value.
    fn settings(&self) -> [(&'static str, &'static str, Option<Value>); 18] {
        [
            (ZERO_ORDER, "neighbours", integer(self.neighbours)),
            (ZERO_ORDER, "cosine", self.cosine.map(Value::from)),
            (ZERO_ORDER, "stuck", self.stuck.clone().map(Value::from)),
            (ZERO_ORDER, "rounds", integer(self.rounds)),
            (PATHS, "paths", integer(self.paths)),
            (PATHS, "noises", integer(self.noises)),
            (PATHS, "sigma", self.sigma.map(Value::from)),
            (PATHS, "forward", self.forward.map(Value::from)),
            (PATHS, "backward", self.backward.map(Value::from)),
            (PATHS, "first-steps", integer(self.first_steps)),
            (PATHS, "leg-steps", integer(self.leg_steps)),
            (FIRST_ORDER, "pivots", integer(self.pivots)),
            (FIRST_ORDER, "tries", integer(self.tries)),
            (FIRST_ORDER, "rate", self.rate.map(Value::from)),
            (FIRST_ORDER, "follow", self.follow.clone().map(Value::from)),
            (HALVING, "starts", integer(self.starts)),
            (HALVING, "rungs", self.rungs.clone().map(Value::from)),
            (HALVING, "factor", integer(self.factor)),
        ]
    }
}

fn integer(number: Option<impl Into<i64>>) -> Option<Value> {
    number.map(|number| Value::Integer(number.into()))
}

fn names() -> PossibleValuesParser {
    let names = SearchSpec::all().map(|spec| spec.name());
    names.into_iter().chain([AUTO]).collect::<Vec<_>>().into()
}
