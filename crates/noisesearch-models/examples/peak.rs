//! Prints the fused-multiply-add peak of one core and how much of it matrix products reach;
//! `peak all` prints the peak of all threads together in GFLOP/s, and nothing else.

use noisesearch_models::nn::gemm::{Epilogue, PackedWeight, Windows};
use noisesearch_models::nn::isa::{Isa, Kernel};
use std::hint::black_box;
use std::time::Instant;

/// Independent chains of fused multiply-adds, enough to fill the pipelines.
struct Chains([[f32; 16]; CHAINS]);

const CHAINS: usize = 10;
/// Steps a chain and call.
const STEPS: usize = 4096;
/// Operations of a call.
const FLOP: f64 = (2 * CHAINS * 16 * STEPS) as f64;

/// Written so that the compiler keeps all chains in registers, which it was seen to do for 5 and
/// 10 of them and not for 8 or 12.
#[inline(always)]
fn advance<const N: usize>(mut chains: [[f32; 16]; N]) -> [[f32; 16]; N] {
    for _ in 0..STEPS {
        for chain in &mut chains {
            for x in chain {
                *x = x.mul_add(0.999_9, 0.000_1);
            }
        }
    }
    chains
}

impl Kernel for Chains {
    type Output = [[f32; 16]; CHAINS];

    /// Five chains at a time fit 16 registers of 8 floats.
    #[inline(always)]
    fn run(self) -> Self::Output {
        let mut chains = self.0;
        for half in chains.as_chunks_mut::<{ CHAINS / 2 }>().0 {
            *half = advance(*half);
        }
        chains
    }

    #[inline(always)]
    fn run_wide(self) -> Self::Output {
        advance(self.0)
    }
}

fn chains(isa: Isa) {
    black_box(isa.run(Chains(black_box([[1.0; 16]; CHAINS]))));
}

/// GFLOP/s of all threads, the best of many rounds.
fn all_threads(isa: Isa) -> f64 {
    let threads = rayon::current_num_threads();
    let (mut best, start) = (0.0f64, Instant::now());
    while start.elapsed().as_secs_f64() < 1.0 {
        let time = seconds(&mut || {
            rayon::broadcast(|_| (0..50).for_each(|_| chains(isa)));
        });
        best = best.max(50.0 * threads as f64 * FLOP / time * 1e-9);
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
        println!("{:.1}", all_threads(isa));
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
        let [peak, product] = fastest(|| chains(isa), product);
        let peak = FLOP / peak * 1e-9;
        let rate = (2 * m * k * n) as f64 / product * 1e-9;
        let share = 100.0 * rate / peak;
        println!("{m} x {k} x {n}: {rate:.1} GFLOP/s, {share:.0} % of the peak {peak:.1}");
    }
}
