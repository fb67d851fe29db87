//! The blocks of FLUX.1: double ones with separate weights for text and image, single ones with
//! one set of weights for both.

use super::FluxConfig;
use crate::layers::{
    Activation, Attend, LayerNorm, Linear, Loaded, Mlp, RmsNorm, Rotary, Source, activate,
    attention,
};
use candle_core::{D, Result, Tensor};

/// Added to variances and mean squares.
pub(super) const EPS: f32 = 1e-6;
/// Features inside an MLP, in multiples of a token's.
const MLP_RATIO: usize = 4;

/// Part `i` of `x: [.., n d]`, which is `[.., d]`.
pub(super) fn part(x: &Tensor, i: usize, d: usize) -> Result<Tensor> {
    x.narrow(D::Minus1, i * d, d)
}

/// Queries, keys and values of a stream, the first two normalised by heads.
#[derive(Debug)]
struct Qkv {
    project: Linear,
    norms: [RmsNorm; 2],
    heads: usize,
}

impl Qkv {
    /// Takes the projections and norms of these names.
    fn load(mut s: Source, names: [&str; 3], norms: [&str; 2], c: &FluxConfig) -> Loaded<Self> {
        let d = c.hidden();
        let norm = |s: Source| RmsNorm::load(s, "weight", c.attention_head_dim, EPS);
        Ok(Self {
            norms: [norm(s.at(norms[0]))?, norm(s.at(norms[1]))?],
            project: Linear::fused(s, &names, [d, d], true)?,
            heads: c.num_attention_heads,
        })
    }

    /// `x: [b, tokens, d]` to three of the same shape.
    fn forward(&self, x: &Tensor) -> Result<[Tensor; 3]> {
        let d = x.dim(D::Minus1)?;
        let all = self.project.forward(x)?;
        let by_head = |i: usize| self.norms[i].by_heads(&part(&all, i, d)?);
        Ok([by_head(0)?, by_head(1)?, part(&all, 2, d)?.contiguous()?])
    }
}

/// One stream of a double block.
#[derive(Debug)]
struct Stream {
    modulation: Linear,
    norm: LayerNorm,
    qkv: Qkv,
    out: Linear,
    mlp: Mlp,
}

