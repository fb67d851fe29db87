//! One evaluation of a published network at full size, with generated weights:
//! `full_size sit-xl-2|pixart-sigma [DEPTH [REFERENCE.json]]`.
//!
//! Writes the weights to a temporary file, loads them like published ones, evaluates twice, and
//! prints seconds and peak memory. DEPTH is the number of blocks, fewer for a trial. With what
//! `parity/full_size.py` wrote for the same network and depth, it also prints how far the two
//! outputs are apart and fails if that is more than 1e-4.

use candle_core::Tensor;
use noisesearch_core::level::Level;
use noisesearch_models::denoiser::{Encoded, Network};
use noisesearch_models::layers::{Place, Source};
use noisesearch_models::models::pixart::{PixArt, PixArtConfig};
use noisesearch_models::models::sit::{Sit, SitConfig, TimeAxis};
use noisesearch_models::parity::{Golden, Manifest, input, write_checkpoint};
use noisesearch_models::weights::Weights;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::time::Instant;

const SIT: &str = include_str!("../../../parity/manifests/sit-xl-2-256.json");
const PIXART: &str = include_str!("../../../parity/manifests/pixart-sigma-transformer.json");

/// Largest difference from the reference, as a share of its largest value.
const ERROR_MAX: f64 = 1e-4;

/// A network, what it is given, and where on its path it is asked.
struct Case {
    network: Box<dyn Network>,
    x: Tensor,
    row: Encoded,
    level: Level,
}

/// A published network with its first `depth` blocks.
struct Published {
    config: Value,
    tensors: BTreeMap<String, Vec<usize>>,
}

impl Published {
    /// Names of blocks start with `blocks`, and `layers` is their number in the configuration.
    fn new(manifest: &str, blocks: &str, layers: &str, depth: usize) -> serde_json::Result<Self> {
        let Manifest {
            mut config,
            mut tensors,
            ..
        } = Manifest::parse(manifest)?;
        let kept = |name: &str| {
            let number = name
                .strip_prefix(blocks)
                .and_then(|rest| rest.split('.').next());
            number.is_none_or(|n| n.parse().is_ok_and(|n: usize| n < depth))
        };
        tensors.retain(|name, _| kept(name));
        let most = config[layers].as_u64().unwrap_or(0);
        config[layers] = json!(most.min(depth as u64));
        Ok(Self { config, tensors })
    }

    /// The weights in a temporary file, which is gone when they are dropped.
    fn weights(&self) -> Result<Temporary, Box<dyn Error>> {
        let name = format!("noisesearch-full-size-{}.safetensors", std::process::id());
        let path = std::env::temp_dir().join(name);
        let temporary = Temporary { path };
        let mut file = BufWriter::new(File::create(&temporary.path)?);
        write_checkpoint(&self.tensors, &mut file)?;
        file.flush()?;
        Ok(temporary)
    }
}

/// A file that is removed in the end.
struct Temporary {
    path: std::path::PathBuf,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// SiT-XL/2 for 256x256 pixels.
fn sit(depth: usize) -> Result<Case, Box<dyn Error>> {
    let mut published = Published::new(SIT, "blocks.", "depth", depth)?;
    published.config["time"] = json!(TimeAxis::DataAtOne);
    let config: SitConfig = serde_json::from_value(published.config.clone())?;
    let file = published.weights()?;
    let start = Instant::now();
    let mut weights = Weights::open(&file.path)?;
    let sit = Sit::load(config, |name, shape| weights.take_vec(name, shape))?;
    weights.finish()?;
    println!("loaded in {:.1} s", start.elapsed().as_secs_f64());
    Ok(Case {
        row: sit.encode(Some(207))?,
        network: Box::new(sit),
        x: input("x", &[1, 4, 32, 32])?,
        level: Level::new(0.625)?,
    })
}

/// PixArt-Sigma for 1024x1024 pixels, with a caption of 120 tokens.
fn pixart(depth: usize) -> Result<Case, Box<dyn Error>> {
    let published = Published::new(PIXART, "transformer_blocks.", "num_layers", depth)?;
    let config: PixArtConfig = serde_json::from_value(published.config.clone())?;
    config.check()?;
    let file = published.weights()?;
    let start = Instant::now();
    let (mut weights, place) = (Weights::open(&file.path)?, Place::cpu());
    let pixart = PixArt::load(Source::new(&mut weights, &place), &config)?;
    weights.finish()?;
    println!("loaded in {:.1} s", start.elapsed().as_secs_f64());
    Ok(Case {
        row: PixArt::encode(&input("text", &[120, 4096])?)?,
        network: Box::new(pixart),
        x: input("x", &[1, 4, 128, 128])?,
        level: Level::new(0.625)?,
    })
}

/// The most memory that this process ever had, where the system tells.
fn peak_memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or("unknown".into(), |peak| peak.trim().to_owned())
}

fn main() -> Result<(), Box<dyn Error>> {
    noisesearch_allocator::keep_freed_memory();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let depth = args.get(1).map_or(Ok(usize::MAX), |depth| depth.parse())?;
    let case = match args.first().map(String::as_str) {
        Some("sit-xl-2") => sit(depth)?,
        Some("pixart-sigma") => pixart(depth)?,
        _ => return Err("usage: full_size sit-xl-2|pixart-sigma [DEPTH [REFERENCE.json]]".into()),
    };
    let mut out = case.x.clone();
    for _ in 0..2 {
        let start = Instant::now();
        out = case.network.predict(&case.x, case.level, &[&case.row])?;
        println!("evaluated in {:.2} s", start.elapsed().as_secs_f64());
    }
    println!("peak memory {}", peak_memory());
    let Some(reference) = args.get(2) else {
        return Ok(());
    };
    let golden = Golden::parse(&fs::read_to_string(reference)?)?;
    let more = |name: &str| {
        golden
            .more
            .get(name)
            .map(Value::to_string)
            .unwrap_or_default()
    };
    println!("reference: {}", golden.origin);
    println!(
        "reference: {} s, peak memory {} kB",
        more("seconds"),
        more("peak_kb")
    );
    println!("largest difference {:.1e}", golden.error("out", &out)?);
    Ok(golden.check("out", &out, ERROR_MAX)?)
}
