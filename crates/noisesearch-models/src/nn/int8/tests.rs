//! Every unit against the plain formula.

use super::*;
use crate::nn::gemm::PackedWeight;
use crate::nn::testing::{assert_close, same_on_every_isa, wave};

/// Rows of `k` as whole numbers of `±127`, each with its scale.
fn rounded(rows: &[f32], k: usize) -> Vec<(Vec<i64>, f32)> {
    let row = |row: &[f32]| {
        let largest = row.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let whole = |x: &f32| (x * (127.0 / largest)).round_ties_even() as i64;
        (row.iter().map(whole).collect(), largest / 127.0)
    };
    rows.chunks(k).map(row).collect()
}

/// The module's formula, sums in i64.
fn formula(a: &[f32], w: &[f32], bias: &[f32], k: usize) -> Vec<f32> {
    let (a, w) = (rounded(a, k), rounded(w, k));
    let mut y = Vec::new();
    for (a, row) in &a {
        for ((w, column), bias) in w.iter().zip(bias) {
            let sum: i64 = a.iter().zip(w).map(|(a, w)| a * w).sum();
            y.push(sum as f32 * (row * column) + bias);
        }
    }
    y
}

fn apply(isa: Isa, weight: &PackedWeight, a: &[f32]) -> Vec<f32> {
    let k = weight.inputs();
    let mut out = vec![f32::NAN; a.len() / k * weight.outputs()];
    weight.apply(isa, Windows::rows(a, k), &mut out, Epilogue::Store);
    out
}

/// Bit for bit, so a number that is cut off instead of rounded, or a product that is left out, is
/// seen.
#[test]
fn products_follow_the_formula_on_every_level() {
    for m in [1, 4, 8, 15, 16, 17, 31, 33, 70] {
        for (n, k) in [(16, 32), (33, 100), (50, 65), (17, 64), (128, 1152)] {
            let (a, w, bias) = (wave(m * k, 3.0), wave(n * k, 1.5), wave(n, 0.5));
            let weight = PackedWeight::new(&w, &bias, n, k).in_int8();
            let got = same_on_every_isa(|isa| apply(isa, &weight, &a));
            assert_eq!(got, formula(&a, &w, &bias, k));
            let back: Vec<f32> = rounded(&w, k)
                .into_iter()
                .flat_map(|(row, scale)| row.into_iter().map(move |x| x as f32 * scale))
                .collect();
            assert_eq!(weight.unpack(), back);
        }
    }
}

/// The largest numbers that there are, in the longest row; one more input stays f32.
#[test]
fn sums_do_not_overflow() {
    let (n, k) = (16, INPUTS_MAX);
    let weight = PackedWeight::new(&vec![-1.0; n * k], &[], n, k).in_int8();
    for sign in [1.0, -1.0] {
        let got = same_on_every_isa(|isa| apply(isa, &weight, &vec![sign; k]));
        let sum = (k * 127 * 127) as f32 * (1.0 / 127.0 * (1.0 / 127.0));
        assert!(got.iter().all(|&y| y == -sign * sum), "{got:?}, {sum}");
    }
    assert!(k * 127 * 127 <= i32::MAX as usize && (k + 1) * 127 * 127 > i32::MAX as usize);
    assert!(!suits(16, k + 1) && !suits(15, k) && !suits(16, INPUTS_MIN - 1));
}

#[test]
fn thin_weights_stay_as_they_are() {
    for (n, k) in [(16, 31), (15, 64)] {
        let (a, w) = (wave(3 * k, 1.0), wave(n * k, 1.0));
        let whole = PackedWeight::new(&w, &[], n, k);
        let want = apply(Isa::best(), &whole, &a);
        assert_eq!(apply(Isa::best(), &whole.in_int8(), &a), want);
    }
}

