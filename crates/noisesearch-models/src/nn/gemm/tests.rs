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
