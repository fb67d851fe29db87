//! From samples to scores: decoded, judged, kept as pictures.

use super::solve::{Sample, Solved};
use super::{Engine, Made};
use crate::error::Error;
use crate::picture::Picture;
use candle_core::{Device, Tensor};
use noisesearch_core::drive::Lost;
use noisesearch_core::job::{Outcome, Scores, View};
use noisesearch_core::recipe::{Recipe, VerifierName};
use noisesearch_models::denoiser::{Decoder, Denoiser};
use noisesearch_models::gradient::Slope;
use noisesearch_models::task::Task;
use noisesearch_verifiers::verifier::{Samples, Verifier};
use std::sync::atomic::Ordering;

/// How a verifier is asked.
type Look = fn(&dyn Verifier, &Task, &Samples) -> candle_core::Result<Vec<f64>>;

impl Engine {
    /// Decodes and scores what was solved; one answer each, in the order in which it was wanted.
    pub fn judge(&self, solved: Solved) -> Result<Vec<Made>, Error> {
        self.judge_by(solved, |verifier, task, samples| {
            verifier.score(task, samples)
        })
    }

    /// The same with verifiers that use nothing kept of earlier answers.
    pub(super) fn judge_afresh(&self, solved: Solved) -> Result<Vec<Made>, Error> {
        self.judge_by(solved, |verifier, task, samples| {
            verifier.score_afresh(task, samples)
        })
    }

    /// The picture of a recipe, which nobody judges; `None` when it has none.
    pub fn show(&self, recipe: &Recipe) -> Result<Option<Picture>, Error> {
        let solved = self.solve(&[(recipe, View::Final)])?;
        let Some(sample) = solved.samples.first() else {
            return Ok(None);
        };
        let image = self.decode(&*self.decoder, std::iter::once(&sample.x))?;
        Ok(Picture::from_images(&image)?.pop())
    }

    fn judge_by(&self, solved: Solved, look: Look) -> Result<Vec<Made>, Error> {
        let Solved {
            samples, mut made, ..
        } = solved;
        let (rough, whole): (Vec<Sample>, Vec<Sample>) = samples
            .into_iter()
            .partition(|sample| sample.preview && self.preview.is_some());
        for batch in whole.chunks(self.batch) {
            self.judge_batch((&*self.decoder, look), batch, &mut made)?;
        }
        if let Some(linear) = &self.preview {
            for batch in rough.chunks(self.batch) {
                self.judge_batch((linear, look), batch, &mut made)?;
            }
        }
        Ok(made)
    }

    fn judge_batch(
        &self,
        (decoder, look): (&dyn Decoder, Look),
        samples: &[Sample],
        made: &mut [Made],
    ) -> Result<(), Error> {
        let images = self.decode(decoder, samples.iter().map(|sample| &sample.x))?;
        let early = |index: usize| {
            let early = samples.iter().map(|sample| &sample.early[index]);
            self.decode(&*self.decoder, early)
        };
        let early: Vec<Tensor> = (0..self.early.len()).map(early).collect::<Result<_, _>>()?;
        let mut columns = Vec::with_capacity(self.verifiers.len());
        for verifier in self.verifiers.iter() {
            let level = verifier.early_level();
            let level = level.and_then(|level| self.early.iter().position(|l| *l == level));
            let early = level.map(|index| &early[index]);
            let samples = Samples {
                images: &images,
                early,
            };
            let scores = look(&**verifier, &self.task, &samples);
            columns.push(scores.map_err(|source| failed(&**verifier, source))?);
        }
        let calls = (columns.len() * samples.len()) as u64;
        self.verifier_calls.fetch_add(calls, Ordering::Relaxed);
        let wrong = columns
            .iter()
            .position(|column| column.len() != samples.len());
        let lost = wrong.map(|verifier| {
            let name = &self.verifiers[verifier].id().name;
            let (given, images) = (columns[verifier].len(), samples.len());
            Lost(format!(
                "verifier {name} gave {given} scores for {images} images"
            ))
        });
        let pictures = Picture::from_images(&images)?;
        for (index, (sample, picture)) in samples.iter().zip(pictures).enumerate() {
            let scores = || Scores::new(columns.iter().map(|column| column[index]).collect());
            let result = match &lost {
                Some(lost) => Err(lost.clone()),
                None => Ok(scores().map_or_else(Outcome::Failed, Outcome::Scored)),
            };
            made[sample.place] = Made {
                result,
                picture: Some(picture),
            };
        }
        Ok(())
    }

    fn decode<'a>(
        &self,
        decoder: &dyn Decoder,
        samples: impl Iterator<Item = &'a Vec<f32>>,
    ) -> Result<Tensor, Error> {
        let shape = self.denoiser.shape();
        let values: Vec<f32> = samples.flatten().copied().collect();
        let len = shape.channels * shape.height * shape.width;
        let dims = (
            values.len() / len,
            shape.channels,
            shape.height,
            shape.width,
        );
        Ok(decoder.decode(&Tensor::from_vec(values, dims, &Device::Cpu)?)?)
    }
}

impl Slope for Engine {
    fn slope(&self, name: VerifierName, x0: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let mut verifiers = self.verifiers.iter();
        let verifier = verifiers.find(|verifier| verifier.id().name == name.as_str());
        let score = verifier.and_then(|verifier| verifier.gradient());
        let (Some(score), Some(decoder)) = (score, self.decoder.gradient()) else {
            return Ok(None);
        };
        let slope = score.slope(&self.task, &self.decoder.decode(x0)?)?;
        decoder.vjp(x0, &slope).map(Some)
    }
}

pub(super) fn failed(verifier: &dyn Verifier, source: candle_core::Error) -> Error {
    // A person is told what happened, not through which functions.
    let source = match source {
        candle_core::Error::WithBacktrace { inner, .. } => inner,
        other => Box::new(other),
    };
    Error::Verifier {
        run: None,
        name: verifier.id().name.clone(),
        source,
    }
}
