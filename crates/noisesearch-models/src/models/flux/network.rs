//! The network of FLUX.1 on latents.

use super::FluxConfig;
use super::block::{Condition, Double, Last, Single, TIME_FEATURES};
use super::positions::rotary;
use crate::denoiser::{Encoded, Network};
use crate::layers::{Linear, Loaded, Order, Place, Source, timestep};
use crate::models::patches::{cut, join};
use crate::models::rows::{Run, runs, spread, stack};
use crate::parity::Watch;
use candle_core::{DType, Device, Result, Tensor, bail};
use noisesearch_core::level::Level;

/// Height and width of a token's patch of a latent.
const PATCH: usize = 2;
/// Times and guidance scales are embedded in thousandths.
const SCALE: f32 = 1000.0;

/// A FLUX.1 transformer.
///
/// It predicts the flow velocity `noise - x0`, and is told the level. An encoding holds the text
/// `[n, joint_attention_dim]`, the pooled text `[pooled_projection_dim]` and the guidance scale
/// `[1]`, see [`Flux::encode`].
#[derive(Debug)]
pub struct Flux {
    config: FluxConfig,
    place: Place,
    text: Linear,
    image: Linear,
    condition: Condition,
    doubles: Vec<Double>,
    singles: Vec<Single>,
    last: Last,
}

impl Flux {
    /// Takes every tensor of a `FluxTransformer2DModel`; `config` passed
    /// [`FluxConfig::check`].
    pub fn load(mut s: Source, config: &FluxConfig) -> Loaded<Self> {
        let d = config.hidden();
        let doubles = (0..config.num_layers)
            .map(|i| Double::load(s.at("transformer_blocks").at(i), config))
            .collect::<Loaded<_>>()?;
        let singles = (0..config.num_single_layers)
            .map(|i| Single::load(s.at("single_transformer_blocks").at(i), config))
            .collect::<Loaded<_>>()?;
        Ok(Self {
            place: s.place().clone(),
            text: Linear::load(
                s.at("context_embedder").edge(),
                config.joint_attention_dim,
                d,
            )?,
            image: Linear::load(s.at("x_embedder").edge(), config.in_channels, d)?,
            condition: Condition::load(s.at("time_text_embed"), config)?,
            doubles,
            singles,
            last: Last::load(&mut s, config)?,
            config: config.clone(),
        })
    }

    /// What a row is given: `text: [n, joint_attention_dim]`, `pooled: [pooled_projection_dim]`
    /// and the guidance scale, which a model without guidance embedding ignores.
    pub fn encode(text: &Tensor, pooled: &Tensor, guidance: f32) -> Result<Encoded> {
        let here = |x: &Tensor| x.to_device(&Device::Cpu)?.to_dtype(DType::F32);
        let guidance = Tensor::new(&[guidance], &Device::Cpu)?;
        Ok(Encoded {
            tensors: vec![here(text)?, here(pooled)?, guidance],
        })
    }

    /// [`Network::predict`], which also shows what is inside: `condition`, and `text` and `image`
    /// of `double.0` and so on and of `single.0` and so on.
    pub fn watched(
        &self,
        x: &Tensor,
        at: Level,
        rows: &[&Encoded],
        watch: &mut Watch,
    ) -> Result<Tensor> {
        let (b, c, h, w) = x.dims4()?;
        if b != rows.len() || c != self.config.channels() || h % 2 != 0 || w % 2 != 0 {
            let channels = self.config.channels();
            bail!(
                "{} rows and latents {x:?}; this FLUX takes {channels} channels and even sizes",
                rows.len()
            )
        }
        let runs = runs(rows);
        let condition = self.condition(at, &runs, watch)?;
        let text = self.send(&stack(&runs, 0)?)?;
        let mut text = spread(&self.text.forward(&text)?, &runs)?;
        let mut image = self.image.forward(&self.send(&cut(x, PATCH)?)?)?;
        let (n, m) = (text.dim(1)?, image.dim(1)?);
        let turn = rotary(&self.config, n, [h / 2, w / 2], &self.place)?;
        for (i, block) in self.doubles.iter().enumerate() {
            [text, image] = block.forward([&text, &image], &condition, &turn)?;
            watch(&format!("double.{i}.text"), &text)?;
            watch(&format!("double.{i}.image"), &image)?;
        }
        let mut both = Tensor::cat(&[&text, &image], 1)?;
        for (i, block) in self.singles.iter().enumerate() {
            both = block.forward(&both, &condition, &turn)?;
            watch(&format!("single.{i}.text"), &both.narrow(1, 0, n)?)?;
            watch(&format!("single.{i}.image"), &both.narrow(1, n, m)?)?;
        }
        let out = self.last.forward(&both.narrow(1, n, m)?, &condition)?;
        let out = out.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        join(&out, [h, w], PATCH)
    }

    /// `[rows, d]`.
    fn condition(&self, at: Level, runs: &[Run], watch: &mut Watch) -> Result<Tensor> {
        let guidance = stack(runs, 2)?.flatten_all()?.to_vec1::<f32>()?;
        let features = |t: &[f32]| {
            let t: Vec<f64> = t.iter().map(|&t| f64::from(t * SCALE)).collect();
            timestep(&t, TIME_FEATURES, Order::CosineFirst, &self.place)
        };
        let time = features(&vec![at.get(); runs.len()])?;
        let pooled = self.send(&stack(runs, 1)?)?;
        let [sum, after] = self
            .condition
            .forward(&time, &features(&guidance)?, &pooled)?;
        watch("condition", &spread(&sum, runs)?)?;
        spread(&after, runs)
    }

    fn send(&self, x: &Tensor) -> Result<Tensor> {
        x.to_device(&self.place.device)?.to_dtype(self.place.dtype)
    }
}

impl Network for Flux {
    fn predict(&self, x: &Tensor, at: Level, rows: &[&Encoded]) -> Result<Tensor> {
        self.watched(x, at, rows, &mut |_, _| Ok(()))
    }
}
