//! One block of a vision transformer: attention and a perceptron, each behind a norm and added to
//! the stream.

use candle_core::{Result, Tensor};
use noisesearch_models::layers::{
    Activation, Attend, LayerNorm, Linear, Loaded, Source, add, attention,
};

/// Size and kind of a block.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Channels of the stream.
    pub width: usize,
    /// Heads of the attention; they divide the width.
    pub heads: usize,
    /// Channels inside the perceptron.
    pub hidden: usize,
    /// Summand in the norms' square roots.
    pub eps: f32,
    /// Between the layers of the perceptron.
    pub activation: Activation,
}

/// What a block's tensors are called.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// The two norms.
    pub norms: [&'static str; 2],
    /// What comes before the names of queries, keys and values.
    pub attention: &'static str,
    /// Queries, keys and values, or one layer for all three.
    pub qkv: &'static [&'static str],
    /// What the heads' results go through.
    pub out: &'static str,
    /// The two layers of the perceptron.
    pub mlp: [&'static str; 2],
    /// A factor for each channel of each branch (LayerScale, Touvron et al. 2021, arXiv
    /// 2103.17239), where there is one.
    pub scales: Option<[&'static str; 2]>,
}

/// A block with its weights.
#[derive(Debug)]
pub struct Block {
    norms: [LayerNorm; 2],
    qkv: Linear,
    out: Linear,
    up: Linear,
    down: Linear,
    shape: Shape,
}

impl Block {
    /// Takes the tensors of one block.
    pub fn load(mut s: Source, shape: Shape, names: &Names) -> Loaded<Self> {
        let Shape { width, hidden, .. } = shape;
        let [first, second] = names.norms;
        let norms = [
            LayerNorm::load(s.at(first), width, shape.eps)?,
            LayerNorm::load(s.at(second), width, shape.eps)?,
        ];
        let qkv = {
            let each = 3 * width / names.qkv.len();
            Linear::fused(s.at(names.attention), names.qkv, [width, each], true)?
        };
        let scales = names
            .scales
            .map(|names| names.map(Some))
            .unwrap_or_default();
        Ok(Self {
            norms,
            qkv,
            out: scaled(&mut s, names.out, [width, width], scales[0])?,
            up: Linear::load(s.at(names.mlp[0]), width, hidden)?,
            down: scaled(&mut s, names.mlp[1], [hidden, width], scales[1])?,
            shape,
        })
    }

    /// `x: [b, n, width]`, same shape. `bias: [1, n, n]` is added to the products of queries and
    /// keys.
    pub fn forward(&self, x: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let Shape { width, heads, .. } = self.shape;
        let qkv = self.qkv.forward(&self.norms[0].forward(x)?)?;
        let part = |i: usize| qkv.narrow(2, i * width, width);
        let how = Attend {
            bias,
            ..Attend::like(&self.out, heads)
        };
        let mixed = attention(&part(0)?, &part(1)?, &part(2)?, how)?;
        let x = add(x, &self.out.forward(&mixed)?)?;
        let hidden = self.norms[1].forward(&x)?;
        let hidden = self.up.activated(&hidden, self.shape.activation)?;
        add(&x, &self.down.forward(&hidden)?)
    }
}

/// A layer whose outputs are multiplied by the channels of `scale`.
fn scaled(
    s: &mut Source,
    name: &str,
    [inputs, outputs]: [usize; 2],
    scale: Option<&str>,
) -> Loaded<Linear> {
    let Some(scale) = scale else {
        return Linear::load(s.at(name), inputs, outputs);
    };
    let scale = s.floats(scale, &[outputs])?;
    let mut s = s.at(name);
    let mut weight = s.floats("weight", &[outputs, inputs])?;
    let mut bias = s.floats("bias", &[outputs])?;
    for ((row, bias), scale) in weight.chunks_exact_mut(inputs).zip(&mut bias).zip(scale) {
        row.iter_mut().for_each(|w| *w *= scale);
        *bias *= scale;
    }
    Linear::new(&s, weight, bias, inputs)
}
