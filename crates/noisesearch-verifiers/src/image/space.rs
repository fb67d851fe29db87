//! A space of images and texts: CLIP's two towers (Radford et al. 2021, arXiv 2103.00020), and the
//! verifiers that score an image by its angle to the prompt.
//!
//! ```text
//! cos = i · t / (|i| |t|)
//! ```

use super::{Opened, dot, finite, id, normalise, preprocess, prompt_of, units};
use crate::preprocess::Preprocess;
use crate::verifier::{Samples, Verifier, VerifierId};
use crate::vision::clip::{ClipVision, Config, Size};
use crate::vision::open_clip::{OpenClipConfig, OpenClipText};
use candle_core::{Result, Tensor};
use noisesearch_models::checkpoint::Checkpoint;
use noisesearch_models::layers::{Place, Source};
use noisesearch_models::pipeline::OpenError;
use noisesearch_models::task::Task;
use noisesearch_models::text::{ClipText, ClipTextConfig, ClipTokenizer, Padding};
use serde::Deserialize;
use std::path::Path;
use std::sync::Mutex;

/// The two towers, their tokenizer and their preprocessing.
pub(super) struct Space {
    vision: ClipVision,
    preprocess: Preprocess,
    text: Text,
    tokenizer: ClipTokenizer,
    /// Factor of a cosine in the training loss, as a number, not as its logarithm.
    scale: f64,
    hash: String,
    /// The last texts that were asked for, and their vector.
    last: Mutex<Option<(Vec<String>, Vec<f32>)>>,
}

/// A text tower.
enum Text {
    Clip(ClipText),
    OpenClip(OpenClipText),
}

/// A `config.json` of transformers' `CLIPModel`.
#[derive(Deserialize)]
struct Both {
    #[serde(default)]
    projection_dim: Option<usize>,
    #[serde(default)]
    text_config: ClipTextConfig,
    #[serde(default)]
    vision_config: Config,
}

impl Both {
    /// What both towers are loaded by: the projections have the size that the whole model names.
    fn sizes(mut self) -> std::result::Result<(Size, ClipTextConfig), OpenError> {
        let dimensions = self.projection_dim.unwrap_or(512);
        self.text_config.projection_dim = dimensions;
        self.vision_config.projection_dim = dimensions;
        Ok((self.vision_config.size()?, self.text_config))
    }
}

/// The vision tower of a folder of transformers' `CLIPModel`, its preprocessing and the weights'
/// hash.
pub(super) fn vision_alone(
    files: &Checkpoint,
) -> std::result::Result<(ClipVision, Preprocess, String), OpenError> {
    let (size, _) = files.config::<Both>("")?.sizes()?;
    let preprocess = preprocess(files, Preprocess::clip(size.side), size.side)?;
    let mut weights = files.weights("")?;
    let hash = weights.hash().to_owned();
    for unused in ["text_model.", "text_projection.", "logit_scale"] {
        weights.skip(unused);
    }
    let vision = ClipVision::load(Source::new(&mut weights, &Place::cpu()), size)?;
    weights.finish()?;
    Ok((vision, preprocess, hash))
}

impl Space {
    /// From a folder of transformers' `CLIPModel`.
    pub fn open(folder: &Path) -> std::result::Result<Self, OpenError> {
        let files = Checkpoint::of_network(folder);
        let (size, config) = files.config::<Both>("")?.sizes()?;
        let preprocess = preprocess(&files, Preprocess::clip(size.side), size.side)?;
        let tokenizer = tokenizer(&files, Padding::End)?;
        let mut weights = files.weights("")?;
        let hash = weights.hash().to_owned();
        let place = Place::cpu();
        let mut source = Source::new(&mut weights, &place);
        let (vision, text, scale) = load(&mut source, size, &config)?;
        weights.finish()?;
        Ok(Self {
            vision,
            preprocess,
            text: Text::Clip(text),
            tokenizer,
            scale,
            hash,
            last: Mutex::default(),
        })
    }

