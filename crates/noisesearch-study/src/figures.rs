//! The figures of a study: which numbers go where.

use crate::answers::{Answers, AnswersError};
use crate::check::{self, CheckError, Place};
use crate::file::{CostAxis, Figure, FigureKind};
use crate::measure::Measure;
use crate::overlay::Published;
use crate::plot::Drawing;
use crate::plot::curves::{Chart, Curve, Panel, Point};
use crate::plot::heat::{Cell, Heat};
use crate::stats::Estimate;

/// A figure that cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum FigureError {
    /// It names what is not there.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The answers cannot be measured.
    #[error(transparent)]
    Answers(#[from] AnswersError),
}

/// The drawing of one figure; `published` are the values of its overlay.
pub fn draw(
    answers: &Answers,
    figure: &Figure,
    published: &[Published],
) -> Result<Drawing, FigureError> {
    let arms = arms(answers, figure)?;
    let sketch = Sketch {
        answers,
        figure,
        published,
        arms,
    };
    match figure.kind {
        FigureKind::Curves | FigureKind::Frontier => Ok(sketch.chart()?.draw()),
        FigureKind::Matrix => Ok(sketch.matrix()?.draw()),
        FigureKind::Categories => Ok(sketch.categories()?.draw()),
    }
}

/// Places of the arms that a figure shows.
pub fn arms(answers: &Answers, figure: &Figure) -> Result<Vec<usize>, CheckError> {
    let whose = format!("figure `{}`", figure.name);
    match &figure.arms {
        None => Ok((0..answers.file.arms.len()).collect()),
        Some(names) => names
            .iter()
            .map(|n| check::arm(answers.file, &whose, n))
            .collect(),
    }
}

/// Heading of a cost axis.
pub fn axis_title(axis: CostAxis) -> &'static str {
    match axis {
        CostAxis::TotalNfe => "NFE, search and final generation",
        CostAxis::PaperNfe => "NFE as the paper plots it",
        CostAxis::Candidates => "candidates",
        CostAxis::Passes => "network passes",
        CostAxis::Gflop => "GFLOP of network passes",
        CostAxis::Seconds => "seconds of evaluations",
    }
}

/// An estimate in the unit in which its measure is shown.
pub fn scaled(of: Estimate, measure: &Measure) -> Estimate {
    let scale = measure.scale();
    let (value, low, high) = (scale * of.value, scale * of.low, scale * of.high);
    Estimate {
        value,
        low,
        high,
        n: of.n,
    }
}

/// One figure and what it is made of.
struct Sketch<'a> {
    answers: &'a Answers<'a>,
    figure: &'a Figure,
    published: &'a [Published],
    arms: Vec<usize>,
}

