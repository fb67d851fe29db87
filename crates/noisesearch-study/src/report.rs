//! `report.html` of a study: claims first, then figures, every number, samples and methods.

use crate::answers::{Answers, AnswersError, places};
use crate::check::{self, CheckError, Place};
use crate::claims::{self, ClaimError, Finding, Verdict};
use crate::curse::{How, corrected};
use crate::figures::{self, FigureError, scaled};
use crate::file::{CostAxis, Figure, FigureKind, StudyFile};
use crate::measure::Measure;
use crate::overlay::{self, OverlayError};
use crate::page;
use crate::plot::scale::short;
use crate::plot::{Drawing, PngError};
use crate::population::Population;
use crate::row::Row;
use crate::samples;
use crate::stats::{self, spearman};
use crate::wins;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A study with its answers.
#[derive(Clone, Copy)]
pub struct Study<'a> {
    /// Stem of its file.
    pub stem: &'a str,
    /// Folder of its file, from which overlays are found.
    pub folder: &'a Path,
    /// What was asked.
    pub file: &'a StudyFile,
    /// What was answered.
    pub rows: &'a [Row],
    /// What sets of answers are measured against, where their model has such.
    pub population: Option<&'a Population>,
}

/// Makes the picture of an answer, a PNG of at most a few hundred pixels; `None` where it cannot.
pub type Pictures<'p> = dyn FnMut(&Row) -> Option<Vec<u8>> + 'p;

