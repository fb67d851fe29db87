//! How much memory a model will need, and how much there is: a run that does not fit is refused
//! with numbers before it begins.

use crate::registry::OpenError;
use noisesearch_models::checkpoint::{Checkpoint, CheckpointError};
use noisesearch_models::models::family::Family;
use noisesearch_models::models::vae::WHOLE_PIXELS_MAX;
use noisesearch_models::pipeline::Options;
use serde_json::Value;
use std::path::Path;

/// Tensors of a layer's width that a network holds at once, counted in the blocks: input, norm,
/// queries, keys, values, attended, the four-fold feed-forward network and the residuals.
const LIVE: u64 = 16;

/// Pixels of an image that are counted at least: an allocator keeps some of what was freed between
/// the weights, for a network of a gigabyte about what decoding so many takes.
const PIXELS_MIN: u64 = 512 * 512;

/// Channels at full resolution, and tensors of them, in every published decoder.
const DECODER: u64 = 256 * 3;

/// Bytes that a model needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Weights that are there together.
    pub weights: u64,
    /// What is computed with them.
    pub activations: u64,
    /// Weights of verifiers that are opened beside the model.
    pub verifiers: u64,
}

impl Need {
    /// All of it.
    pub fn total(self) -> u64 {
        self.weights
            .saturating_add(self.activations)
            .saturating_add(self.verifiers)
    }
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
    let network = size(family.network())?.saturating_add(size("vae")?);
    let config: Value = checkpoint.config(family.network())?;
    let pixels = (options.width as u64).saturating_mul(options.height as u64);
    let solved = activations(&config, pixels / 64).saturating_mul(rows as u64);
    // A batch is decoded while the next one is solved.
    let activations = solved.saturating_add(decoded(pixels));
    Ok(Need {
        weights: text.max(network).saturating_mul(weight),
        activations: activations.saturating_mul(number),
        verifiers: 0,
    })
}

/// Numbers that a decoder holds for an image of so many pixels: a larger one than it decodes whole
/// is cut into tiles of that size.
fn decoded(pixels: u64) -> u64 {
    pixels.clamp(PIXELS_MIN, WHOLE_PIXELS_MAX as u64) * DECODER
}

/// Numbers that one pass of a network over a latent of so many places holds.
fn activations(config: &Value, latent: u64) -> u64 {
    let number = |key: &str| config.get(key).and_then(Value::as_u64);
    let first = config
        .get("block_out_channels")
        .and_then(|list| list[0].as_u64());
    let heads = number("num_attention_heads").zip(number("attention_head_dim"));
    let width = heads.map(|(heads, size)| heads.saturating_mul(size));
    let (places, width) = match (first, width.or(number("hidden"))) {
        (Some(width), _) => (latent, width),
        // Two by two places are a token in every published transformer.
        (None, Some(width)) => (latent / 4, width),
        (None, None) => return 0,
    };
    // A configuration may say anything; it is refused when the model is opened.
    places.saturating_mul(width).saturating_mul(LIVE)
}

/// The largest batch, up to `most`, that leaves half of what the weights leave of the memory;
/// `one` is what is needed for one pass. An evaluation that is guided is two passes.
pub fn batch(one: Need, available: Option<u64>, most: usize) -> usize {
    let Some(available) = available else { return 1 };
    let kept = one.weights.saturating_add(one.verifiers);
    let free = available.saturating_sub(kept) / 2;
    let fits = free / one.activations.saturating_mul(2).max(1);
    usize::try_from(fits).unwrap_or(most).clamp(1, most.max(1))
}

