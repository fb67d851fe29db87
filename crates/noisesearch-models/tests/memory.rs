//! How much memory a network takes while it is loaded and while it works, counted allocation by
//! allocation: its weights, one tensor, and what it computes with.

use candle_core::Device;
use noisesearch_core::level::Level;
use noisesearch_models::denoiser::Network;
use noisesearch_models::layers::{Place, Source};
use noisesearch_models::models::pixart::{PixArt, PixArtConfig};
use noisesearch_models::models::sit::{Sit, SitConfig};
use noisesearch_models::parity::{Golden, input, write_checkpoint};
use noisesearch_models::weights::Weights;
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the bytes that are taken, and the most there were.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn taken(bytes: usize) {
    let now = NOW.fetch_add(bytes, Ordering::SeqCst) + bytes;
    MOST.fetch_max(now, Ordering::SeqCst);
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::SeqCst);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// SiT-XL/2 with a third of the width and a seventh of the blocks.
const CONFIG: SitConfig = SitConfig {
    hidden: 384,
    depth: 4,
    heads: 6,
    ..SitConfig::XL_2
};

/// Bytes of activations besides the large ones: queries and keys as attention packs them, patches,
/// and odds and ends.
const BESIDES: usize = 1 << 20;

/// Floats of the rows that a thread packs for a product.
const PACKED_ROWS: usize = 128 * 1024;

/// The most bytes at once while `work` runs, over those before, and what it made.
fn most<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.load(Ordering::SeqCst);
    MOST.store(before, Ordering::SeqCst);
    let made = work();
    (made, MOST.load(Ordering::SeqCst) - before)
}

/// One after the other: what is counted is the whole process.
#[test]
fn a_network_takes_its_weights_one_tensor_and_what_it_computes_with() {
    sit();
    pixart();
}

/// Seen to fail when a tensor's floats are there twice while they are packed.
fn sit() {
    let tensors: BTreeMap<_, _> = CONFIG.manifest().into_iter().collect();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("memory.safetensors");
    write_checkpoint(&tensors, &mut BufWriter::new(File::create(&path).unwrap())).unwrap();
    let bytes = |shape: &Vec<usize>| 4 * shape.iter().product::<usize>();
    let weights: usize = tensors.values().map(bytes).sum();
    let largest = tensors.values().map(bytes).max().unwrap();

    let (sit, loading) = most(|| {
        let mut file = Weights::open(&path).unwrap();
        let sit = Sit::load(CONFIG, |name, shape| file.take_vec(name, shape)).unwrap();
        file.finish().unwrap();
        sit
    });
    println!("loading {loading}, weights {weights}, largest tensor {largest}");
    assert!(loading <= weights + largest);

    let row = sit.encode(Some(207)).unwrap();
    let x = input("x", &[1, 4, 32, 32])
        .unwrap()
        .to_device(&Device::Cpu)
        .unwrap();
    let level = Level::new(0.5).unwrap();
    let (_, working) = most(|| sit.predict(&x, level, &[&row]).unwrap());
    // The stream, a branch, queries, keys and values; of every thread the inside of an MLP, of 128
    // tokens, and the rows that a product packs; of one image all modulations.
    let (d, tokens) = (CONFIG.hidden, CONFIG.tokens());
    let thread = 128 * CONFIG.mlp_ratio * d + PACKED_ROWS;
    let modulations = (6 * CONFIG.depth + 2) * d;
    let computed = 4 * (5 * tokens * d + rayon::current_num_threads() * thread + modulations);
    println!("working {working}, computed with {computed}");
    assert!(working <= computed + BESIDES);
}

/// The golden network on a large image. Seen to fail when the queries of the self-attention are
/// there until the end of a block.
fn pixart() {
    let golden = include_str!("../../../parity/goldens/pixart-sigma.json");
    let golden = Golden::parse(golden).unwrap();
    let config: PixArtConfig = serde_json::from_value(golden.config.clone()).unwrap();
    let mut weights = golden.weights().unwrap();
    let pixart = PixArt::load(Source::new(&mut weights, &Place::cpu()), &config).unwrap();
    let row = PixArt::encode(&input("text", &[6, 20]).unwrap()).unwrap();
    let x = input("x", &[1, 4, 256, 256]).unwrap();
    let level = Level::new(0.5).unwrap();
    let (_, working) = most(|| pixart.predict(&x, level, &[&row]).unwrap());
    // The stream, its normed copy, and the inside and outside of an MLP, or queries, keys and
    // values twice; keys and values as attention packed them, the latter 16 features a head for 12.
    let (d, tokens) = (config.hidden(), 128 * 128);
    let packed = tokens * d + tokens * d / 12 * 16;
    let computed = 4 * (7 * tokens * d + packed);
    println!("working {working}, computed with {computed}");
    assert!(working <= computed + BESIDES);
}
