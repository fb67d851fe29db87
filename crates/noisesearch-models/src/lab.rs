//! The embedded lab: small real models whose weights are part of the program.

use crate::decode::Pixels;
use crate::denoiser::{Conditioner, Conditioning, LatentShape, TaskError};
use crate::guidance::Guided;
use crate::layers::Place;
use crate::models::scenes::{self, Scenes};
use crate::models::sit::{Sit, SitConfig};
use crate::path::NoisePath;
use crate::prediction::{Prediction, PredictionError};
use crate::task::Task;
use crate::weights::{Weights, WeightsError};
use std::sync::Arc;

const SCENES: &[u8] = include_bytes!("../../../lab/weights/scenes.safetensors");
const GLYPHS_BASE: &[u8] = include_bytes!("../../../lab/weights/glyphs-base.safetensors");
const GLYPHS_SMALL: &[u8] = include_bytes!("../../../lab/weights/glyphs-small.safetensors");

/// Class names of the glyphs models, in index order.
pub const GLYPHS: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// A model of the lab, opened.
pub struct LabModel {
    /// Encodes tasks.
    pub conditioner: Arc<dyn Conditioner>,
    /// Predicts clean samples.
    pub denoiser: Guided,
    /// All lab models are flows.
    pub path: NoisePath,
    /// They work on pixels.
    pub decoder: Pixels,
    /// BLAKE3 of the weights in hexadecimal.
    pub weights: String,
}

/// Why embedded weights cannot be opened; only a damaged build has such weights.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The file.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The pairing of network and path.
    #[error(transparent)]
    Prediction(#[from] PredictionError),
}

/// Text to 64x64 RGB pictures of coloured shapes. `place` is the CPU.
pub fn scenes(place: &Place) -> Result<LabModel, LabError> {
    let file = Weights::from_bytes(SCENES)?;
    let weights = file.hash().to_owned();
    let model = Arc::new(Scenes::load(file, place)?);
    Ok(LabModel {
        conditioner: model.clone(),
        denoiser: Guided::new(model, Prediction::Flow, NoisePath::Flow, scenes::SHAPE)?,
        path: NoisePath::Flow,
        decoder: Pixels,
        weights,
    })
}

/// Which of the two glyphs models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlyphsSize {
    /// 0.14 GFLOP an evaluation.
    Base,
    /// 0.04 GFLOP an evaluation.
    Small,
}

/// Class-conditional 32x32 grey digits and capitals. `place` is the CPU.
pub fn glyphs(size: GlyphsSize, place: &Place) -> Result<LabModel, LabError> {
    let bytes = match size {
        GlyphsSize::Base => GLYPHS_BASE,
        GlyphsSize::Small => GLYPHS_SMALL,
    };
    let mut file = Weights::from_bytes(bytes)?;
    let weights = file.hash().to_owned();
    let take = |name: &str, shape: &[usize]| file.take_vec(name, shape);
    let sit = Sit::load_at(size.config(), place, take)?;
    file.finish()?;
    let side = sit.config().input_size;
    let shape = LatentShape {
        channels: 1,
        height: side,
        width: side,
    };
    let sit = Arc::new(sit);
    Ok(LabModel {
        conditioner: Arc::new(GlyphNames(sit.clone())),
        denoiser: Guided::new(sit, Prediction::Flow, NoisePath::Flow, shape)?,
        path: NoisePath::Flow,
        decoder: Pixels,
        weights,
    })
}

/// Turns class names into the network's class indices.
struct GlyphNames(Arc<Sit>);

impl GlyphsSize {
    /// The network's sizes.
    pub fn config(self) -> SitConfig {
        match self {
            Self::Base => SitConfig::GLYPHS_BASE,
            Self::Small => SitConfig::GLYPHS_SMALL,
        }
    }
}

impl Conditioner for GlyphNames {
    fn encode(&self, task: &Task, guidance: f32) -> Result<Conditioning, TaskError> {
        let refuse = |message: String| TaskError { message };
        let Task::Class(name) = task else {
            return Err(refuse(
                "the glyphs models take a class, not a prompt".into(),
            ));
        };
        let index = glyph_index(name).ok_or_else(|| {
            let name: String = name.chars().take(40).collect();
            refuse(format!(
                "the glyphs models do not know the class \"{name}\"; known: 0-9, A-Z"
            ))
        })?;
        let encode = |class| self.0.encode(class).map_err(|e| refuse(e.to_string()));
        Ok(Conditioning {
            cond: encode(Some(index))?,
            uncond: encode(None)?,
            guidance,
        })
    }
}

/// Index of a class name: one digit or letter, in either case.
pub fn glyph_index(name: &str) -> Option<u32> {
    let mut letters = name.chars();
    let (letter, rest) = (letters.next()?.to_ascii_uppercase(), letters.next());
    let place = GLYPHS.find(letter).filter(|_| rest.is_none())?;
    u32::try_from(place).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::denoiser::Denoiser;

    #[test]
    fn every_lab_model_opens_with_its_shape() {
        assert_eq!(
            scenes(&Place::cpu()).unwrap().denoiser.shape(),
            scenes::SHAPE
        );
        for size in [GlyphsSize::Base, GlyphsSize::Small] {
            assert_eq!(
                glyphs(size, &Place::cpu()).unwrap().denoiser.shape().width,
                32
            );
        }
    }

    #[test]
    fn class_names_are_one_letter_or_digit() {
        assert_eq!(glyph_index("0"), Some(0));
        assert_eq!(glyph_index("a"), Some(10));
        assert_eq!(glyph_index("Z"), Some(35));
        for wrong in ["", "AB", "ä", "-", "é"] {
            assert_eq!(glyph_index(wrong), None, "{wrong}");
        }
    }
}
