//! The answers of a study, in order: who answered what, and what can be estimated from them.

use crate::check::{self, Place};
use crate::file::{CostAxis, StudyFile};
use crate::measure::{Measure, SetMeasure};
use crate::population::{Population, PopulationError};
use crate::row::{Cost, Row};
use crate::stats::{self, Estimate};
use noisesearch_verifiers::metrics::Caution;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// A task with a seed: what is drawn again by the bootstrap.
type Unit<'a> = (&'a str, u64);
/// What a measure of a set was asked of.
type Asked = (Place, SetMeasure, Option<String>);

/// Rows that do not belong to the study's file, or cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum AnswersError {
    /// A row of another arm or point.
    #[error(
        "the results hold point {point} of arm `{arm}`, which the study's file does not have; \
         run the study again into a new directory"
    )]
    Stranger {
        /// As the row has it.
        arm: String,
        /// As the row has it.
        point: usize,
    },
    /// Two rows of one cell.
    #[error("the results hold two answers of point {point} of arm `{arm}` to \"{task}\"")]
    Twice {
        /// The arm.
        arm: String,
        /// The point.
        point: usize,
        /// The task.
        task: String,
    },
    /// A measure of a set failed.
    #[error(transparent)]
    Population(#[from] PopulationError),
}

/// The answers of one study. Only tasks that every point of every arm answered are compared, so
/// that all numbers are of the same tasks.
pub struct Answers<'a> {
    /// What was asked.
    pub file: &'a StudyFile,
    /// The units that every place has, in the order of the rows.
    units: Vec<Unit<'a>>,
    /// Units that some place lacks.
    pub left_out: usize,
    rows: BTreeMap<Place, Vec<&'a Row>>,
    population: Option<&'a Population>,
    /// A measure of a set, whole and then without each group.
    sets: RefCell<BTreeMap<Asked, Vec<f64>>>,
}

impl<'a> Answers<'a> {
    /// Orders `rows`; `population` gives the measures of sets.
    pub fn new(
        file: &'a StudyFile,
        rows: &'a [Row],
        population: Option<&'a Population>,
    ) -> Result<Self, AnswersError> {
        let mut cells: BTreeMap<(Place, Unit), &Row> = BTreeMap::new();
        let mut units: Vec<Unit> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for row in rows {
            let arm = file.arms.iter().position(|arm| arm.name == row.arm);
            let arm = arm.filter(|&arm| row.point < file.arms[arm].points.len());
            let Some(arm) = arm else {
                let (arm, point) = (row.arm.clone(), row.point);
                return Err(AnswersError::Stranger { arm, point });
            };
            let unit = (row.task.as_str(), row.seed);
            if seen.insert(unit) {
                units.push(unit);
            }
            let place = Place {
                arm,
                point: row.point,
            };
            if cells.insert((place, unit), row).is_some() {
                let (arm, point, task) = (row.arm.clone(), row.point, row.task.clone());
                return Err(AnswersError::Twice { arm, point, task });
            }
        }
        let all = units.len();
        let places = places(file);
        units.retain(|&unit| {
            places
                .iter()
                .all(|&place| cells.contains_key(&(place, unit)))
        });
        let of = |&place: &Place| {
            let found = units
                .iter()
                .filter_map(|&unit| cells.get(&(place, unit)).copied());
            (place, found.collect())
        };
        Ok(Self {
            file,
            left_out: all - units.len(),
            rows: places.iter().map(of).collect(),
            units,
            population,
            sets: RefCell::default(),
        })
    }

    /// Pairs of task and seed that are compared.
    pub fn n(&self) -> usize {
        self.units.len()
    }

    /// Different tasks among them.
    pub fn tasks(&self) -> usize {
        let tasks: std::collections::BTreeSet<&str> = self.units.iter().map(|u| u.0).collect();
        tasks.len()
    }

    /// The answers of one place, one a unit, in the same order everywhere.
    pub fn at(&self, place: Place) -> &[&'a Row] {
        self.rows.get(&place).map_or(&[], Vec::as_slice)
    }

