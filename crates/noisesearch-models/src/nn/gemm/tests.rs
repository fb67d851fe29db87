use super::*;
use crate::nn::testing::{assert_close, same_on_every_isa, wave};

fn product(a: &[f32], w: &[f32], bias: &[f32], k: usize) -> Vec<f64> {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum()
    };
    let bias = |j: usize| bias.get(j).map_or(0.0, |&b| f64::from(b));
    a.chunks(k)
        .flat_map(|a| {
            w.chunks(k)
                .enumerate()
                .map(move |(j, w)| dot(a, w) + bias(j))
        })
        .collect()
}

#[test]
fn products_of_every_tail_follow_the_formula() {
    for m in [1, 2, 3, 4, 5, 6, 7, 9, 17, 25] {
        for (n, k) in [(1, 3), (16, 27), (33, 8), (50, 65)] {
            let (a, w, bias) = (wave(m * k, 1.0), wave(n * k, 1.0), wave(n, 0.5));
            let packed = PackedWeight::new(&w, &bias, n, k);
            let got = same_on_every_isa(|isa| {
                let mut out = vec![f32::NAN; m * n];
                packed.apply(isa, Windows::rows(&a, k), &mut out, Epilogue::Store);
                out
            });
            assert_close(&got, &product(&a, &w, &bias, k), 1e-6);
        }
    }
}

#[test]
fn blocks_of_rows_do_not_change_a_bit() {
    let (m, n, k) = (300, 20, 1100);
    let (a, w) = (wave(m * k, 1.0), wave(n * k, 1.0));
    let packed = PackedWeight::new(&w, &[], n, k);
    let mut all = vec![0.0; m * n];
    packed.apply(Isa::best(), Windows::rows(&a, k), &mut all, Epilogue::Store);
    for (row, want) in a.chunks(k).zip(all.chunks(n)) {
        let mut one = vec![0.0; n];
        packed.apply(
            Isa::best(),
            Windows::rows(row, k),
            &mut one,
            Epilogue::Store,
        );
        assert_eq!(one, want);
    }
}

#[test]
fn epilogues_follow_their_formulas() {
    let (m, n, k) = (7, 37, 20);
    let (a, w, bias, gate) = (
        wave(m * k, 1.0),
        wave(n * k, 1.0),
        wave(n, 1.0),
        wave(n, 2.0),
    );
    let old = wave(m * n, 3.0);
    let packed = PackedWeight::new(&w, &bias, n, k);
    let y = product(&a, &w, &bias, k);
    let at = |f: &dyn Fn(usize, f64) -> f64| -> Vec<f64> {
        y.iter().enumerate().map(|(i, &y)| f(i, y)).collect()
    };
    let wide = |x: f32| f64::from(x);
    let gelu = |y: f64| 0.5 * y * (1.0 + (0.7978845608028654 * (y + 0.044715 * y * y * y)).tanh());
    let cases: [(Epilogue, Vec<f64>); 4] = [
        (Epilogue::Silu, at(&|_, y| y / (1.0 + (-y).exp()))),
        (Epilogue::Gelu, at(&|_, y| gelu(y))),
        (Epilogue::Add, at(&|i, y| wide(old[i]) + y)),
        (
            Epilogue::AddGated(&gate),
            at(&|i, y| wide(old[i]) + wide(gate[i % n]) * y),
        ),
    ];
    for (epilogue, want) in cases {
        let got = same_on_every_isa(|isa| {
            let mut out = old.clone();
            packed.apply(isa, Windows::rows(&a, k), &mut out, epilogue);
            out
        });
        assert_close(&got, &want, 1e-6);
    }
}

/// Many rows of a wide weight are packed, and sums over a long k that are added to a result wait
/// elsewhere: what comes out is what each row gives alone, to the bit, at every level.
#[test]
fn packed_rows_and_sums_that_wait_do_not_change_a_bit() {
    let (m, n, k) = (300, 530, 1100);
    let (a, w, bias, gate) = (
        wave(m * k, 1.0),
        wave(n * k, 1.0),
        wave(n, 1.0),
        wave(n, 2.0),
    );
    let old = wave(m * n, 3.0);
    let packed = PackedWeight::new(&w, &bias, n, k);
    for epilogue in [Epilogue::Store, Epilogue::Add, Epilogue::AddGated(&gate)] {
        let all = same_on_every_isa(|isa| {
            let mut out = old.clone();
            packed.apply(isa, Windows::rows(&a, k), &mut out, epilogue);
            out
        });
        let pairs = a.chunks(k).zip(old.chunks(n)).zip(all.chunks(n));
        for ((row, old), want) in pairs.step_by(13) {
            let mut one = old.to_vec();
            packed.apply(Isa::best(), Windows::rows(row, k), &mut one, epilogue);
            assert_eq!(one, want, "{epilogue:?}");
        }
    }
}

/// Stretches that parts of k and tiles cut anywhere.
#[test]
fn packed_windows_are_the_rows_they_show() {
    let (side, channels, n) = (9, 70, 520);
    let width = side - 2;
    let image = wave(side * side * channels, 1.0);
    let windows = Windows {
        data: &image,
        count: width * width,
        width,
        step: channels,
        line_step: side * channels,
        runs: 3,
        run_len: 3 * channels,
        run_step: side * channels,
        largest: None,
    };
    let k = 9 * channels;
    let gathered: Vec<f32> = (0..width * width)
        .flat_map(|i| {
            let start = (i / width * side + i % width) * channels;
            (0..3).flat_map(move |run| {
                let at = start + run * side * channels;
                at..at + 3 * channels
            })
        })
        .map(|at| image[at])
        .collect();
    let w = wave(n * k, 1.0);
    let packed = PackedWeight::new(&w, &[], n, k);
    let of = |left| {
        same_on_every_isa(|isa| {
            let mut out = vec![f32::NAN; width * width * n];
            packed.apply(isa, left, &mut out, Epilogue::Store);
            out
        })
    };
    assert_eq!(of(windows), of(Windows::rows(&gathered, k)));
}
