//! Attention by heads.

use super::floats::{ARENAS, PART, floats, on_cpu, share};
use super::{Linear, SumOrder, fused};
use crate::nn::attention::{Attention, Bias, Tokens, usual_scale};
use crate::nn::isa::Isa;
use candle_core::{D, DType, Result, Tensor, bail};
use rayon::prelude::*;

/// How attention is done, besides the usual `softmax(q kᵀ / sqrt(head_dim)) v`.
#[derive(Clone, Copy, Debug)]
pub struct Attend<'a> {
    /// Heads; head `h` is features `h * head_dim..` of every token.
    pub heads: usize,
    /// Factor of the products; `None` is `1 / sqrt(head_dim)`.
    pub scale: Option<f32>,
    /// f32 summands of the scaled products, `[1 or heads, 1 or queries, keys]`; -1e9 hides a key.
    pub bias: Option<&'a Tensor>,
    /// On the CPU: the order of both products in bf16; `None` is f32. A network takes it from one
    /// of its layers, see [`Attend::like`].
    pub order: Option<SumOrder>,
}

impl Attend<'_> {
    /// The usual attention.
    pub fn heads(heads: usize) -> Self {
        Self {
            heads,
            scale: None,
            bias: None,
            order: None,
        }
    }

    /// The usual attention, in the number format of this layer's products.
    pub fn like(layer: &Linear, heads: usize) -> Self {
        Self {
            order: layer.order(),
            ..Self::heads(heads)
        }
    }
}

/// `q: [b, queries, channels]`, `k, v: [b, keys, channels]`, to `[b, queries, channels]`.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, how: Attend) -> Result<Tensor> {
    let (_, queries, channels) = q.dims3()?;
    let (_, keys, _) = k.dims3()?;
    if channels % how.heads != 0 || k.shape() != v.shape() || k.dim(D::Minus1)? != channels {
        bail!("attention of {} heads over {q:?}, {k:?}, {v:?}", how.heads)
    }
    if let Some(bias) = how.bias {
        let (heads, rows, columns) = bias.dims3()?;
        let fits = [1, how.heads].contains(&heads) && [1, queries].contains(&rows);
        if !fits || columns != keys {
            bail!("attention of {queries} queries and {keys} keys with bias {bias:?}")
        }
    }
    if on_cpu(q) {
        return on_floats(q, k, v, how);
    }
    #[cfg(feature = "flash")]
    if flash_takes(q, how) {
        return flash(q, k, v, how);
    }
    plain(q, k, v, how)
}

/// Whether [`flash`] can do it.
#[cfg(feature = "flash")]
fn flash_takes(q: &Tensor, how: Attend) -> bool {
    let dim = q.dims().last().map_or(0, |channels| channels / how.heads);
    let half = matches!(q.dtype(), DType::BF16 | DType::F16);
    q.device().is_cuda() && half && how.bias.is_none() && dim % 8 == 0 && dim <= 256
}

/// Without a matrix of all scores (Dao 2023, arXiv 2307.08691), heads as they lie.
#[cfg(feature = "flash")]
fn flash(q: &Tensor, k: &Tensor, v: &Tensor, how: Attend) -> Result<Tensor> {
    let dim = q.dim(D::Minus1)? / how.heads;
    let by_head = |x: &Tensor| {
        x.contiguous()?
            .reshape((x.dim(0)?, x.dim(1)?, how.heads, dim))
    };
    let scale = how.scale.unwrap_or(usual_scale(dim));
    let heads =
        candle_flash_attn::flash_attn(&by_head(q)?, &by_head(k)?, &by_head(v)?, scale, false);
    heads?.flatten_from(2)
}

