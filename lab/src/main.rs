//! Streams the lab's scenes to the training scripts.
//!
//! ```text
//! noisesearch-lab stream SEED     endless records on stdout: 20 token bytes, 64*64*3 RGB bytes
//! noisesearch-lab held-out N      N held-out prompts: category, tab, caption
//! ```

use noisesearch_lab::rng::Rng;
use noisesearch_lab::{draw, sample};
use std::io::{BufWriter, Write};

/// Seed of the published list of held-out prompts.
const HELD_OUT_SEED: u64 = 2501_09732;

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = arguments.get(1).and_then(|n| n.parse::<u64>().ok());
    match (arguments.first().map(String::as_str), number) {
        (Some("stream"), Some(seed)) => stream(seed),
        (Some("held-out"), Some(count)) => {
            for (category, scene) in sample::held_out_scenes(HELD_OUT_SEED, count as usize) {
                println!("{}\t{}", category.name(), scene.caption());
            }
            Ok(())
        }
        _ => {
            eprintln!("usage: noisesearch-lab stream SEED | held-out N");
            std::process::exit(1);
        }
    }
}

/// Writes records until the reader hangs up.
fn stream(seed: u64) -> std::io::Result<()> {
    let mut rng = Rng::new(seed);
    let mut out = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    loop {
        let scene = sample::training_scene(&mut rng);
        let objects = draw::place(&mut rng, &scene);
        let picture = draw::render(&mut rng, &objects);
        let written = out
            .write_all(&scene.tokens())
            .and_then(|()| out.write_all(&picture));
        match written {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
    }
}
