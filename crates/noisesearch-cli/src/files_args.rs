//! The flags that name files and the place of a model on the disk.

use crate::exit::Usage;
use clap::{Args, ValueHint};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where files lie and the model lives.
#[derive(Debug, Args)]
#[command(next_help_heading = "With a model on the disk")]
pub struct FilesArgs {
    /// Where a model, verifier or component is; may be repeated
    #[arg(long = "weights", value_name = "NAME=PATH")]
    pub named: Vec<String>,
    /// Another autoencoder: a file or folder
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub vae: Option<PathBuf>,
    /// Another U-Net
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub unet: Option<PathBuf>,
    /// Another transformer
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub transformer: Option<PathBuf>,
    /// Another first text encoder
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub text_encoder: Option<PathBuf>,
    /// Columns of the pictures [default: the model's]
    #[arg(long, value_name = "PIXELS")]
    pub width: Option<usize>,
    /// Rows of the pictures [default: the model's]
    #[arg(long, value_name = "PIXELS")]
    pub height: Option<usize>,
    /// cpu, cuda:0 or metal [default: cpu]
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// f32, bf16, f16, or int8 on the CPU [default: f32 on the CPU, else bf16]
    #[arg(long, visible_alias = "precision", value_name = "FORMAT")]
    pub dtype: Option<String>,
}

impl FilesArgs {
    /// All paths by their names.
    pub fn weights(&self) -> anyhow::Result<BTreeMap<String, PathBuf>> {
        let components = [
            ("vae", &self.vae),
            ("unet", &self.unet),
            ("transformer", &self.transformer),
            ("text-encoder", &self.text_encoder),
        ];
        let components = components.into_iter().filter_map(|(name, path)| {
            let path = path.clone()?;
            Some(Ok((name.to_owned(), path)))
        });
        unique(components.chain(self.named.iter().map(|text| pair(text))))
    }
}

/// What was typed as `NAME=PATH`, no name twice.
pub fn named(texts: &[String]) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    unique(texts.iter().map(|text| pair(text)))
}

fn pair(text: &str) -> Result<(String, PathBuf), Usage> {
    let found = text.split_once('=');
    let found = found.filter(|(name, path)| !name.is_empty() && !path.is_empty());
    let pair = found.map(|(name, path)| (name.to_owned(), PathBuf::from(path)));
    pair.ok_or_else(|| {
        Usage(format!(
            "--weights {text}: write a name and a path, NAME=PATH"
        ))
    })
}

fn unique(
    pairs: impl Iterator<Item = Result<(String, PathBuf), Usage>>,
) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut weights = BTreeMap::new();
    for pair in pairs {
        let (name, path) = pair?;
        let twice = format!("a path for {name} is given twice");
        if weights.insert(name, path).is_some() {
            return Err(Usage(twice).into());
        }
    }
    Ok(weights)
}
