//! How much memory a model will need, and how much there is: a run that does not fit is refused
//! with numbers before it begins.

use crate::registry::OpenError;
use noisesearch_models::checkpoint::{Checkpoint, CheckpointError};
use noisesearch_models::models::family::Family;
use noisesearch_models::pipeline::Options;
use serde_json::Value;
use std::path::Path;

/// Tensors of a layer's width that a network holds at once, counted in the blocks: input, norm,
/// queries, keys, values, attended, the four-fold feed-forward network and the residuals.
const LIVE: u64 = 16;

/// Pixels that the decoder works on at once: it decodes larger images in tiles.
const DECODED: u64 = 512 * 512;

/// Channels at full resolution, and tensors of them, in every published decoder.
const DECODER: u64 = 256 * 3;

/// Bytes that a model needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Weights that are there together.
    pub weights: u64,
    /// What is computed with them.
    pub activations: u64,
}

/// What a checkpoint needs for `rows` passes at once. Text encoders are there before the network
/// and gone when it works, so the larger of the two counts.
pub fn need(
    checkpoint: &Checkpoint,
    family: Family,
    options: &Options,
    rows: usize,
) -> Result<Need, CheckpointError> {
    let number = options.place.dtype.size_in_bytes() as u64;
    // All but a small part of the weights are matrices.
    let weight = number.min(options.place.products.bytes());
    let size = |part: &str| match checkpoint.has(part) {
        true => checkpoint.parameters(part),
        false => Ok(0),
    };
    let text = size("text_encoder")?.max(size("text_encoder_2")?);
    let network = size(family.network())? + size("vae")?;
    let config: Value = checkpoint.config(family.network())?;
    let latent = (options.width * options.height / 64) as u64;
    // A batch is decoded while the next one is solved.
    let activations = activations(&config, latent) * rows as u64 + DECODED * DECODER;
    Ok(Need {
        weights: text.max(network) * weight,
        activations: activations * number,
    })
}

/// Numbers that one pass of a network over a latent of so many places holds.
fn activations(config: &Value, latent: u64) -> u64 {
    let number = |key: &str| config.get(key).and_then(Value::as_u64);
    let first = config
        .get("block_out_channels")
        .and_then(|list| list[0].as_u64());
    let heads = number("num_attention_heads").zip(number("attention_head_dim"));
    let width = heads.map(|(heads, size)| heads * size);
    match (first, width.or(number("hidden"))) {
        (Some(width), _) => latent * width * LIVE,
        // Two by two places are a token in every published transformer.
        (None, Some(width)) => latent / 4 * width * LIVE,
        (None, None) => 0,
    }
}

/// The largest batch, up to `most`, that leaves half of what the weights leave of the memory;
/// `one` is what is needed for one pass. An evaluation that is guided is two passes.
pub fn batch(one: Need, available: Option<u64>, most: usize) -> usize {
    let Some(available) = available else { return 1 };
    let free = available.saturating_sub(one.weights) / 2;
    let fits = free / (2 * one.activations).max(1);
    usize::try_from(fits).unwrap_or(most).clamp(1, most.max(1))
}

/// Refuses what does not fit.
pub fn check(model: &str, need: Need, available: Option<u64>) -> Result<(), OpenError> {
    let total = need.weights.saturating_add(need.activations);
    match available {
        Some(available) if total > available => Err(OpenError {
            name: model.to_owned(),
            reason: format!(
                "it needs about {} of memory ({} of weights, {} to compute with) and {} are free; \
                 use a smaller batch, size or number format (--batch, --width, --dtype int8), or \
                 a machine with more memory",
                size(total),
                size(need.weights),
                size(need.activations),
                size(available)
            ),
        }),
        _ => Ok(()),
    }
}

/// Bytes as a person reads them.
pub fn size(bytes: u64) -> String {
    let (giga, mega) = (1e9, 1e6);
    let bytes = bytes as f64;
    match bytes {
        b if b >= giga => format!("{:.1} GB", b / giga),
        b => format!("{:.0} MB", b / mega),
    }
}

/// Bytes of memory that are free: the machine's, or what is left of this process's share. `None`
/// where the system does not say.
pub fn available() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).ok();
    let machine = read("/proc/meminfo").and_then(|text| in_meminfo(&text));
    let number = |path: &str| read(path).and_then(|text| text.trim().parse::<u64>().ok());
    let limit = number("/sys/fs/cgroup/memory.max");
    let used = number("/sys/fs/cgroup/memory.current");
    let share = limit
        .zip(used)
        .map(|(limit, used)| limit.saturating_sub(used));
    match (machine, share) {
        (Some(machine), Some(share)) => Some(machine.min(share)),
        (machine, share) => machine.or(share),
    }
}

/// The most bytes of memory that this process has held at once; `None` where the system does not
/// say.
pub fn peak() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    kilobytes(&text, "VmHWM:")
}

/// The available bytes of `/proc/meminfo`.
fn in_meminfo(text: &str) -> Option<u64> {
    kilobytes(text, "MemAvailable:")
}

/// Bytes of a line such as `MemAvailable:  1000 kB`.
fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_does_not_fit_is_refused_with_numbers() {
        let need = Need {
            weights: 23_800_000_000,
            activations: 1_200_000_000,
        };
        check("flux.1-dev", need, Some(26_000_000_000)).unwrap();
        check("flux.1-dev", need, None).unwrap();
        let error = check("flux.1-dev", need, Some(16_000_000_000))
            .unwrap_err()
            .to_string();
        for says in [
            "25.0 GB of memory",
            "23.8 GB of weights",
            "16.0 GB are free",
        ] {
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn networks_need_what_their_width_says() {
        let unet = activations(&json!({"block_out_channels": [320, 640]}), 4096);
        assert_eq!(unet, 4096 * 320 * LIVE);
        let config = json!({"num_attention_heads": 24, "attention_head_dim": 128});
        assert_eq!(activations(&config, 16384), 4096 * 3072 * LIVE);
    }

    #[test]
    fn a_batch_leaves_half_of_the_memory() {
        let one = Need {
            weights: 4_000_000_000,
            activations: 500_000_000,
        };
        let batches = [6, 7, 12, 13, 400].map(|giga| batch(one, Some(giga * 1_000_000_000), 8));
        assert_eq!(batches, [1, 1, 4, 4, 8]);
        assert_eq!(batch(one, Some(1), 8), 1);
        assert_eq!(batch(one, None, 8), 1);
    }

    #[test]
    fn the_system_says_what_is_free() {
        let text = "MemTotal:       24000000 kB\nMemAvailable:    1000 kB\n";
        assert_eq!(in_meminfo(text), Some(1_024_000));
        assert_eq!(in_meminfo("MemAvailable: much"), None);
        if cfg!(target_os = "linux") {
            assert!(available().unwrap() > 1 << 20);
            let before = peak().unwrap();
            let bytes = std::hint::black_box(vec![1u8; 64 << 20]);
            assert!(peak().unwrap() >= before.max(bytes.len() as u64));
        }
    }
}
