//! The network of PixArt on latents.

use super::PixArtConfig;
use super::block::Block;
use crate::denoiser::{Encoded, Network};
use crate::layers::{
    Activation, LayerNorm, Linear, Loaded, Mlp, Order, Place, Source, activate, add, timestep,
};
use crate::models::patches::{cut, join};
use crate::models::positions::positions;
use crate::models::rows::{Run, runs};
use crate::models::training_index;
use crate::parity::Watch;
use candle_core::{DType, Device, Result, Tensor, bail};
use noisesearch_core::level::Level;

/// Features of the sinusoidal embeddings.
const TIME_FEATURES: usize = 256;
/// Pixels of an image in a pixel of a latent, each way.
const PIXELS: usize = 8;
/// Added to variances before the last layer.
const LAST_EPS: f32 = 1e-6;

/// A PixArt transformer.
///
/// It predicts the noise of a variance-preserving path and is told a training index. An encoding
/// holds the caption's real tokens `[n, caption_channels]`, see [`PixArt::encode`].
#[derive(Debug)]
pub struct PixArt {
    config: PixArtConfig,
    place: Place,
    patch: Linear,
    time: Mlp,
    /// Embeddings of height and width in pixels, and of their ratio.
    sizes: Option<[Mlp; 2]>,
    modulation: Linear,
    caption: Mlp,
    blocks: Vec<Block>,
    /// `[2, d]`: shift and scale of the last norm.
    table: Tensor,
    norm: LayerNorm,
    last: Linear,
}

impl PixArt {
    /// Takes every tensor of a `PixArtTransformer2DModel`; `config` passed
    /// [`PixArtConfig::check`].
    pub fn load(mut s: Source, config: &PixArtConfig) -> Loaded<Self> {
        // In some published files: what training put in the place of dropped captions.
        s.skip("caption_projection.y_embedding");
        let (d, shape) = (config.hidden(), [config.in_channels, config.patch_size]);
        let layers = ["linear_1", "linear_2"];
        let mut embedder = |name: &str, outputs| {
            let sizes = [TIME_FEATURES, outputs, outputs];
            let name = format!("adaln_single.emb.{name}");
            Mlp::load(s.at(name), layers, sizes, Activation::Silu)
        };
        let time = embedder("timestep_embedder", d)?;
        let sizes = match config.is_sized() {
            true => Some([
                embedder("resolution_embedder", d / 3)?,
                embedder("aspect_ratio_embedder", d / 3)?,
            ]),
            false => None,
        };
        let blocks = (0..config.num_layers)
            .map(|i| Block::load(s.at("transformer_blocks").at(i), config))
            .collect::<Loaded<_>>()?;
        Ok(Self {
            place: s.place().clone(),
            patch: Linear::patches(s.at("pos_embed.proj").edge(), shape, d, true)?,
            time,
            sizes,
            modulation: Linear::load(s.at("adaln_single.linear"), d, 6 * d)?,
            caption: Mlp::load(
                s.at("caption_projection"),
                layers,
                [config.caption_channels, d, d],
                Activation::GeluTanh,
            )?,
            blocks,
            table: s.tensor("scale_shift_table", &[2, d])?,
            norm: LayerNorm::bare(&s, d, LAST_EPS)?,
            last: last_layer(s.at("proj_out").edge(), config)?,
            config: config.clone(),
        })
    }

    /// What a row is given: `caption: [n, caption_channels]`, without padding.
    pub fn encode(caption: &Tensor) -> Result<Encoded> {
        let caption = caption.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        Ok(Encoded {
            tensors: vec![caption],
        })
    }

