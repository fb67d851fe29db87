//! Inception-v3 as a describer: the features that FID, precision, recall and the inception score
//! are published with (2048 of them, and 1008 classes).

use super::{CLASSES, FEATURES, Inception};
use crate::metrics::describe::Describer;
use crate::metrics::{Features, same_dim};
use candle_core::{Device, Error, Result, Tensor};
use noisesearch_models::layers::{Place, Source};
use noisesearch_models::weights::{Weights, WeightsError};

/// Describes pictures of any size, grey or RGB, by 2048 features and 1008 classes.
#[derive(Debug)]
pub struct InceptionDescriber {
    network: Inception,
    hash: String,
}

impl InceptionDescriber {
    /// From the network's file, as `scripts/convert_inception.py network` makes it.
    pub fn load(mut weights: Weights, place: &Place) -> std::result::Result<Self, WeightsError> {
        let hash = weights.hash().to_owned();
        let network = Inception::load(Source::new(&mut weights, place))?;
        weights.finish()?;
        Ok(Self { network, hash })
    }
}

impl Describer for InceptionDescriber {
    fn id(&self) -> (&str, &str) {
        ("inception", &self.hash)
    }

    fn features(&self, images: &Tensor) -> Result<Features> {
        let features = self.network.features(images)?;
        Features::new(FEATURES, features.flatten_all()?.to_vec1()?).map_err(Error::wrap)
    }

    fn probabilities(&self, features: &Features) -> Result<Features> {
        same_dim(FEATURES, features.dim()).map_err(Error::wrap)?;
        let shape = (features.len(), FEATURES);
        let features = Tensor::from_vec(features.values().to_vec(), shape, &Device::Cpu)?;
        let logits = self.network.logits(&features)?;
        let largest = logits.max_keepdim(1)?;
        let parts = logits.broadcast_sub(&largest)?.exp()?;
        let shares = parts.broadcast_div(&parts.sum_keepdim(1)?)?;
        Features::new(CLASSES, shares.flatten_all()?.to_vec1()?).map_err(Error::wrap)
    }
}
