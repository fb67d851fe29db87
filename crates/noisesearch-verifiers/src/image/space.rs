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
use candle_core::{Result, Tensor};
use noisesearch_models::checkpoint::Checkpoint;
use noisesearch_models::layers::{Activation, Loaded, Place, Source};
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
    text: ClipText,
    tokenizer: ClipTokenizer,
    /// Factor of a cosine in the training loss, as a number, not as its logarithm.
    scale: f64,
    hash: String,
    /// The last texts that were asked for, and their vector.
    last: Mutex<Option<(Vec<String>, Vec<f32>)>>,
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
        let (size, text) = files.config::<Both>("")?.sizes()?;
        let preprocess = preprocess(&files, Preprocess::clip(size.side), size.side)?;
        let reads = (tokenizer(&files)?, preprocess);
        Self::load(&files, (size, &text), reads)
    }

    /// ViT-H/14 of open_clip, in its own layout or in that of transformers, unless a `config.json`
    /// says otherwise. Texts are cleaned as open_clip does. `steps` makes the preprocessing of a
    /// tower of some side.
    pub fn open_h14(
        folder: &Path,
        steps: fn(usize) -> Preprocess,
    ) -> std::result::Result<Self, OpenError> {
        let files = Checkpoint::of_network(folder);
        let (size, text) = match files.file("", "config.json")? {
            Some(_) => files.config::<Both>("")?.sizes()?,
            None => (Size::H14, text_h14()),
        };
        let reads = (ClipTokenizer::openai(Padding::Zero), steps(size.side));
        Self::load(&files, (size, &text), reads)
    }

    /// Two towers of these sizes, and what is done to a text and an image before them.
    fn load(
        files: &Checkpoint,
        (size, text): (Size, &ClipTextConfig),
        (tokenizer, preprocess): (ClipTokenizer, Preprocess),
    ) -> std::result::Result<Self, OpenError> {
        let mut weights = files.weights("")?;
        let hash = weights.hash().to_owned();
        let place = Place::cpu();
        let mut source = Source::new(&mut weights, &place);
        let (vision, text, scale) = towers(&mut source, size, text)?;
        weights.finish()?;
        Ok(Self {
            vision,
            preprocess,
            text,
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
            let vector = units(&self.text.encode(&tokens)?.pooled.unsqueeze(0)?)?;
            let values = vector.iter().flatten();
            sum.iter_mut().zip(values).for_each(|(sum, v)| *sum += v);
        }
        normalise(&mut sum);
        *last = Some((texts.to_vec(), sum.clone()));
        Ok(sum)
    }
}

/// The text tower beside [`Size::H14`].
fn text_h14() -> ClipTextConfig {
    ClipTextConfig {
        hidden_size: 1024,
        intermediate_size: 4096,
        projection_dim: 1024,
        num_hidden_layers: 24,
        num_attention_heads: 16,
        hidden_act: Activation::Gelu,
        ..ClipTextConfig::default()
    }
}

/// The tokenizer of a folder as transformers reads it; the vocabulary that all published CLIPs
/// share if it has none. What a text is padded with changes nothing: no token sees those after it.
fn tokenizer(files: &Checkpoint) -> std::result::Result<ClipTokenizer, OpenError> {
    for name in ["vocab.json", "tokenizer.json"] {
        if files.file("", name)?.is_some() {
            return ClipTokenizer::open(files, "");
        }
    }
    Ok(ClipTokenizer::openai(Padding::End))
}

/// Both towers of transformers' layout, and the scale.
fn towers(
    s: &mut Source,
    size: Size,
    text: &ClipTextConfig,
) -> Loaded<(ClipVision, ClipText, f64)> {
    let scale = s.floats("logit_scale", &[])?;
    let scale = f64::from(scale.first().copied().unwrap_or(0.0)).exp();
    Ok((
        ClipVision::load(s.lend(), size)?,
        ClipText::load(s.lend(), text)?,
        scale,
    ))
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
        let scores = cosines
            .iter()
            .map(|&cos| (self.score)(cos, self.space.scale()));
        finite(&self.id.name, scores.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use noisesearch_models::parity::{Golden, Manifest, places};

    const GOLDENS: [&str; 2] = [
        include_str!("../../../../parity/goldens/clip.json"),
        include_str!("../../../../parity/goldens/clip-gelu.json"),
    ];

    fn both(config: &serde_json::Value) -> (Size, ClipTextConfig) {
        let both: Both = serde_json::from_value(config.clone()).unwrap();
        both.sizes().unwrap()
    }

    /// Within 1e-4. Read at the last padding instead of the end token it is off by 0.7.
    #[test]
    fn golden_texts_agree() {
        for place in places().unwrap() {
            for text in GOLDENS {
                texts_agree_at(text, &place);
            }
        }
    }

    fn texts_agree_at(text: &str, place: &Place) {
        let golden = Golden::parse(text).unwrap();
        let (size, config) = both(&golden.config);
        let mut weights = golden.weights().unwrap();
        let mut source = Source::new(&mut weights, place);
        let (_, tower, _) = towers(&mut source, size, &config).unwrap();
        weights.finish().unwrap();
        let tokenizer = ClipTokenizer::openai(Padding::End);
        let prompts = golden.more["prompts"].as_array().unwrap().iter();
        let embeddings = prompts.map(|prompt| {
            let tokens = tokenizer.encode(prompt.as_str().unwrap());
            tower.encode(&tokens).unwrap().pooled
        });
        let embeddings = Tensor::stack(&embeddings.collect::<Vec<_>>(), 0).unwrap();
        golden.check("text", &embeddings, 1e-4).unwrap();
    }

    #[test]
    fn published_layouts_are_asked_for_exactly() {
        let published = [
            include_str!("../../../../parity/manifests/clip-vit-b-32.json"),
            include_str!("../../../../parity/manifests/clip-vit-l-14.json"),
            include_str!("../../../../parity/manifests/clip-vit-h-14.json"),
        ];
        for text in published {
            let manifest = Manifest::parse(text).unwrap();
            let (size, config) = both(&manifest.config);
            let load = |mut s: Source| towers(&mut s, size, &config);
            manifest.check(load).unwrap();
        }
    }

    /// HPSv2's file has no configuration beside it.
    #[test]
    fn the_layout_of_open_clip_is_that_of_transformers_under_other_names() {
        let text = include_str!("../../../../parity/manifests/open-clip-vit-h-14.json");
        let manifest = Manifest::parse(text).unwrap();
        let load = |mut s: Source| towers(&mut s, Size::H14, &text_h14());
        manifest.check_component("", load).unwrap();
    }
}
