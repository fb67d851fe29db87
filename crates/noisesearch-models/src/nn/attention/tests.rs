use super::*;
use crate::nn::gemm::PackedWeight;
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

/// Studies of the lab's models were made with these bits.
#[test]
fn in_f32_few_keys_are_whole_rows_of_softmax() {
    let (tokens, dim) = (257, 20);
    let qkv = wave(tokens * 3 * dim, 1.0);
    let part = |i: usize| -> Vec<f32> {
        let rows = qkv.chunks(3 * dim);
        rows.flat_map(|row| &row[i * dim..][..dim])
            .copied()
            .collect()
    };
    let (q, k, v) = (part(0), part(1), part(2));
    let isa = Isa::best();
    let product = |left: &[f32], right: &[f32], inputs: usize| {
        let mut out = vec![0.0; left.len() / inputs * (right.len() / inputs)];
        let right = PackedWeight::new(right, &[], right.len() / inputs, inputs);
        right.apply(isa, Windows::rows(left, inputs), &mut out, Epilogue::Store);
        out
    };
    let mut weights = product(&q, &k, dim);
    softmax(isa, &mut weights, tokens, usual_scale(dim));
    let columns = (0..dim).flat_map(|i| v[i..].iter().step_by(dim).copied());
    let want = product(&weights, &columns.collect::<Vec<_>>(), tokens);
    let mut got = vec![f32::NAN; tokens * dim];
    Attention::packed(&qkv, 1, dim).apply(isa, &mut Arena::default(), &mut got);
    assert_eq!(got, want);
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
