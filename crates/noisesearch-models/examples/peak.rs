//! Prints the multiply-add peak of one core in f32 and how much of it matrix products reach;
//! `peak all` prints the peaks of all threads together in f32, bf16 and int8, in GFLOP/s, `-` where
//! there is no unit or matrix tiles, and nothing else.

use noisesearch_models::nn::gemm::{Epilogue, PackedWeight, Windows};
use noisesearch_models::nn::isa::Isa;
use noisesearch_models::nn::peak::Format;
use std::time::Instant;

/// GFLOP/s of all threads, the best of many rounds.
fn all_threads(isa: Isa, format: Format) -> f64 {
    let threads = rayon::current_num_threads();
    let (mut best, start) = (0.0f64, Instant::now());
    while start.elapsed().as_secs_f64() < 1.0 {
        let time = seconds(&mut || {
            rayon::broadcast(|_| (0..50).for_each(|_| format.work(isa)));
        });
        best = best.max(50.0 * threads as f64 * format.operations() / time * 1e-9);
    }
    best
}

/// Seconds of one call.
fn seconds(work: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Seconds of the fastest calls of two kinds of work, done in turns, so that both see the same
/// neighbours on a shared machine.
fn fastest(mut a: impl FnMut(), mut b: impl FnMut()) -> [f64; 2] {
    let mut best = [f64::INFINITY; 2];
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < 0.5 {
        best = [best[0].min(seconds(&mut a)), best[1].min(seconds(&mut b))];
    }
    best
}

fn main() {
    let isa = Isa::best();
    if std::env::args().any(|argument| argument == "all") {
        let peak = |format: Format| match format.measured(isa) {
            true => format!("{:.1}", all_threads(isa, format)),
            false => "-".into(),
        };
        println!("{}", Format::ALL.map(peak).join(" "));
        return;
    }
    println!("{isa:?}, one core");
    for [m, k, n] in [
        [64, 128, 512],
        [64, 128, 384],
        [64, 512, 128],
        [256, 64, 64],
        [1024, 288, 32],
        [256, 576, 64],
        [64, 1152, 128],
        [256, 384, 1536],
        [256, 1536, 384],
        [4096, 384, 1536],
    ] {
        let weight = PackedWeight::new(&vec![0.5; n * k], &[], n, k);
        let (left, mut out) = (vec![0.25; m * k], vec![0.0; m * n]);
        let product = || weight.apply(isa, Windows::rows(&left, k), &mut out, Epilogue::Store);
        let [peak, product] = fastest(|| Format::F32.work(isa), product);
        let peak = Format::F32.operations() / peak * 1e-9;
        let rate = (2 * m * k * n) as f64 / product * 1e-9;
        let share = 100.0 * rate / peak;
        println!("{m} x {k} x {n}: {rate:.1} GFLOP/s, {share:.0} % of the peak {peak:.1}");
    }
}
