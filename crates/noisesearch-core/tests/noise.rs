//! Is the noise normal, independent, addressed by content, and frozen?

use noisesearch_core::noise::{Stream, candidate_root, nudge};
use std::collections::HashSet;

const MANY: usize = 10_000_000;
/// |z| beyond this has odds of 7e-6 under the hypothesis.
const LIMIT: f64 = 4.5;
/// BLAKE3 of the first million normals of `Stream::initial(7)`, as little-endian f32.
const FROZEN: &str = "2e2ce316833baa9dfce8a96e02f1396ca529b9903cb743d8d9ec5b17dd9179d3";

fn stream(root: u64, lane: u32, draw: u32, step: u32) -> Stream {
    Stream {
        root,
        lane,
        draw,
        step,
    }
}

fn z_of_mean(count: usize, deviation: f64, values: impl Iterator<Item = f64>) -> f64 {
    values.sum::<f64>() / (count as f64).sqrt() / deviation
}

#[test]
fn ten_million_normals_have_the_right_moments_and_distribution() {
    let mut x = Stream::initial(2026).normals(MANY);
    // Hermite polynomials: zero mean under N(0, 1), variance n!.
    let z = |deviation: f64, h: &dyn Fn(f64) -> f64| {
        z_of_mean(MANY, deviation, x.iter().map(|&v| h(f64::from(v))))
    };
    let moments = [
        ("mean", z(1.0, &|v| v)),
        ("variance", z(2f64.sqrt(), &|v| v * v - 1.0)),
        ("skew", z(6f64.sqrt(), &|v| v * (v * v - 3.0))),
        (
            "kurtosis",
            z(24f64.sqrt(), &|v| (v * v - 6.0) * v * v + 3.0),
        ),
    ];
    for (name, z) in moments {
        assert!(z.abs() < LIMIT, "{name}: z = {z}");
    }
    x.sort_unstable_by(f32::total_cmp);
    let n = MANY as f64;
    let gap = x.iter().enumerate().map(|(rank, &v)| {
        let cdf = 0.5 * libm::erfc(-f64::from(v) / 2f64.sqrt());
        (cdf - rank as f64 / n).max((rank + 1) as f64 / n - cdf)
    });
    let ks = gap.fold(0.0, f64::max) * n.sqrt();
    assert!(
        ks < 2.5,
        "Kolmogorov-Smirnov sqrt(n) D = {ks}; odds of 2.5 are 7e-6"
    );
}

#[test]
fn streams_and_neighbours_are_uncorrelated() {
    let n = 1_000_000;
    let base = stream(7, 1, 3, 0);
    let x = base.normals(n);
    let others = [
        ("lane", stream(7, 2, 3, 0)),
        ("draw", stream(7, 1, 4, 0)),
        ("step", stream(7, 1, 3, 1)),
        ("root", stream(8, 1, 3, 0)),
        ("high root", stream(7 | 1 << 32, 1, 3, 0)),
        ("lane and draw swapped", stream(7, 3, 1, 0)),
    ];
    let product = |a: &[f32], b: &[f32]| {
        let count = a.len().min(b.len());
        z_of_mean(
            count,
            1.0,
            a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)),
        )
    };
    for (name, other) in others {
        let z = product(&x, &other.normals(n));
        assert!(z.abs() < LIMIT, "{name}: z = {z}");
    }
    for lag in 1..=16 {
        let z = product(&x, &x[lag..]);
        assert!(z.abs() < LIMIT, "lag {lag}: z = {z}");
        let square: Vec<f32> = x.iter().map(|v| (v * v - 1.0) / 2f32.sqrt()).collect();
        let z = product(&square, &square[lag..]);
        assert!(z.abs() < LIMIT, "squares at lag {lag}: z = {z}");
    }
}

#[test]
fn a_million_addresses_never_collide() {
    let mut seen = HashSet::new();
    for lane in 0..250 {
        for draw in 0..4000 {
            let first = stream(7, lane, draw, 0).normals(4);
            assert!(seen.insert(first.iter().map(|v| v.to_bits()).collect::<Vec<_>>()));
        }
    }
}

#[test]
fn first_million_is_frozen() {
    let x = Stream::initial(7).normals(1_000_000);
    let bytes: Vec<u8> = x.iter().flat_map(|v| v.to_le_bytes()).collect();
    let hash = blake3::hash(&bytes).to_hex();
    assert_eq!(
        hash.as_str(),
        FROZEN,
        "the noise changed: every recipe means another picture"
    );
}

#[test]
fn any_window_holds_the_same_numbers() {
    let key = stream(7, 5, 9, 2);
    let whole = key.normals(64);
    for offset in 0..13 {
        for count in 0..13 {
            let mut part = vec![f32::NAN; count];
            key.fill(offset as u32, &mut part);
            assert_eq!(part, whole[offset..offset + count]);
        }
    }
    let mut end = [f32::NAN; 9];
    key.fill(u32::MAX, &mut end);
    assert!(end.iter().all(|v| v.is_finite()));
}

#[test]
fn a_stream_is_named_by_its_place_in_the_recipe() {
    assert_eq!(Stream::of_move(7, 0, 3), stream(7, 1, 3, 0));
    assert_eq!(Stream::of_move(7, 4, 3).at_step(6), stream(7, 5, 3, 6));
    assert_ne!(Stream::initial(7), Stream::of_move(7, 0, 0));
}

#[test]
fn seeds_share_no_candidates() {
    let mut roots = HashSet::new();
    for seed in [0, 7, 8, 7 << 32, u64::MAX] {
        for index in 0..100_000 {
            assert!(roots.insert(candidate_root(seed, index)));
        }
    }
    assert_ne!(candidate_root(7, 0), candidate_root(7, 1 << 32));
}

#[test]
fn nudges_keep_the_norm_and_hit_the_cosine() {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    for (size, cosine) in [(2, 0.5f32), (16, -0.7), (4096, 0.95), (12288, 0.999)] {
        let mut x = Stream::initial(7).normals(size);
        let norm = dot(&x, &x).sqrt();
        for chain in 0..200 {
            let y = nudge(&x, cosine, Stream::of_move(7, chain, chain));
            let reached = dot(&x, &y) / (dot(&x, &x) * dot(&y, &y)).sqrt();
            assert!(
                (reached - f64::from(cosine)).abs() < 3e-7,
                "cosine {reached}"
            );
            x = y;
        }
        let drift = dot(&x, &x).sqrt() / norm - 1.0;
        assert!(
            drift.abs() < 1e-6,
            "norm drifts by {drift} over 200 nudges of {size}"
        );
    }
    assert_eq!(nudge(&[0.0; 8], 0.9, Stream::initial(1)), [0.0; 8]);
}

#[test]
fn sibling_nudges_point_in_independent_directions() {
    let x = Stream::initial(7).normals(12288);
    let y = nudge(&x, 0.95, Stream::of_move(7, 0, 0));
    let z = nudge(&x, 0.95, Stream::of_move(7, 0, 1));
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    let cosine = dot(&y, &z) / (dot(&y, &y) * dot(&z, &z)).sqrt();
    let spread = (1.0 - 0.95f64.powi(2)) / (12288f64).sqrt();
    assert!(
        (cosine - 0.95f64.powi(2)).abs() < LIMIT * spread,
        "cosine of siblings {cosine}"
    );
}

/// The first block by another implementation: Philox and Box-Muller written in Python.
#[test]
fn first_numbers_agree_with_python() {
    assert_eq!(
        Stream::initial(7).normals(4),
        [0.000_291_567_4, -0.304_846_97, 1.788_757_3, 1.067_872_5]
    );
}