/// A report that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The answers do not fit.
    #[error(transparent)]
    Answers(#[from] AnswersError),
    /// The file names what is not there.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// A claim cannot be evaluated.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// A figure cannot be drawn.
    #[error(transparent)]
    Figure(#[from] FigureError),
    /// Published values cannot be read.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// A figure cannot be rendered.
    #[error(transparent)]
    Png(#[from] PngError),
    /// A row cannot be written as JSON.
    #[error("cannot write a row of the results: {0}")]
    Row(#[from] serde_json::Error),
    /// The disk.
    #[error("cannot write {path}: {source}; check space and rights, and run the study again")]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Folder of the figures beside `report.html`.
pub const FIGURES: &str = "figures";

/// Writes `report.html` and `figures/NAME.svg` and `.png` into `out`.
pub fn write(study: &Study, out: &Path, pictures: &mut Pictures) -> Result<(), ReportError> {
    let answers = Answers::new(study.file, study.rows, study.population)?;
    let drawings = drawings(study, &answers)?;
    for (name, drawing) in &drawings {
        save(&out.join(FIGURES), name, drawing)?;
    }
    let body = Body {
        study,
        answers: &answers,
    }
    .html(&drawings, pictures)?;
    put(
        &out.join("report.html"),
        page::whole(&study.file.title, &body).as_bytes(),
    )
}

/// Every figure of the file by its name, and one by category where the file has none but could.
pub fn drawings(study: &Study, answers: &Answers) -> Result<Vec<(String, Drawing)>, ReportError> {
    let mut drawings = Vec::new();
    for figure in study
        .file
        .figures
        .iter()
        .chain(&by_category(study.file, answers))
    {
        let published = match &figure.overlay {
            Some(path) => overlay::read(&study.folder.join(path))?,
            None => Vec::new(),
        };
        drawings.push((
            figure.name.clone(),
            figures::draw(answers, figure, &published)?,
        ));
    }
    Ok(drawings)
}

fn by_category(file: &StudyFile, answers: &Answers) -> Option<Figure> {
    let drawn = file
        .figures
        .iter()
        .any(|figure| figure.kind == FigureKind::Categories);
    let passes = places(file).into_iter().flat_map(|place| answers.at(place));
    let judge = passes.flat_map(|row| row.passes.keys()).next()?;
    let several = answers.categories().len() > 1;
    let taken = file
        .figures
        .iter()
        .any(|figure| figure.name == "by-category");
    (several && !drawn && !taken).then(|| Figure {
        name: "by-category".into(),
        title: "By category".into(),
        kind: FigureKind::Categories,
        x: CostAxis::default(),
        measures: vec![format!("pass:{judge}")],
        arms: None,
        overlay: None,
    })
}

/// Writes `NAME.svg` and `NAME.png` into `folder`, made if need be.
pub fn save(folder: &Path, name: &str, drawing: &Drawing) -> Result<(), ReportError> {
    let made = std::fs::create_dir_all(folder);
    made.map_err(|source| ReportError::Write {
        path: folder.to_owned(),
        source,
    })?;
    put(
        &folder.join(format!("{name}.svg")),
        drawing.svg().as_bytes(),
    )?;
    put(&folder.join(format!("{name}.png")), &drawing.png()?)
}

/// Writes a whole file, or leaves the old one.
pub fn put(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let draft = path.with_extension("part");
    let written = std::fs::write(&draft, bytes).and_then(|()| std::fs::rename(&draft, path));
    written.map_err(|source| ReportError::Write {
        path: path.to_owned(),
        source,
    })
}

/// The measures that a study's claims and figures name, and every score and pass of its answers.
pub fn measures(file: &StudyFile, answers: &Answers) -> Vec<Measure> {
    let mut found: BTreeSet<Measure> = check::measures(file).collect();
    for row in places(file).into_iter().flat_map(|place| answers.at(place)) {
        found.extend(row.scores.keys().map(|name| Measure::Score(name.clone())));
        found.extend(row.passes.keys().map(|name| Measure::Pass(name.clone())));
    }
    found.into_iter().collect()
}

struct Body<'a> {
    study: &'a Study<'a>,
    answers: &'a Answers<'a>,
}

impl Body<'_> {
    fn html(
        &self,
        drawings: &[(String, Drawing)],
        pictures: &mut Pictures,
    ) -> Result<String, ReportError> {
        let mut html = self.head(&claims::findings(self.answers)?);
        for (_, drawing) in drawings {
            html += &page::card(&drawing.inline());
        }
        html += &self.curse()?;
        html += &wins::html(self.answers);
        html += &samples::html(self.answers, pictures);
        html += &self.numbers()?;
        html += &self.agreement();
        html += &self.methods()?;
        Ok(html)
    }

    fn head(&self, findings: &[Finding]) -> String {
        let file = self.study.file;
        let overall = claims::overall(findings);
        let held = findings
            .iter()
            .filter(|f| f.verdict == Verdict::Holds)
            .count();
        let mut html = format!(
            "<h1>{}</h1><p>{}</p><p class=\"soft\">{}</p><p>{} {held} of {} claims hold, over {} \
             answers.</p>",
            page::text(&file.title),
            page::text(&file.statement),
            page::text(&file.source),
            chip(overall),
            findings.len(),
            self.answers.n(),
        );
        if let Some(remark) = &file.remark {
            html += &format!("<p>{}</p>", page::text(remark));
        }
        let rows = findings.iter().map(|finding| {
            let effect = finding
                .effect
                .map(|effect| scaled(effect, &finding.measure));
            vec![
                format!("{}{}", page::text(&finding.claim.says), contrast(finding)),
                chip(finding.verdict),
                page::estimate(effect, true) + finding.measure.unit(),
                effect.map_or(0, |effect| effect.n).to_string(),
            ]
        });
        let head = ["claim", "", "effect, 95 %", "n"].map(str::to_owned);
        html + &page::card(&page::table(&head, &rows.collect::<Vec<_>>()))
    }

    /// Selected scores with the winner's-curse correction, at each arm's last point.
    fn curse(&self) -> Result<String, ReportError> {
        let mut rows = Vec::new();
        for arm in 0..self.study.file.arms.len() {
            let Some(found) = corrected(self.answers, self.answers.last(arm))? else {
                continue;
            };
            rows.push(vec![
                page::text(&self.study.file.arms[arm].name),
                page::text(&found.verifier),
                page::estimate(Some(found.candidates), false),
                page::estimate(Some(found.selected), false),
                page::estimate(Some(found.corrected), false),
                match found.how {
                    How::AskedAgain => "asked again".to_owned(),
                    How::Shrunk { reliability, judge } => format!(
                        "{reliability:.2}<br><small>by {}</small>",
                        page::text(&judge)
                    ),
                },
            ]);
        }
        if rows.is_empty() {
            return Ok(String::new());
        }
        let head = [
            "arm",
            "optimised",
            "a candidate",
            "the selected",
            "corrected",
            "reliability",
        ];
        Ok(format!(
            "<h2>The winner's curse</h2><p>At the last points, over {} answers each. A selected \
             score was chosen for being high. Corrected is what is left of it when the part is \
             taken away that the best-agreeing verifier that was not optimised does not confirm: \
             candidates + reliability x (selected - candidates). A verifier that may answer \
             otherwise is asked again instead.</p>{}",
            self.answers.n(),
            page::card(&page::table(&head.map(str::to_owned), &rows))
        ))
    }

    /// Every measure at every point.
    fn numbers(&self) -> Result<String, ReportError> {
        let measures = measures(self.study.file, self.answers);
        let mut rows = Vec::new();
        for place in places(self.study.file) {
            let cost = |axis| {
                self.answers
                    .cost(place, axis)
                    .map_or("\u{2013}".into(), short)
            };
            let name = page::text(&self.study.file.arms[place.arm].name);
            let mut row = vec![
                format!("{name}@{}", place.point),
                cost(CostAxis::Candidates),
            ];
            row.push(cost(CostAxis::TotalNfe));
            for measure in &measures {
                let level = self.answers.level(place, measure, None)?;
                let few = level.filter(|level| level.n != self.answers.n());
                let few = few.map(|level| format!("<br><small>n = {}</small>", level.n));
                let level = level.map(|level| scaled(level, measure));
                row.push(page::estimate(level, false) + &few.unwrap_or_default());
            }
            rows.push(row);
        }
        let mut head: Vec<String> = ["arm@point", "candidates", "NFE"].map(str::to_owned).into();
        head.extend(measures.iter().map(|measure| page::text(&measure.title())));
        Ok(format!(
            "<h2>Every number</h2><p>Of {} answers where no other n is said, with 95 % intervals \
             of their own; differences of arms are paired and narrower, see the claims.</p>{}",
            self.answers.n(),
            page::card(&page::table(&head, &rows))
        ))
    }

    /// How verifiers order the answers without search.
    fn agreement(&self) -> String {
        let rows = self.answers.at(Place { arm: 0, point: 0 });
        let names: BTreeSet<&String> = rows.iter().flat_map(|row| row.scores.keys()).collect();
        let column = |name: &String| -> Vec<f64> {
            rows.iter()
                .filter_map(|row| row.scores.get(name).copied())
                .collect()
        };
        let columns: Vec<(&String, Vec<f64>)> =
            names.into_iter().map(|name| (name, column(name))).collect();
        let whole = |values: &Vec<f64>| values.len() == rows.len() && rows.len() > 2;
        if columns.len() < 2 || !columns.iter().all(|(_, values)| whole(values)) {
            return String::new();
        }
        let mut head = vec![String::new()];
        head.extend(columns.iter().map(|(name, _)| page::text(name)));
        let row = |(name, values): &(&String, Vec<f64>)| {
            let cells = columns
                .iter()
                .map(|(_, other)| format!("{:.2}", spearman(values, other)));
            std::iter::once(page::text(name)).chain(cells).collect()
        };
        let table = page::table(&head, &columns.iter().map(row).collect::<Vec<_>>());
        format!(
            "<h2>How the verifiers agree</h2><p>Spearman's rank correlation over {} answers \
             without search.</p>{}",
            rows.len(),
            page::card(&table)
        )
    }

    fn methods(&self) -> Result<String, ReportError> {
        let arms = 0..self.study.file.arms.len();
        let sum = |axis| -> f64 {
            let of = |arm| {
                self.answers
                    .cost(self.answers.last(arm), axis)
                    .unwrap_or(0.0)
            };
            arms.clone().map(of).sum::<f64>() * self.answers.n() as f64
        };
        let cautions = self.answers.cautions()?.into_iter();
        let cautions =
            cautions.map(|caution| format!("<p>{}.</p>", page::text(&caution.to_string())));
        Ok(format!(
            "<h2>Methods</h2><p>{n} pairs of task and seed ({tasks} tasks), answered by every arm \
             at every point; {out} left out because some point has no answer. Intervals are 95 %: \
             bias-corrected and accelerated bootstrap over the pairs with {resamples} resamples, \
             exact binomial limits for shares of pairs that are all alike, and for {sets} a \
             jackknife over {groups} groups of pairs. All are paired: all arms \
             share the draws and the groups. A claim holds when its whole interval is above zero \
             and does not when it is at or below. Costs are what was billed; at their last points \
             all arms together were billed {nfe} NFE ({passes} passes) and took {seconds} s of \
             evaluations, candidates that arms share counted for each.</p>{cautions}",
            cautions = cautions.collect::<String>(),
            n = self.answers.n(),
            tasks = self.answers.tasks(),
            out = self.answers.left_out,
            resamples = stats::RESAMPLES,
            groups = stats::GROUPS,
            sets = "FID, Inception score, precision and recall",
            nfe = short(sum(CostAxis::TotalNfe)),
            passes = short(sum(CostAxis::Passes)),
            seconds = short(sum(CostAxis::Seconds)),
        ))
    }
}

fn chip(verdict: Verdict) -> String {
    let words = verdict.words();
    format!(
        "<span class=\"chip {}\">{words}</span>",
        words.replace(' ', "-")
    )
}

/// The contrast in small letters, such as `clip: random@-1 - random@0`.
fn contrast(finding: &Finding) -> String {
    let category = finding.claim.category.as_ref();
    let category = category.map_or(String::new(), |name| format!(" of {name}"));
    let terms = terms(finding);
    let measure = &finding.measure;
    format!(
        "<br><small>{}</small>",
        page::text(&format!("{measure}{category}: {terms}"))
    )
}

/// The contrast as a sum.
pub fn terms(finding: &Finding) -> String {
    let mut sum = String::new();
    let mut terms: Vec<(&String, &f64)> = finding.claim.contrast.iter().collect();
    terms.sort_by(|a, b| b.1.total_cmp(a.1));
    for (selector, &weight) in terms {
        let sign = match (weight < 0.0, sum.is_empty()) {
            (true, true) => "\u{2212}",
            (true, false) => " \u{2212} ",
            (false, true) => "",
            (false, false) => " + ",
        };
        let factor = match weight.abs() {
            1.0 => String::new(),
            other => format!("{} ", short(other)),
        };
        sum += &format!("{sign}{factor}{selector}");
    }
    sum
}

#[cfg(test)]
mod tests;
