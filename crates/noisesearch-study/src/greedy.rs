//! `choose = "fid"`: answers chosen one after another, each the candidate with which all answers so
//! far have the lowest FID, the greedy oracle of Ma et al. 2025 (arXiv 2501.09732, section 3).
//!
//! The cells of a point are answered seed by seed and, within a seed, task by task, so that the set
//! holds every class once before it holds any twice.

use crate::error::StudyError;
use crate::file::Choice;
use crate::plan::Plan;
use crate::population::{Population, PopulationError};
use noisesearch::registry::Registry;
use noisesearch::spec::Checked;
use noisesearch_core::job::JobId;
use noisesearch_core::search::SearchSpec;
use noisesearch_verifiers::metrics::greedy::Set;

/// The answers of one point so far.
pub struct Greedy(Set);

impl Greedy {
    /// No answers yet, beside the pictures that the model of `spec` was trained on; `None` where
    /// these are not known.
    pub fn new(spec: &Checked, registry: &Registry) -> Result<Option<Self>, StudyError> {
        let population = Population::of(spec, registry)?;
        let nobody = population.map(|population| population.nobody().map(Self));
        Ok(nobody.transpose().map_err(PopulationError::from)?)
    }

    /// The candidate with which the answers come nearest, of those that were described; the first
    /// of equals.
    pub fn nearest<'a>(
        &self,
        candidates: impl Iterator<Item = (JobId, &'a [f32])>,
    ) -> Option<JobId> {
        let described = candidates.filter(|(_, features)| !features.is_empty());
        let distances =
            described.map(|(job, features)| (job, self.0.distance_with(&wide(features))));
        let nearest = distances.reduce(|a, b| if b.1 < a.1 { b } else { a });
        nearest.map(|(job, _)| job)
    }

    /// Takes an answer in.
    pub fn accept(&mut self, features: &[f32]) {
        if !features.is_empty() {
            self.0.accept(&wide(features));
        }
    }
}

fn wide(features: &[f32]) -> Vec<f64> {
    features.iter().copied().map(f64::from).collect()
}

/// The settings whose answers are chosen so.
pub fn settings(plan: &Plan) -> impl Iterator<Item = usize> + '_ {
    let all = 0..plan.settings.len();
    all.filter(|&setting| chooses(plan, setting))
}

/// Whether the answers of a setting are chosen so.
pub fn chooses(plan: &Plan, setting: usize) -> bool {
    plan.file.arms[plan.settings[setting].arm].choose == Some(Choice::Fid)
}

/// The cells of a setting in the order in which they are answered.
pub fn order(plan: &Plan, setting: usize) -> impl Iterator<Item = usize> + '_ {
    let (tasks, seeds) = (plan.tasks.len(), plan.seeds as usize);
    let place = move |seed| move |task: usize| plan.place(task, seed, setting);
    (0..seeds).flat_map(move |seed| (0..tasks).map(place(seed)))
}

/// Refuses a choice over candidates that are not drawn at random, or of pictures that cannot be
/// measured.
pub fn check(plan: &Plan, registry: &Registry) -> Result<(), StudyError> {
    for setting in settings(plan) {
        let (arm, spec) = (plan.settings[setting].arm, &plan.settings[setting].spec);
        let refused = |problem: &str| StudyError::Form {
            path: plan.path.clone(),
            problem: format!(
                "arm `{}`: choose = \"fid\" {problem}",
                plan.file.arms[arm].name
            ),
        };
        if !matches!(spec.search, SearchSpec::Random(_)) {
            return Err(refused(
                "chooses among candidates that nobody steered; leave its search at random",
            ));
        }
        if Greedy::new(spec, registry)?.is_none() {
            return Err(refused(&format!(
                "needs features of training pictures, and none are known for model `{}`; \
                 the lab's glyphs have them",
                spec.model
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::SetMeasure;
    use noisesearch_core::job::JobId;
    use noisesearch_verifiers::glyphs;
    use noisesearch_verifiers::glyphs::judge::Judge;
    use noisesearch_verifiers::glyphs::oracle::Oracle;

    /// Held against the FID of whole sets, which is computed in another way.
    #[test]
    fn the_nearest_is_the_one_with_which_the_whole_set_has_the_lowest_fid() {
        let reference = glyphs::reference().unwrap();
        let oracle = Oracle::new(Judge::oracle().unwrap());
        let population = Population::new(reference.clone(), Box::new(oracle)).unwrap();
        let rows: Vec<&[f32]> = reference.rows().step_by(41).collect();
        let mut greedy = Greedy(population.nobody().unwrap());
        let (accepted, others) = rows.split_at(70);
        accepted.iter().for_each(|row| greedy.accept(row));
        let mut places = std::collections::BTreeSet::new();
        for four in others.chunks_exact(4) {
            let fid = |row: &[f32]| {
                let set = [accepted, &[row]].concat();
                population.measure(SetMeasure::Fid, &set).unwrap().value
            };
            let fids: Vec<f64> = four.iter().map(|row| fid(row)).collect();
            let lowest = (0..4).min_by(|&a, &b| fids[a].total_cmp(&fids[b])).unwrap();
            let nearest = greedy.nearest((0..4).map(|at| (JobId(at as u64), four[at])));
            assert_eq!(nearest, Some(JobId(lowest as u64)), "{fids:?}");
            places.insert(lowest);
        }
        assert!(places.len() > 1, "always the same place says nothing");
        assert_eq!(greedy.nearest([(JobId(0), &[][..])].into_iter()), None);
    }
}