impl Sketch<'_> {
    fn name(&self, arm: usize) -> &str {
        &self.answers.file.arms[arm].name
    }

    /// No search: the first point of the study's first arm.
    fn base(&self) -> Place {
        Place { arm: 0, point: 0 }
    }

    fn chart(&self) -> Result<Chart, FigureError> {
        let panels = self.figure.measures.iter().map(|name| self.panel(name));
        Ok(Chart {
            title: self.figure.title.clone(),
            x_title: format!(
                "{} (n\u{a0}=\u{a0}{})",
                axis_title(self.figure.x),
                self.answers.n()
            ),
            panels: panels.collect::<Result<_, _>>()?,
        })
    }

    fn panel(&self, name: &str) -> Result<Panel, FigureError> {
        let measure = Measure::named(name);
        let mut curves = Vec::new();
        for &arm in &self.arms {
            let count = self.answers.file.arms[arm].points.len();
            let mut points = Vec::new();
            for point in 0..count {
                let place = Place { arm, point };
                let level = self.answers.level(place, &measure, None)?;
                let cost = self.answers.cost(place, self.figure.x);
                let known = cost.zip(level.map(|level| scaled(level, &measure)));
                points.extend(known.map(|(x, y)| Point { x, y }));
            }
            points.sort_by(|a, b| a.x.total_cmp(&b.x));
            let name = self.name(arm).to_owned();
            let published = self.values_of(&name, &measure);
            curves.push(Curve {
                name,
                series: curves.len(),
                points,
                published,
            });
        }
        for name in self.only_published() {
            let published = self.values_of(name, &measure);
            let series = curves.len();
            curves.push(Curve {
                name: name.to_owned(),
                series,
                points: Vec::new(),
                published,
            });
        }
        Ok(Panel {
            title: measure.title(),
            curves,
            falls: measure.falls(),
            frontier: self.figure.kind == FigureKind::Frontier,
        })
    }

    /// Published cost and value of an arm, by growing cost.
    fn values_of(&self, arm: &str, measure: &Measure) -> Vec<(f64, f64)> {
        let measure = measure.to_string();
        let values = self.published.iter();
        let values = values.filter(|value| value.arm == arm && value.measure == measure);
        let mut values: Vec<(f64, f64)> = values
            .filter_map(|value| Some((value.cost()?, value.value)))
            .collect();
        values.sort_by(|a, b| a.0.total_cmp(&b.0));
        values
    }

    /// Names of published curves that the study has no arm for.
    fn only_published(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for value in self.published {
            let ours = self
                .answers
                .file
                .arms
                .iter()
                .any(|arm| arm.name == value.arm);
            if !ours && !names.contains(&value.arm.as_str()) {
                names.push(&value.arm);
            }
        }
        names
    }

    fn matrix(&self) -> Result<Heat, FigureError> {
        let measures = self.figure.measures.iter().map(|name| Measure::named(name));
        let measures: Vec<Measure> = measures.collect();
        let mut rows = Vec::new();
        for &arm in &self.arms {
            let cells = measures.iter().map(|measure| self.gain(arm, measure));
            rows.push((self.name(arm).to_owned(), cells.collect::<Result<_, _>>()?));
        }
        Ok(Heat {
            title: self.figure.title.clone(),
            note: format!(
                "Gain of each arm's last point over no search, relative or of shares in percentage \
                 points, paired over {} answers; below, the 95 % interval. Blue is better, \
                 orange is worse.",
                self.answers.n()
            ),
            corner: "optimised".into(),
            columns: measures.iter().map(Measure::title).collect(),
            rows,
        })
    }

    /// The gain of an arm over no search: relative in percent, of shares in percentage points.
    fn gain(&self, arm: usize, measure: &Measure) -> Result<Cell, FigureError> {
        let places = [self.base(), self.answers.last(arm)];
        let share = matches!(measure, Measure::Pass(_));
        let gain = |values: &[f64]| {
            let whole = if share { 1.0 } else { values[0].abs() };
            100.0 * (values[1] - values[0]) / whole
        };
        let found = self.answers.estimate(&places, (measure, None), &gain)?;
        let found = found.filter(|gain| gain.value.is_finite());
        let sign = if measure.falls() { -1.0 } else { 1.0 };
        Ok(Cell {
            gain: found.map_or(0.0, |gain| sign * gain.value),
            value: found,
            signed: true,
            unit: if share { " points" } else { " %" },
            published: self.published_in(self.name(arm), "", measure),
        })
    }

    fn published_in(&self, arm: &str, x: &str, measure: &Measure) -> Option<f64> {
        let name = measure.to_string();
        let same = |value: &&Published| value.arm == arm && value.x == x && value.measure == name;
        self.published.iter().find(same).map(|value| value.value)
    }

    fn categories(&self) -> Result<Heat, FigureError> {
        // A file that was checked has a measure.
        let measure = Measure::named(self.figure.measures.first().map_or("", String::as_str));
        let categories = self.answers.categories();
        let mut rows = vec![("no search".to_owned(), self.base(), "no search")];
        for &arm in &self.arms {
            rows.push((
                self.name(arm).to_owned(),
                self.answers.last(arm),
                self.name(arm),
            ));
        }
        let mut cells = Vec::new();
        for (name, place, published) in rows {
            let of = |category: &&str| self.category(place, published, (category, &measure));
            cells.push((name, categories.iter().map(of).collect::<Result<_, _>>()?));
        }
        let column = |category: &&str| {
            let n = self.answers.at(self.base()).iter();
            let n = n
                .filter(|row| row.category.as_deref() == Some(*category))
                .count();
            format!("{category} (n\u{a0}=\u{a0}{n})")
        };
        Ok(Heat {
            title: format!("{}: {}", self.figure.title, measure.title()),
            note: "At each arm's last point; below, the 95 % interval. Shaded by the difference \
                   to no search: blue is better, orange is worse."
                .into(),
            corner: "chosen by".into(),
            columns: categories.iter().map(column).collect(),
            rows: cells,
        })
    }

    fn category(
        &self,
        place: Place,
        arm: &str,
        (category, measure): (&str, &Measure),
    ) -> Result<Cell, FigureError> {
        let level = self.answers.level(place, measure, Some(category))?;
        let base = self.answers.level(self.base(), measure, Some(category))?;
        let sign = if measure.falls() { -1.0 } else { 1.0 };
        let gain = level
            .zip(base)
            .map_or(0.0, |(level, base)| sign * (level.value - base.value));
        Ok(Cell {
            value: level.map(|level| scaled(level, measure)),
            signed: false,
            unit: measure.unit(),
            gain,
            published: self.published_in(arm, category, measure),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FILE, file, rows};
    use resvg::usvg::roxmltree::Document;

    fn texts(name: &str, published: &[Published]) -> Vec<String> {
        let study = file(FILE);
        let rows = rows(&study, 30, &|arm, point| {
            0.45 + [0.0, 0.05][arm] * point as f64
        });
        let answers = Answers::new(&study, &rows, None).unwrap();
        let figure = study
            .figures
            .iter()
            .find(|figure| figure.name == name)
            .unwrap();
        let svg = draw(&answers, figure, published).unwrap().svg();
        let document = Document::parse(&svg).unwrap();
        let nodes = document
            .descendants()
            .filter(|node| node.has_tag_name("text"));
        nodes
            .filter_map(|node| node.text().map(str::to_owned))
            .collect()
    }

    fn has(texts: &[String], wanted: &[&str]) {
        for text in wanted {
            assert!(
                texts.iter().any(|found| found == text),
                "{text} is not in {texts:?}"
            );
        }
    }

    #[test]
    fn curves_name_arms_axes_and_costs() {
        let found = texts("scaling", &[]);
        has(
            &found,
            &["steps", "random", "clip score", "passes grader, %"],
        );
        has(&found, &["16", "64", "256"]);
        has(
            &found,
            &["NFE, search and final generation (n\u{a0}=\u{a0}30)"],
        );
        has(&texts("frontier", &[]), &["best at this cost"]);
    }

    #[test]
    fn published_values_join_their_arm_or_get_a_curve() {
        let value = |arm: &str, x: &str| Published {
            arm: arm.into(),
            x: x.into(),
            measure: "clip".into(),
            value: 0.5,
        };
        let found = texts(
            "scaling",
            &[value("random", "16"), value("their tree search", "64")],
        );
        has(&found, &["published", "their tree search"]);
        has(
            &texts("matrix", &[value("random", "")]),
            &["published +0.500"],
        );
    }

    #[test]
    fn tables_have_gains_and_categories() {
        // Search gains 0.1 over 0.45 in all, steps gain nothing.
        let found = texts("matrix", &[]);
        let gain = found.iter().filter_map(|text| text.strip_suffix(" %"));
        let gains: Vec<f64> = gain
            .filter_map(|text| text.strip_prefix('+')?.parse().ok())
            .collect();
        assert!(
            gains.iter().any(|gain| (gain - 22.2).abs() < 3.0),
            "{found:?}"
        );
        let found = texts("categories", &[]);
        has(&found, &["no search", "random"]);
    }

    /// Regression: a narrow column was headed "colour (n =" and "10)".
    #[test]
    fn a_number_of_answers_stays_on_its_line() {
        for text in texts("categories", &[]) {
            assert!(!text.ends_with('='), "{text}");
        }
        let lines = crate::plot::canvas::wrapped("colour (n\u{a0}=\u{a0}10)", 12.5, 60.0);
        assert_eq!(lines, ["colour", "(n\u{a0}=\u{a0}10)"]);
    }
}
