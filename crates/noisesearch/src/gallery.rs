//! The best candidates as images on disk, kept up to date while the search runs.

use crate::error::Error;
use crate::picture::Picture;
use crate::record::Recorder;
use crate::rundir::{BEST, RunDir, image_name};
use noisesearch_core::job::{Job, JobId, Scores};
use noisesearch_core::recipe::Recipe;
use std::collections::{BTreeMap, BTreeSet};

/// What is kept of a candidate.
pub struct Candidate {
    /// How to make it.
    pub recipe: Recipe,
    /// Its scores.
    pub scores: Scores,
    /// Its picture, until it is on disk.
    picture: Option<Picture>,
}

/// The best candidates of a run.
pub struct Gallery<'a> {
    run: &'a RunDir,
    recorder: Recorder<'a>,
    /// Candidates that may become finalists. Rejected ones are forgotten, except where a later
    /// candidate may bring them back (the mean rank).
    candidates: BTreeMap<JobId, Candidate>,
    forget: bool,
    on_disk: BTreeSet<JobId>,
    /// Whether what earlier processes left on disk was looked through.
    swept: bool,
    best: Option<JobId>,
}

impl<'a> Gallery<'a> {
    /// An empty gallery; `forget` rejected candidates if they can never come back.
    pub fn new(run: &'a RunDir, recorder: Recorder<'a>, forget: bool) -> Self {
        let (candidates, on_disk) = (BTreeMap::new(), BTreeSet::new());
        Self {
            run,
            recorder,
            candidates,
            forget,
            on_disk,
            swept: false,
            best: None,
        }
    }

    /// Takes in a scored candidate; without a picture when an earlier process made it.
    pub fn add(&mut self, job: &Job, scores: &Scores, picture: Option<Picture>) {
        let (recipe, scores) = (job.recipe.clone(), scores.clone());
        self.candidates.insert(
            job.id,
            Candidate {
                recipe,
                scores,
                picture,
            },
        );
    }

    /// Candidates held in memory.
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// A candidate that may be a finalist.
    pub fn get(&self, job: JobId) -> Option<&Candidate> {
        self.candidates.get(&job)
    }

    /// Forgets what `finalists` leave behind, without touching the disk.
    pub fn trim(&mut self, finalists: &[JobId]) {
        if self.forget {
            self.candidates.retain(|job, _| finalists.contains(job));
        }
    }

    /// Puts the images of `finalists` on disk, best first, and removes those of others.
    pub fn settle(&mut self, finalists: &[JobId]) -> Result<(), Error> {
        self.trim(finalists);
        for &job in finalists {
            self.save(job)?;
        }
        for (job, candidate) in &mut self.candidates {
            if !finalists.contains(job) {
                candidate.picture = None;
            }
        }
        let mut old: Vec<JobId> = self.on_disk.iter().copied().collect();
        if !self.swept {
            old.extend(self.run.candidates()?);
            self.swept = true;
        }
        old.retain(|job| !finalists.contains(job));
        for job in old {
            self.run
                .images
                .remove(&image_name(job))
                .map_err(|source| self.run.disk(source))?;
            self.on_disk.remove(&job);
        }
        Ok(())
    }

    /// Makes the settled image of the first of `finalists` `best.png`; returns whether that was
    /// replaced.
    pub fn crown(&mut self, finalists: &[JobId]) -> Result<bool, Error> {
        let best = finalists.first().copied();
        if best == self.best {
            return Ok(false);
        }
        self.best = best;
        let Some(job) = best.filter(|job| self.on_disk.contains(job)) else {
            return Ok(false);
        };
        let Some((bytes, _)) = self.run.candidate(job)? else {
            return Ok(false);
        };
        self.run.write(BEST, &bytes)?;
        Ok(true)
    }

    /// Those of `finalists` of which there is no image.
    pub fn missing(&self, finalists: &[JobId]) -> Vec<JobId> {
        finalists
            .iter()
            .copied()
            .filter(|job| !self.on_disk.contains(job))
            .collect()
    }

    /// Gives a candidate the picture that was made again; saved by the next `settle`.
    pub fn restore(&mut self, job: JobId, picture: Picture) {
        if let Some(candidate) = self.candidates.get_mut(&job) {
            candidate.picture = Some(picture);
            self.best = None;
        }
    }

    /// Makes sure that the image of a candidate is on disk, if there is a picture of it.
    fn save(&mut self, job: JobId) -> Result<(), Error> {
        if self.on_disk.contains(&job) {
            return Ok(());
        }
        let Some(candidate) = self.candidates.get_mut(&job) else {
            return Ok(());
        };
        let Candidate {
            recipe,
            scores,
            picture,
        } = candidate;
        if let Some(picture) = picture.take() {
            let png = self.recorder.png(&picture, Some(job), recipe, scores);
            let path = || self.run.image_path(job);
            let png = png.map_err(|source| Error::Picture {
                path: path(),
                source,
            })?;
            let put = self.run.images.put(&image_name(job), &png);
            put.map_err(|source| self.run.disk(source))?;
            self.on_disk.insert(job);
        } else if let Some((_, record)) = self.run.candidate(job)? {
            let same = record.recipe == *recipe && record.scores == self.recorder.named(scores);
            if same && record.fingerprint == *self.recorder.fingerprint {
                self.on_disk.insert(job);
            }
        }
        Ok(())
    }
}