#[test]
fn a_row_depends_on_no_other_and_is_nan_where_a_number_is_not_finite() {
    let (m, n, k) = (300, 40, 704);
    let (a, w) = (wave(m * k, 1.0), wave(n * k, 1.0));
    let weight = PackedWeight::new(&w, &[], n, k).in_int8();
    let all = apply(Isa::best(), &weight, &a);
    for (row, want) in a.chunks(k).zip(all.chunks(n)) {
        assert_eq!(apply(Isa::best(), &weight, row), want);
    }
    for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut other = a.clone();
        other[k + 7] = broken;
        for isa in Isa::available() {
            let after = apply(isa, &weight, &other);
            assert!(after[n..2 * n].iter().all(|y| y.is_nan()), "{isa:?}");
            assert_eq!(after[..n], all[..n]);
            assert_eq!(after[2 * n..], all[2 * n..]);
        }
    }
}

#[test]
fn rows_of_nothing_are_the_bias() {
    let (n, k) = (20, 64);
    let bias = wave(n, 1.0);
    let weight = PackedWeight::new(&wave(n * k, 1.0), &bias, n, k).in_int8();
    let mut a = vec![0.0; 2 * k];
    a[k..].fill(1e-40);
    let got = same_on_every_isa(|isa| apply(isa, &weight, &a));
    assert_eq!(got, [&bias[..], &bias[..]].concat());
    let empty = PackedWeight::new(&vec![0.0; n * k], &bias, n, k).in_int8();
    assert_eq!(apply(Isa::best(), &empty, &wave(k, 1.0)), bias);
}

#[test]
fn epilogues_see_the_product() {
    let (m, n, k) = (37, 37, 40);
    let (a, w, bias) = (wave(m * k, 1.0), wave(n * k, 1.0), wave(n, 1.0));
    let (gate, old) = (wave(n, 2.0), wave(m * n, 3.0));
    let weight = PackedWeight::new(&w, &bias, n, k).in_int8();
    let apply = |epilogue| {
        same_on_every_isa(|isa| {
            let mut out = old.clone();
            weight.apply(isa, Windows::rows(&a, k), &mut out, epilogue);
            out
        })
    };
    let y = apply(Epilogue::Store);
    let (added, gated) = (apply(Epilogue::Add), apply(Epilogue::AddGated(&gate)));
    for i in 0..m * n {
        assert_eq!(added[i], old[i] + y[i]);
        assert_eq!(gated[i], gate[i % n].mul_add(y[i], old[i]));
    }
}

/// Windows into an image, read in place or gathered, whole or in parts, have one scale.
#[test]
fn windows_into_an_image_have_one_scale() {
    for ([lines, width, c], n) in [([6, 16, 64], 33), ([5, 7, 12], 16), ([70, 32, 32], 20)] {
        let (image, k) = (wave((lines + 2) * (width + 2) * c, 2.0), 9 * c);
        let (w, bias) = (wave(n * k, 1.0), wave(n, 1.0));
        let weight = PackedWeight::new(&w, &bias, n, k).in_int8();
        let line = (width + 2) * c;
        let windows = |first: usize, lines: usize| Windows {
            data: &image[first * line..],
            count: lines * width,
            width,
            step: c,
            line_step: line,
            runs: 3,
            run_len: 3 * c,
            run_step: line,
            largest: weight.largest(Isa::PLAIN, &image),
        };
        let product = |first: usize, lines: usize| {
            same_on_every_isa(|isa| {
                let mut out = vec![0.0; lines * width * n];
                weight.apply(isa, windows(first, lines), &mut out, Epilogue::Store);
                out
            })
        };
        let all = product(0, lines);
        assert_eq!(all, [product(0, 2), product(2, lines - 2)].concat());
        let whole = PackedWeight::new(&w, &bias, n, k);
        let mut want = vec![0.0; lines * width * n];
        whole.apply(Isa::PLAIN, windows(0, lines), &mut want, Epilogue::Store);
        let want: Vec<f64> = want.into_iter().map(f64::from).collect();
        // Rounding to 1 in 254 of the largest.
        assert_close(&all, &want, 1.2e-2);
    }
}