fn on_floats(q: &Tensor, k: &Tensor, v: &Tensor, how: Attend) -> Result<Tensor> {
    let (b, queries, channels) = q.dims3()?;
    let keys = k.dim(1)?;
    let mut out = vec![0.0; q.elem_count()];
    let bias = match how.bias {
        Some(bias) => bias.clone(),
        None => Tensor::zeros(0, DType::F32, q.device())?,
    };
    let part = share(b * queries).min(queries).clamp(1, PART);
    let (q, k, v) = (q.contiguous()?, k.contiguous()?, v.contiguous()?);
    let bias = bias.contiguous()?;
    let [qs, ks, vs, bs] = [&q, &k, &v, &bias].map(Tensor::storage_and_layout);
    let (qs, ks, vs, bs) = (floats(&qs)?, floats(&ks)?, floats(&vs)?, floats(&bs)?);
    let of_row = |i: usize| Attention {
        q: tokens(&qs[i * queries * channels..], queries, channels),
        k: tokens(&ks[i * keys * channels..], keys, channels),
        v: tokens(&vs[i * keys * channels..], keys, channels),
        heads: how.heads,
        head_dim: channels / how.heads,
        scale: how.scale.unwrap_or(usual_scale(channels / how.heads)),
        bias: how.bias.map(|shape| strides(bs, shape.dims())),
        order: how.order,
    };
    let isa = Isa::best();
    let rows = out.par_chunks_mut(queries * channels).enumerate();
    rows.for_each(|(i, out)| {
        // One arena lends the blocks and takes them back; those of the parts are others.
        ARENAS.with(|own| {
            let row = of_row(i);
            let blocks = row.pack(isa, own);
            let parts = out.par_chunks_mut(part * channels).enumerate();
            parts.for_each(|(j, out)| {
                let some = row.queries(j * part, out.len() / channels);
                ARENAS.with(|arena| some.attend(isa, arena, &blocks, out));
            });
            blocks.give(own);
        });
    });
    Tensor::from_vec(out, q.shape(), q.device())
}

fn tokens(data: &[f32], count: usize, stride: usize) -> Tokens<'_> {
    Tokens {
        data,
        count,
        stride,
    }
}

/// A bias of shape `[1 or heads, 1 or queries, keys]`.
fn strides<'a>(data: &'a [f32], shape: &[usize]) -> Bias<'a> {
    let (heads, queries, keys) = (shape[0], shape[1], shape[2]);
    Bias {
        data,
        head_stride: if heads == 1 { 0 } else { queries * keys },
        query_stride: if queries == 1 { 0 } else { keys },
    }
}

fn plain(q: &Tensor, k: &Tensor, v: &Tensor, how: Attend) -> Result<Tensor> {
    let shape @ (b, _, channels) = q.dims3()?;
    let dim = channels / how.heads;
    let by_head = |x: &Tensor| {
        let tokens = x.dim(1)?;
        x.reshape((b, tokens, how.heads, dim))?
            .transpose(1, 2)?
            .contiguous()
    };
    let (q, k, v) = (by_head(q)?, by_head(k)?, by_head(v)?);
    let scale = how.scale.unwrap_or(usual_scale(dim));
    let scores = q.matmul(&k.t()?)?;
    if fused::takes(&scores, 0) {
        let weights = fused::softmax(&scores, how.bias, scale)?.launch()?;
        return weights.matmul(&v)?.transpose(1, 2)?.reshape(shape);
    }
    let scores = scores.to_dtype(DType::F32)?;
    let mut scores = scores.affine(f64::from(scale), 0.0)?;
    if let Some(bias) = how.bias {
        scores = scores.broadcast_add(bias)?;
    }
    let top = scores.max_keepdim(D::Minus1)?;
    let weights = scores.broadcast_sub(&top)?.exp()?;
    let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
    let out = weights.to_dtype(v.dtype())?.matmul(&v)?;
    out.transpose(1, 2)?.reshape(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{close, values};

    #[test]
    fn both_routes_agree() {
        for (b, queries, keys, heads, dim) in [(1, 70, 9, 2, 8), (3, 5, 33, 3, 4)] {
            let channels = heads * dim;
            let q = values(&[b, queries, channels], 1);
            let (k, v) = (
                values(&[b, keys, channels], 2),
                values(&[b, keys, channels], 3),
            );
            for bias in [
                None,
                Some([1, 1]),
                Some([heads, queries]),
                Some([1, queries]),
            ] {
                let bias = bias.map(|[h, q]| values(&[h, q, keys], 4));
                let how = Attend {
                    scale: bias.as_ref().map(|_| 0.9),
                    bias: bias.as_ref(),
                    ..Attend::heads(heads)
                };
                let want = plain(&q, &k, &v, how).unwrap();
                close(&attention(&q, &k, &v, how).unwrap(), &want, 2e-6);
            }
        }
    }

    #[test]
    fn a_bias_of_another_shape_is_an_error() {
        let x = values(&[1, 4, 8], 1);
        let bias = values(&[3, 4, 4], 2);
        let how = Attend {
            bias: Some(&bias),
            ..Attend::heads(2)
        };
        assert!(attention(&x, &x, &x, how).is_err());
        assert!(attention(&x, &x, &x, Attend::heads(3)).is_err());
    }
}
