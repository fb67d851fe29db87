//! What the families that have a U-Net open alike.

use super::{UNet, UNetConfig};
use crate::checkpoint::Checkpoint;
use crate::denoiser::{Conditioner, LatentShape};
use crate::guidance::Guided;
use crate::models::scheduler::SchedulerConfig;
use crate::models::vae::Vae;
use crate::pipeline::{OpenError, Options, Pipeline};
use crate::schedule::Schedule;
use std::sync::Arc;

/// A latent diffusion model without its text encoders.
#[derive(Debug)]
pub struct Latent {
    unet: UNet,
    /// What `unet/config.json` says.
    pub config: UNetConfig,
    vae: Vae,
    shape: LatentShape,
    scheduler: SchedulerConfig,
}

impl Latent {
    /// Opens `unet`, `vae` and `scheduler`.
    pub fn open(checkpoint: &Checkpoint, options: &Options) -> Result<Self, OpenError> {
        let scheduler = SchedulerConfig::open(checkpoint)?;
        scheduler.path()?;
        let vae = Vae::open(checkpoint, &options.place)?;
        let shape = options.latent(vae.channels(), vae.factor())?;
        let (unet, config) = UNet::open(checkpoint, &options.place)?;
        if config.in_channels != vae.channels() {
            return Err(OpenError::Unsupported {
                what: "in_channels of unet/config.json".into(),
                found: config.in_channels.to_string(),
                supported: format!("the {} channels of the vae", vae.channels()),
            });
        }
        Ok(Self {
            unet,
            config,
            vae,
            shape,
            scheduler,
        })
    }

    /// Fails unless the text encoders give as many features as the U-Net reads.
    pub fn check_context(&self, features: usize) -> Result<(), OpenError> {
        let reads = self.config.cross_attention_dim;
        if reads == features {
            return Ok(());
        }
        Err(OpenError::Unsupported {
            what: "hidden_size of the text encoders".into(),
            found: features.to_string(),
            supported: format!("cross_attention_dim {reads} of unet/config.json"),
        })
    }

    /// Joins the parts. `components` are those that the weights' hash covers.
    pub fn pipeline(
        self,
        conditioner: Box<dyn Conditioner>,
        checkpoint: &Checkpoint,
        components: &[&str],
    ) -> Result<Pipeline, OpenError> {
        let path = self.scheduler.path()?;
        let prediction = self.scheduler.prediction()?;
        let network = Arc::new(self.unet);
        let denoiser = Guided::new(network, prediction, path.clone(), self.shape)?;
        Ok(Pipeline {
            conditioner,
            denoiser: Box::new(denoiser),
            path,
            schedule: Schedule::TRAILING,
            decoder: Box::new(self.vae),
            weights: checkpoint.hash(components)?,
        })
    }
}