    /// From a folder of open_clip: ViT-H/14 unless an `open_clip_config.json` says otherwise.
    /// `usual` makes the preprocessing of a tower of some side.
    pub fn open_clip(
        folder: &Path,
        usual: fn(usize) -> Preprocess,
    ) -> std::result::Result<Self, OpenError> {
        let files = Checkpoint::of_network(folder);
        let config = match files.file("", "open_clip_config.json")? {
            Some(text) => OpenClipConfig::read(&text)?,
            None => OpenClipConfig::H14,
        };
        let side = config.vision.side;
        let preprocess = preprocess(&files, usual(side), side)?;
        let tokenizer = tokenizer(&files, Padding::Zero)?;
        let mut weights = files.weights("")?;
        let hash = weights.hash().to_owned();
        let place = Place::cpu();
        let mut source = Source::new(&mut weights, &place);
        let vision = ClipVision::load_open_clip(&mut source, config.vision)?;
        let text = OpenClipText::load(&mut source, config.text)?;
        let scale = scale(&mut source)?;
        weights.finish()?;
        Ok(Self {
            vision,
            preprocess,
            text: Text::OpenClip(text),
            tokenizer,
            scale,
            hash,
            last: Mutex::default(),
        })
    }

    /// BLAKE3 of the weights in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What cosines are multiplied by to be logits.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Cosines between `images: [b, 1|3, h, w]` in `[0, 1]` and the mean of the unit vectors of
    /// `texts`, a row each.
    pub fn cosines(&self, texts: &[String], images: &Tensor) -> Result<Vec<f64>> {
        let text = self.text(texts)?;
        let images = units(&self.vision.forward(&self.preprocess.apply(images)?)?)?;
        Ok(images.iter().map(|image| dot(image, &text)).collect())
    }

    /// The unit vector in the direction of the mean of the texts' unit vectors.
    fn text(&self, texts: &[String]) -> Result<Vec<f32>> {
        let mut last = self.last.lock().unwrap_or_else(|error| error.into_inner());
        if let Some((_, vector)) = last.as_ref().filter(|(known, _)| known == texts) {
            return Ok(vector.clone());
        }
        let mut sum = vec![0.0; self.vision.dimensions()];
        for text in texts {
            let tokens = self.tokenizer.encode(text);
            let vector = match &self.text {
                Text::Clip(text) => text.encode(&tokens)?.pooled,
                Text::OpenClip(text) => text.encode(&tokens)?,
            };
            let vector = units(&vector.unsqueeze(0)?)?;
            let values = vector.iter().flatten();
            sum.iter_mut().zip(values).for_each(|(sum, v)| *sum += v);
        }
        normalise(&mut sum);
        *last = Some((texts.to_vec(), sum.clone()));
        Ok(sum)
    }
}

/// The tokenizer of a folder; the vocabulary that all published CLIPs share if it has none.
fn tokenizer(
    files: &Checkpoint,
    padding: Padding,
) -> std::result::Result<ClipTokenizer, OpenError> {
    for name in ["vocab.json", "tokenizer.json"] {
        if files.file("", name)?.is_some() {
            return ClipTokenizer::open(files, "");
        }
    }
    Ok(ClipTokenizer::openai(padding))
}

/// Both towers of transformers' layout, and the scale.
pub(super) fn load(
    source: &mut Source,
    size: Size,
    config: &ClipTextConfig,
) -> std::result::Result<(ClipVision, ClipText, f64), noisesearch_models::weights::WeightsError> {
    // A buffer of old files, which numbers the positions.
    source.skip("text_model.embeddings.position_ids");
    let vision = ClipVision::load(source, size)?;
    let text = ClipText::load(source, config)?;
    Ok((vision, text, scale(source)?))
}

/// A verifier that scores an image by its angle to the prompt.
pub(super) struct Angle {
    id: VerifierId,
    space: Space,
    /// The score of a cosine and the scale.
    score: fn(f64, f64) -> f64,
}

impl Angle {
    /// Of this name and version; `score` is told a cosine and the scale.
    pub fn verifier(name: &str, version: u32, space: Space, score: fn(f64, f64) -> f64) -> Opened {
        Ok(Box::new(Self {
            id: id(name, space.hash(), version),
            space,
            score,
        }))
    }
}

impl Verifier for Angle {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn score(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let prompt = prompt_of(task, &self.id.name)?;
        let cosines = self.space.cosines(&[prompt.to_owned()], samples.images)?;
        let scores = cosines.iter().map(|&cos| (self.score)(cos, self.space.scale()));
        finite(&self.id.name, scores.collect())
    }
}
