use super::*;
use crate::nn::testing::{assert_close, same_on_every_isa, wave};

/// One head of one query; `bias` of a key is added to its scaled product.
fn plain(
    q: &[f32],
    k: &[&[f32]],
    v: &[&[f32]],
    scale: f32,
    bias: &dyn Fn(usize) -> f32,
) -> Vec<f64> {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum()
    };
    let weights: Vec<f64> = k
        .iter()
        .enumerate()
        .map(|(j, k)| (dot(q, k) * f64::from(scale) + f64::from(bias(j))).exp())
        .collect();
    let total: f64 = weights.iter().sum();
    (0..q.len())
        .map(|i| {
            weights
                .iter()
                .zip(v)
                .map(|(w, v)| w * f64::from(v[i]))
                .sum::<f64>()
                / total
        })
        .collect()
}

/// In f32 to within rounding, in both orders of bf16 to within that of its operands, whose error
/// here is up to 1.1e-2; same bits on every level.
fn check(attention: Attention) {
    check_in(attention, 2e-6);
    for order in Order::ALL {
        let order = Some(order);
        check_in(Attention { order, ..attention }, 2e-2);
    }
}

fn check_in(attention: Attention, tolerance: f64) {
    let (heads, dim) = (attention.heads, attention.head_dim);
    let got = same_on_every_isa(|isa| {
        let mut out = vec![f32::NAN; attention.q.count * heads * dim];
        attention.apply(isa, &mut Arena::default(), &mut out);
        out
    });
    let rows = |t: Tokens<'_>, head: usize| -> Vec<Vec<f32>> {
        (0..t.count)
            .map(|i| t.data[i * t.stride + head * dim..][..dim].to_vec())
            .collect()
    };
    let mut want = vec![0.0; got.len()];
    for head in 0..heads {
        let (k, v) = (rows(attention.k, head), rows(attention.v, head));
        let (k, v): (Vec<_>, Vec<_>) = (
            k.iter().map(|k| &k[..]).collect(),
            v.iter().map(|v| &v[..]).collect(),
        );
        for (i, q) in rows(attention.q, head).iter().enumerate() {
            let bias = |j: usize| {
                let at = |b: Bias<'_>| head * b.head_stride + i * b.query_stride + j;
                attention.bias.map_or(0.0, |b| b.data[at(b)])
            };
            let row = plain(q, &k, &v, attention.scale, &bias);
            want[(i * heads + head) * dim..][..dim].copy_from_slice(&row);
        }
    }
    assert_close(&got, &want, tolerance);
}

#[test]
fn self_attention_follows_its_formula() {
    for (tokens, heads, dim) in [
        (64, 4, 32),
        (16, 2, 16),
        (100, 1, 72),
        (51, 3, 20),
        (385, 1, 40),
        (900, 2, 16),
    ] {
        let qkv = wave(tokens * 3 * heads * dim, 1.0);
        check(Attention::packed(&qkv, heads, dim));
    }
}

#[test]
fn cross_attention_follows_its_formula() {
    let (heads, dim) = (2, 16);
    let (q, kv) = (wave(64 * 32, 1.0), wave(9 * 64, 2.0));
    let k = Tokens {
        data: &kv,
        count: 9,
        stride: 64,
    };
    let v = Tokens {
        data: &kv[32..],
        count: 9,
        stride: 64,
    };
    let q = Tokens {
        data: &q,
        count: 64,
        stride: 32,
    };
    let attention = Attention {
        q,
        k,
        v,
        heads,
        head_dim: dim,
        scale: usual_scale(dim),
        bias: None,
        order: None,
    };
    check(attention);
    check(attention.queries(50, 14));
    let summands = wave(2 * 64 * 9, 3.0);
    for (head_stride, query_stride) in [(64 * 9, 9), (0, 9), (9, 0)] {
        let bias = Some(Bias {
            data: &summands,
            head_stride,
            query_stride,
        });
        let biased = Attention {
            scale: 1.0,
            bias,
            ..attention
        };
        check(biased);
        check(biased.queries(50, 14));
    }
}
