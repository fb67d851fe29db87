//! What a SiT is given beside latents: a class and a level.

use super::{SitConfig, TIME_FEATURES, TimeAxis};
use crate::denoiser::Encoded;
use crate::layers::{Order, Place, timestep, timestep_closed};
use crate::models::training_index;
use crate::nn::embed::sinusoidal;
use candle_core::{Device, Result, Tensor, bail};
use noisesearch_core::level::Level;

impl SitConfig {
    /// What a row is given: a class in `0..classes`, or none.
    pub fn encode(&self, class: Option<u32>) -> Result<Encoded> {
        let class = class.map(|class| class as usize);
        if let Some(class) = class
            && class >= self.classes
        {
            bail!("class {class} of a model with {} classes", self.classes)
        }
        let class = class.unwrap_or(self.classes);
        Ok(Encoded {
            tensors: vec![Tensor::new(class as f32, &Device::Cpu)?],
        })
    }

    /// Class index of an encoding.
    pub(super) fn class_of(&self, row: &Encoded) -> Result<usize> {
        let class = match row.tensors.first() {
            Some(class) => class.to_scalar::<f32>()? as usize,
            None => bail!("a row of a class-conditional model has no class"),
        };
        if class > self.classes {
            bail!("class {class} of a model with {} classes", self.classes)
        }
        Ok(class)
    }

    /// The sinusoidal embedding of a level.
    pub(super) fn time_features(&self, at: Level) -> Result<Vec<f32>> {
        let mut features = vec![0.0; TIME_FEATURES];
        match self.time {
            TimeAxis::NoiseAtOne => sinusoidal(at.get(), &mut features),
            TimeAxis::DataAtOne => sinusoidal(1.0 - at.get(), &mut features),
            TimeAxis::ClosedIndex => features = timestep_closed(training_index(at), TIME_FEATURES),
            TimeAxis::TrainingIndex => {
                let (t, order) = (training_index(at), Order::CosineFirst);
                let row = timestep(&[t], TIME_FEATURES, order, &Place::cpu())?;
                features = row.flatten_all()?.to_vec1()?;
            }
        }
        Ok(features)
    }

    /// The shape of latents `x`, if it is that of `rows` images.
    pub(super) fn fits(&self, x: &Tensor, rows: usize) -> Result<[usize; 4]> {
        let (b, c, h, w) = x.dims4()?;
        let want = [rows, self.channels, self.input_size, self.input_size];
        if [b, c, h, w] != want {
            bail!("latents are {:?}, this SiT takes {want:?}", [b, c, h, w])
        }
        Ok(want)
    }
}