/// Names of a stream's layers.
struct Names {
    modulation: &'static str,
    qkv: [&'static str; 3],
    norms: [&'static str; 2],
    out: &'static str,
    mlp: &'static str,
}

const IMAGE: Names = Names {
    modulation: "norm1.linear",
    qkv: ["to_q", "to_k", "to_v"],
    norms: ["norm_q", "norm_k"],
    out: "to_out.0",
    mlp: "ff",
};

const TEXT: Names = Names {
    modulation: "norm1_context.linear",
    qkv: ["add_q_proj", "add_k_proj", "add_v_proj"],
    norms: ["norm_added_q", "norm_added_k"],
    out: "to_add_out",
    mlp: "ff_context",
};

impl Stream {
    fn load(s: &mut Source, names: &Names, config: &FluxConfig) -> Loaded<Self> {
        let d = config.hidden();
        let inside = ["net.0.proj", "net.2"];
        Ok(Self {
            modulation: Linear::load(s.at(names.modulation), d, 6 * d)?,
            norm: LayerNorm::bare(s, d, EPS)?,
            qkv: Qkv::load(s.at("attn"), names.qkv, names.norms, config)?,
            out: Linear::load(s.at("attn").at(names.out), d, d)?,
            mlp: Mlp::load(
                s.at(names.mlp),
                inside,
                [d, MLP_RATIO * d, d],
                Activation::GeluTanh,
            )?,
        })
    }

    /// `m` is shift, scale, gate of the attention, then of the MLP.
    fn attended(&self, x: &Tensor, m: &[Tensor; 6]) -> Result<[Tensor; 3]> {
        self.qkv.forward(&self.norm.modulated(x, &m[0], &m[1])?)
    }

    /// What follows the attention, whose result is `a`.
    fn finish(&self, x: &Tensor, a: Tensor, m: &[Tensor; 6]) -> Result<Tensor> {
        let x = self.out.added_gated(a, x, &m[2])?;
        let h = self.norm.modulated(&x, &m[3], &m[4])?;
        self.mlp.added_gated(&h, &x, &m[5])
    }
}

/// The `N` parts of a modulation, each `[b, d]`; `condition: [b, d]` after its SiLU.
fn modulation<const N: usize>(layer: &Linear, condition: &Tensor) -> Result<[Tensor; N]> {
    let all = layer.forward(condition)?;
    let d = layer.outputs() / N;
    let parts = (0..N).map(|i| part(&all, i, d)?.contiguous());
    let parts = parts.collect::<Result<Vec<_>>>()?;
    let count = parts.len();
    parts
        .try_into()
        .map_err(|_| candle_core::Error::Msg(format!("{count} parts of a modulation")))
}

/// A block with separate weights for text and image, which meet in its attention.
#[derive(Debug)]
pub(super) struct Double {
    text: Stream,
    image: Stream,
    heads: usize,
}

impl Double {
    pub fn load(mut s: Source, config: &FluxConfig) -> Loaded<Self> {
        Ok(Self {
            text: Stream::load(&mut s, &TEXT, config)?,
            image: Stream::load(&mut s, &IMAGE, config)?,
            heads: config.num_attention_heads,
        })
    }

    /// `text: [b, n, d]`, `image: [b, m, d]` to the same; `turn` is for `n + m` tokens.
    pub fn forward(
        &self,
        [text, image]: [&Tensor; 2],
        condition: &Tensor,
        turn: &Rotary,
    ) -> Result<[Tensor; 2]> {
        let of_text = modulation(&self.text.modulation, condition)?;
        let of_image = modulation(&self.image.modulation, condition)?;
        let from_text = self.text.attended(text, &of_text)?;
        let from_image = self.image.attended(image, &of_image)?;
        let joint = |i: usize| Tensor::cat(&[&from_text[i], &from_image[i]], 1);
        let (q, k) = (turn.apply(&joint(0)?)?, turn.apply(&joint(1)?)?);
        let how = Attend::like(&self.image.out, self.heads);
        let a = attention(&q, &k, &joint(2)?, how)?;
        let (n, m) = (text.dim(1)?, image.dim(1)?);
        Ok([
            self.text.finish(text, a.narrow(1, 0, n)?, &of_text)?,
            self.image.finish(image, a.narrow(1, n, m)?, &of_image)?,
        ])
    }
}

/// A block in which text and image are one sequence, and attention and MLP work side by side.
#[derive(Debug)]
pub(super) struct Single {
    modulation: Linear,
    norm: LayerNorm,
    qkv: Qkv,
    widen: Linear,
    narrow: Linear,
}

impl Single {
    pub fn load(mut s: Source, config: &FluxConfig) -> Loaded<Self> {
        let d = config.hidden();
        let names = IMAGE;
        Ok(Self {
            modulation: Linear::load(s.at("norm.linear"), d, 3 * d)?,
            norm: LayerNorm::bare(&s, d, EPS)?,
            qkv: Qkv::load(s.at("attn"), names.qkv, names.norms, config)?,
            widen: Linear::load(s.at("proj_mlp"), d, MLP_RATIO * d)?,
            narrow: Linear::load(s.at("proj_out"), (1 + MLP_RATIO) * d, d)?,
        })
    }

    /// `x: [b, tokens, d]` to the same.
    pub fn forward(&self, x: &Tensor, condition: &Tensor, turn: &Rotary) -> Result<Tensor> {
        let [shift, scale, gate] = modulation(&self.modulation, condition)?;
        let h = self.norm.modulated(x, &shift, &scale)?;
        let [q, k, v] = self.qkv.forward(&h)?;
        let how = Attend::like(&self.narrow, self.qkv.heads);
        let a = attention(&turn.apply(&q)?, &turn.apply(&k)?, &v, how)?;
        let inside = self.widen.activated(&h, Activation::GeluTanh)?;
        let both = Tensor::cat(&[&a, &inside], 2)?;
        self.narrow.added_gated(both, x, &gate)
    }
}

/// The last norm and layer: scale comes before shift here.
#[derive(Debug)]
pub(super) struct Last {
    modulation: Linear,
    norm: LayerNorm,
    project: Linear,
}

impl Last {
    pub fn load(s: &mut Source, config: &FluxConfig) -> Loaded<Self> {
        let d = config.hidden();
        Ok(Self {
            modulation: Linear::load(s.at("norm_out.linear").edge(), d, 2 * d)?,
            norm: LayerNorm::bare(s, d, EPS)?,
            project: Linear::load(s.at("proj_out").edge(), d, config.in_channels)?,
        })
    }

    /// `x: [b, tokens, d]` to `[b, tokens, in_channels]`.
    pub fn forward(&self, x: &Tensor, condition: &Tensor) -> Result<Tensor> {
        let [scale, shift] = modulation(&self.modulation, condition)?;
        self.project
            .forward(&self.norm.modulated(x, &shift, &scale)?)
    }
}

/// What every block is told: SiLU of the sum of the embeddings of time, guidance and text.
#[derive(Debug)]
pub(super) struct Condition {
    time: Mlp,
    guidance: Option<Mlp>,
    text: Mlp,
}

/// Features of the sinusoidal embeddings.
pub(super) const TIME_FEATURES: usize = 256;

impl Condition {
    pub fn load(mut s: Source, config: &FluxConfig) -> Loaded<Self> {
        let d = config.hidden();
        let mut mlp = |name: &str, inputs| {
            let names = ["linear_1", "linear_2"];
            Mlp::load(s.at(name), names, [inputs, d, d], Activation::Silu)
        };
        Ok(Self {
            time: mlp("timestep_embedder", TIME_FEATURES)?,
            guidance: match config.guidance_embeds {
                true => Some(mlp("guidance_embedder", TIME_FEATURES)?),
                false => None,
            },
            text: mlp("text_embedder", config.pooled_projection_dim)?,
        })
    }

    /// `time, guidance: [b, 256]`, `pooled: [b, features]` to `[b, d]`, before and after the SiLU.
    pub fn forward(
        &self,
        time: &Tensor,
        guidance: &Tensor,
        pooled: &Tensor,
    ) -> Result<[Tensor; 2]> {
        let mut sum = self.time.forward(time)?;
        if let Some(mlp) = &self.guidance {
            sum = (sum + mlp.forward(guidance)?)?;
        }
        let sum = (sum + self.text.forward(pooled)?)?;
        let after = activate(&sum, Activation::Silu)?;
        Ok([sum, after])
    }
}
