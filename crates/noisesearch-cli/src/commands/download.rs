//! `noisesearch download`.

use crate::exit::{Exit, Usage, say};
use indicatif::{ProgressBar, ProgressStyle};
use noisesearch::download::{self, Client, DownloadError, Hub, Plan, Progress, Settings};
use noisesearch::memory::size;
use std::io::{self, IsTerminal};

/// Fetches a model, a verifier or a repository into the cache of the Hugging Face hub, after what
/// it is was shown and agreed to.
pub fn run(name: &str, yes: bool) -> anyhow::Result<Exit> {
    let hub = Hub::named(|name| std::env::var_os(name)).ok_or(DownloadError::NoCache)?;
    let settings = Settings::from_variables(|name| std::env::var(name).ok())?;
    let orders = download::orders(name).map_err(|error| match error {
        DownloadError::Unknown { .. } => anyhow::Error::from(Usage(error.to_string())),
        error => error.into(),
    })?;
    let client = Client::new(settings);
    let plans: Result<Vec<Plan>, _> = orders.iter().map(|order| client.plan(order)).collect();
    let plans = plans?;
    for plan in &plans {
        say(&about(plan, &hub));
    }
    let missing: u64 = plans.iter().map(|plan| plan.missing(&hub)).sum();
    if missing > 0 && !yes && !agreed(missing)? {
        say("nothing was downloaded");
        return Ok(Exit::Done);
    }
    for plan in &plans {
        let snapshot = fetch(&client, plan, &hub)?;
        say(&format!("{} is in {}", plan.repository, snapshot.display()));
    }
    Ok(Exit::Done)
}

/// What a plan fetches, from where, under which licence.
fn about(plan: &Plan, hub: &Hub) -> String {
    let (all, missing) = (plan.bytes(), plan.missing(hub));
    [
        format!("{}, commit {}", plan.repository, plan.commit),
        format!("  licence: {}", plan.licence),
        format!(
            "  {} files, {}; {} to download into {}",
            plan.files.len(),
            size(all),
            size(missing),
            hub.path().display()
        ),
    ]
    .join("\n")
}

/// Asks on a terminal; elsewhere only `--yes` will do.
fn agreed(missing: u64) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        let hint = "nobody is there to agree to the download; add --yes".to_owned();
        return Err(Usage(hint).into());
    }
    say(&format!("download {} now? [y/N]", size(missing)));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// Fetches a plan: under a bar on a terminal, else with a line a file.
fn fetch(client: &Client, plan: &Plan, hub: &Hub) -> anyhow::Result<std::path::PathBuf> {
    let bar = io::stderr().is_terminal().then(|| bar(plan.bytes()));
    let mut shown = String::new();
    let mut show = |progress: Progress| {
        if shown != progress.path {
            shown = progress.path.to_owned();
            match &bar {
                Some(bar) => bar.set_message(shown.clone()),
                None => say(&shown),
            }
        }
        if let Some(bar) = &bar {
            bar.set_position(progress.done);
        }
    };
    let fetched = download::fetch(client, plan, hub, &mut show);
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(fetched?)
}

fn bar(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    let template = "{bytes} of {total_bytes}  {bytes_per_sec}  {eta} left  {wide_msg}";
    let style = ProgressStyle::with_template(template);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