/// Refuses what does not fit.
pub fn check(model: &str, need: Need, available: Option<u64>) -> Result<(), OpenError> {
    let total = need.total();
    let verifiers = match need.verifiers {
        0 => String::new(),
        bytes => format!("{} of verifiers, ", size(bytes)),
    };
    match available {
        Some(available) if total > available => Err(OpenError {
            name: model.to_owned(),
            reason: format!(
                "it needs about {} of memory ({} of weights, {verifiers}{} to compute with) and \
                 {} are free; \
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
    let machine = std::fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| in_meminfo(&text));
    match (machine, share(Path::new("/sys/fs/cgroup"))) {
        (Some(machine), Some(share)) => Some(machine.min(share)),
        (machine, share) => machine.or(share),
    }
}

/// What is left of the memory of a control group, whose folder this is. Its use counts files that
/// were read and are still in memory, such as a model that was downloaded; these make room.
fn share(group: &Path) -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(group.join(name)).ok();
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let (limit, used) = (
        number(&read("memory.max")?)?,
        number(&read("memory.current")?)?,
    );
    let stat = read("memory.stat").unwrap_or_default();
    let line = |key: &str| number(stat.lines().find_map(|line| line.strip_prefix(key))?);
    let files = ["active_file ", "inactive_file "].map(|key| line(key).unwrap_or(0));
    let kept = used.saturating_sub(files[0]).saturating_sub(files[1]);
    Some(limit.saturating_sub(kept))
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
            verifiers: 0,
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

    /// Once they were not counted, so that a run that fitted without them was ended by the system.
    #[test]
    fn verifiers_opened_beside_a_model_are_counted() {
        let need = Need {
            weights: 10_600_000_000,
            activations: 3_400_000_000,
            verifiers: 3_900_000_000,
        };
        check("sdxl", need, Some(18_000_000_000)).unwrap();
        let error = check("sdxl", need, Some(17_000_000_000)).unwrap_err();
        let error = error.to_string();
        let says = "about 17.9 GB of memory (10.6 GB of weights, 3.9 GB of verifiers, 3.4 GB to";
        assert!(error.contains(says), "{error}");
        let alone = Need {
            verifiers: 0,
            ..need
        };
        let machine = Some(38_000_000_000);
        assert_eq!([alone, need].map(|need| batch(need, machine, 8)), [2, 1]);
    }

    /// Once 512 by 512 pixels were counted for an image that is decoded whole: 2.4 GB too few.
    #[test]
    fn what_is_decoded_whole_is_counted_whole() {
        assert_eq!(decoded(1024 * 1024), 1024 * 1024 * DECODER);
        assert_eq!(decoded(4096 * 4096), decoded(1024 * 1024));
        assert_eq!(decoded(768 * 1024), 768 * 1024 * DECODER);
        assert_eq!(decoded(64 * 64), 512 * 512 * DECODER);
    }

    /// Once such a configuration ended a debug build and was a small number elsewhere.
    #[test]
    fn numbers_of_a_configuration_do_not_overflow() {
        let far = u64::MAX / 2;
        for config in [
            json!({"num_attention_heads": far, "attention_head_dim": far}),
            json!({"block_out_channels": [far]}),
            json!({"hidden": far}),
        ] {
            assert_eq!(activations(&config, far), u64::MAX, "{config}");
        }
        let need = Need {
            weights: u64::MAX,
            activations: u64::MAX,
            verifiers: u64::MAX,
        };
        assert_eq!(batch(need, Some(1 << 40), 8), 1);
        check("far", need, Some(1 << 40)).unwrap_err();
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
            verifiers: 0,
        };
        let batches = [6, 7, 12, 13, 400].map(|giga| batch(one, Some(giga * 1_000_000_000), 8));
        assert_eq!(batches, [1, 1, 4, 4, 8]);
        assert_eq!(batch(one, Some(1), 8), 1);
        assert_eq!(batch(one, None, 8), 1);
    }

    /// Once the files counted as used, so that a model that was just downloaded was refused.
    #[test]
    fn files_in_memory_are_free() {
        let group = std::env::temp_dir().join(format!("noisesearch-group-{}", std::process::id()));
        std::fs::create_dir_all(&group).unwrap();
        let write = |name: &str, text: &str| std::fs::write(group.join(name), text).unwrap();
        assert_eq!(share(&group), None);
        write("memory.max", "16000\n");
        write("memory.current", "15000\n");
        assert_eq!(share(&group), Some(1000));
        write(
            "memory.stat",
            "anon 2000\nfile 9\ninactive_file 8000\nactive_file 4000\n",
        );
        assert_eq!(share(&group), Some(13_000));
        write("memory.max", "max\n");
        assert_eq!(share(&group), None);
        std::fs::remove_dir_all(&group).unwrap();
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