    /// [`Network::predict`](crate::denoiser::Network::predict), which also shows what is inside:
    /// `patches`, `modulation`, `caption` of the first row, `block.0` and so on.
    pub fn watched(
        &self,
        x: &Tensor,
        at: Level,
        rows: &[&Encoded],
        watch: &mut Watch,
    ) -> Result<Tensor> {
        let (b, c, h, w) = x.dims4()?;
        let patch = self.config.patch_size;
        let fits = c == self.config.in_channels && h % patch == 0 && w % patch == 0;
        if b != rows.len() || !fits {
            bail!(
                "{} rows and latents {x:?}; this PixArt takes {} channels and multiples of {patch}",
                rows.len(),
                self.config.in_channels
            )
        }
        let (runs, d) = (runs(rows), self.config.hidden());
        let mut x = self.tokens(x)?;
        watch("patches", &x)?;
        let time = self.time(at, [h, w])?;
        let modulation = activate(&time, Activation::Silu)?;
        let modulation = self.modulation.forward(&modulation)?;
        watch("modulation", &modulation.broadcast_as((b, 6 * d))?)?;
        let modulation = modulation.reshape((6, d))?;
        let captions = runs.iter().map(|run| self.caption(run));
        let captions = captions.collect::<Result<Vec<_>>>()?;
        watch("caption", &captions[0].squeeze(0)?)?;
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(x, &modulation, &captions, &runs)?;
            watch(&format!("block.{i}"), &x)?;
        }
        let m = self.table.broadcast_add(&time)?;
        let m = |i: usize| m.narrow(0, i, 1)?.broadcast_as((b, d))?.contiguous();
        let x = self.norm.modulated(&x, &m(0)?, &m(1)?)?;
        let out = self.last.forward(&x)?.to_device(&Device::Cpu)?;
        join(&out.to_dtype(DType::F32)?, [h, w], patch)
    }

    /// Embedded patches with their positions, `[b, tokens, d]`.
    fn tokens(&self, x: &Tensor) -> Result<Tensor> {
        let (b, _, h, w) = x.dims4()?;
        let (patch, d) = (self.config.patch_size, self.config.hidden());
        let (lines, columns) = (h / patch, w / patch);
        let axis = |count| self.config.positions(count);
        let at = positions(&axis(lines), &axis(columns), d);
        let at = self.send(&Tensor::from_vec(
            at,
            (1, lines * columns, d),
            &Device::Cpu,
        )?)?;
        let x = self.patch.forward(&self.send(&cut(x, patch)?)?)?;
        add(&x, &at.broadcast_as((b, lines * columns, d))?)
    }

    /// The embedding of time, and of the image's size where it is an input: `[1, d]`.
    fn time(&self, at: Level, [h, w]: [usize; 2]) -> Result<Tensor> {
        let features = |t: &[f64]| timestep(t, TIME_FEATURES, Order::CosineFirst, &self.place);
        let time = self.time.forward(&features(&[training_index(at)])?)?;
        let Some([size, ratio]) = &self.sizes else {
            return Ok(time);
        };
        let pixels = [h, w].map(|side| (side * PIXELS) as f64);
        let size = size.forward(&features(&pixels)?)?.flatten_all()?;
        let ratio = ratio.forward(&features(&[pixels[0] / pixels[1]])?)?;
        let sizes = Tensor::cat(&[size, ratio.flatten_all()?], 0)?;
        time + sizes.unsqueeze(0)?
    }

    /// The projected caption of a run, `[1, n, d]`.
    fn caption(&self, run: &Run) -> Result<Tensor> {
        match run.encoded.tensors.first() {
            Some(caption) => self.caption.forward(&self.send(&caption.unsqueeze(0)?)?),
            None => bail!("an encoding has no caption; it was made by another model"),
        }
    }

    fn send(&self, x: &Tensor) -> Result<Tensor> {
        x.to_device(&self.place.device)?.to_dtype(self.place.dtype)
    }
}

/// The last layer, whose outputs are `[line, column, predicted channel]`, turned into
/// `[channel, line, column]` without the channels that are not used.
fn last_layer(mut s: Source, config: &PixArtConfig) -> Loaded<Linear> {
    let (d, pixels) = (config.hidden(), config.patch_size * config.patch_size);
    let outputs = pixels * config.out_channels;
    let weight = s.floats("weight", &[outputs, d])?;
    let bias = s.floats("bias", &[outputs])?;
    let kept = (0..config.in_channels)
        .flat_map(|c| (0..pixels).map(move |pixel| pixel * config.out_channels + c));
    let rows = kept.clone().flat_map(|o| &weight[o * d..][..d]);
    let rows = rows.copied().collect();
    Linear::new(&s, rows, kept.map(|o| bias[o]).collect(), d)
}

impl Network for PixArt {
    fn predict(&self, x: &Tensor, at: Level, rows: &[&Encoded]) -> Result<Tensor> {
        self.watched(x, at, rows, &mut |_, _| Ok(()))
    }
}