    /// Categories of the tasks, in order of the alphabet.
    pub fn categories(&self) -> Vec<&'a str> {
        let first = self.rows.values().next();
        let found = first
            .into_iter()
            .flatten()
            .filter_map(|row| row.category.as_deref());
        let unique: std::collections::BTreeSet<&str> = found.collect();
        unique.into_iter().collect()
    }

    /// The last point of an arm.
    pub fn last(&self, arm: usize) -> Place {
        let point = self.file.arms[arm].points.len().saturating_sub(1);
        Place { arm, point }
    }

    /// The mean cost of a place; `None` where it is not known.
    pub fn cost(&self, place: Place, axis: CostAxis) -> Option<f64> {
        let of = |cost: &Cost| match axis {
            CostAxis::TotalNfe => Some((cost.search_nfe + cost.final_nfe) as f64),
            CostAxis::PaperNfe => Some(cost.paper_nfe as f64),
            CostAxis::Candidates => Some(cost.candidates as f64),
            CostAxis::Passes => Some(cost.passes as f64),
            CostAxis::Gflop => cost.gflop,
            CostAxis::Seconds => Some(cost.seconds),
        };
        let costs: Option<Vec<f64>> = self.at(place).iter().map(|row| of(&row.cost)).collect();
        costs
            .filter(|costs| !costs.is_empty())
            .map(|costs| stats::mean(&costs))
    }

    /// A measure at one place, of all tasks or those of one category; its interval lies within the
    /// measure's range.
    pub fn level(
        &self,
        place: Place,
        measure: &Measure,
        category: Option<&str>,
    ) -> Result<Option<Estimate>, AnswersError> {
        let found = self.estimate(&[place], (measure, category), &|values| values[0])?;
        Ok(found.map(|level| level.within(measure.range())))
    }

    /// A function of a measure at several places, over the units that have it at all of them;
    /// `None` where there are none. Paired: every resample draws the same units everywhere. Of
    /// passes it must be a sum with weights.
    pub fn estimate(
        &self,
        places: &[Place],
        (measure, category): (&Measure, Option<&str>),
        of: &dyn Fn(&[f64]) -> f64,
    ) -> Result<Option<Estimate>, AnswersError> {
        match measure {
            Measure::Set(which) => self.of_sets(places, (*which, category), of),
            Measure::Pass(_) => {
                let columns = self.columns(places, measure, category);
                Ok(stats::bootstrap_of_shares(&columns, of))
            }
            one => Ok(stats::bootstrap(&self.columns(places, one, category), of)),
        }
    }

    /// The values of a measure at places, only units that have it at all of them.
    pub fn columns(
        &self,
        places: &[Place],
        measure: &Measure,
        category: Option<&str>,
    ) -> Vec<Vec<f64>> {
        let mut columns = vec![Vec::new(); places.len()];
        for unit in 0..self.n() {
            let rows = places.iter().map(|&place| self.at(place)[unit]);
            let value = |row: &Row| match category.is_none() || row.category.as_deref() == category
            {
                true => value(row, measure),
                false => None,
            };
            if let Some(values) = rows.map(value).collect::<Option<Vec<f64>>>() {
                columns
                    .iter_mut()
                    .zip(values)
                    .for_each(|(column, value)| column.push(value));
            }
        }
        columns
    }

    fn of_sets(
        &self,
        places: &[Place],
        (which, category): (SetMeasure, Option<&str>),
        of: &dyn Fn(&[f64]) -> f64,
    ) -> Result<Option<Estimate>, AnswersError> {
        let sets = places.iter().map(|&place| self.set(place, which, category));
        let sets: Vec<Vec<f64>> = sets.collect::<Result<_, _>>()?;
        let parts = sets.iter().map(Vec::len).min().unwrap_or(0);
        if parts == 0 {
            return Ok(None);
        }
        let value = |part: usize| of(&sets.iter().map(|set| set[part]).collect::<Vec<_>>());
        let without: Vec<f64> = (1..parts).map(value).collect();
        let n = self.described(places[0], category).len();
        Ok(Some(stats::jackknife(value(0), &without, n)))
    }

    /// Why measures of sets that the study names should be read with care, each once.
    pub fn cautions(&self) -> Result<Vec<Caution>, AnswersError> {
        let described = self.described(Place { arm: 0, point: 0 }, None);
        let (Some(population), false) = (self.population, described.is_empty()) else {
            return Ok(Vec::new());
        };
        let answers: Vec<&[f32]> = described.iter().map(|(_, features)| *features).collect();
        let mut cautions = Vec::new();
        for measure in check::measures(self.file) {
            let Measure::Set(which) = measure else {
                continue;
            };
            let found = population.measure(which, &answers)?.caution;
            cautions.extend(found.filter(|caution| !cautions.contains(caution)));
        }
        Ok(cautions)
    }

    /// Features of the answers there, with the number of their unit.
    fn described(&self, place: Place, category: Option<&str>) -> Vec<(usize, &'a [f32])> {
        let rows = self.at(place).iter().enumerate();
        let wanted = |row: &Row| category.is_none() || row.category.as_deref() == category;
        let kept = rows.filter(|(_, row)| wanted(row) && !row.features.is_empty());
        kept.map(|(unit, row)| (unit, row.features.as_slice()))
            .collect()
    }

    /// A measure of the answers of one place, then without each group of units; empty where
    /// answers were not described. Groups are the same at every place.
    fn set(
        &self,
        place: Place,
        which: SetMeasure,
        category: Option<&str>,
    ) -> Result<Vec<f64>, AnswersError> {
        let asked = (place, which, category.map(str::to_owned));
        if let Some(known) = self.sets.borrow().get(&asked) {
            return Ok(known.clone());
        }
        let described = self.described(place, category);
        let (Some(population), false) = (self.population, described.is_empty()) else {
            return Ok(Vec::new());
        };
        let measure = |keep: &dyn Fn(usize) -> bool| {
            let kept = described.iter().filter(|(unit, _)| keep(*unit));
            let kept: Vec<&[f32]> = kept.map(|(_, features)| *features).collect();
            population.measure(which, &kept).map(|found| found.value)
        };
        let mut values = vec![measure(&|_| true)?];
        if described.len() >= stats::GROUPED_UNITS_MIN {
            for group in 0..stats::GROUPS {
                values.push(measure(&|unit| unit % stats::GROUPS != group)?);
            }
        }
        self.sets.borrow_mut().insert(asked, values.clone());
        Ok(values)
    }
}

/// Every place of a study, arm by arm from cheap to dear.
pub fn places(file: &StudyFile) -> Vec<Place> {
    let arms = file.arms.iter().enumerate();
    arms.flat_map(|(arm, table)| (0..table.points.len()).map(move |point| Place { arm, point }))
        .collect()
}

/// What one answer has of a measure.
fn value(row: &Row, measure: &Measure) -> Option<f64> {
    match measure {
        Measure::Score(verifier) => row.scores.get(verifier).copied(),
        Measure::Pass(verifier) => row.passes.get(verifier).map(|&passes| f64::from(passes)),
        Measure::Rank(verifier) => row.ranks.get(verifier).copied(),
        Measure::Set(_) => None,
    }
}
