//! `findings.md`: what several studies found, each with its figure, verdict, numbers and cost.

use crate::answers::{Answers, AnswersError};
use crate::checksum::checksum;
use crate::claims::{self, Finding, Verdict};
use crate::curse::{How, corrected};
use crate::figures::scaled;
use crate::file::CostAxis;
use crate::plot::heat::{interval, shown};
use crate::plot::scale::short;
use crate::report::{self, ReportError, Study};
use std::fmt::Write;
use std::path::Path;

/// Writes the page to `path`, and its figures as SVG and PNG into the folder of the same name
/// without the extension.
pub fn write(studies: &[Study], path: &Path) -> Result<(), ReportError> {
    let folder = path.with_extension("");
    let link = folder
        .file_name()
        .map_or("findings".into(), |name| name.to_string_lossy());
    let mut sections = String::new();
    let mut summary =
        String::from("| finding | verdict | claims that hold | n |\n|---|---|---|---|\n");
    for study in studies {
        let answers = Answers::new(study.file, study.rows, study.population)?;
        let findings = claims::findings(&answers)?;
        // Writing to a string cannot fail.
        let _ = writeln!(
            summary,
            "| [{}](#{}) | **{}** | {} of {} | {} |",
            plain(&study.file.statement),
            anchor(&study.file.title),
            claims::overall(&findings).words(),
            findings
                .iter()
                .filter(|f| f.verdict == Verdict::Holds)
                .count(),
            findings.len(),
            answers.n(),
        );
        sections += &section(study, &answers, &findings);
        for (name, drawing) in report::drawings(study, &answers)? {
            let name = format!("{}-{name}", study.stem);
            report::save(&folder, &name, &drawing)?;
            let _ = write!(
                sections,
                "\n![{}]({link}/{name}.png)\n",
                plain(&study.file.title)
            );
        }
        sections += &selected(study, &answers)?;
        sections += &cautions(&answers)?;
        sections += &cost(study, &answers);
        sections += &numbers(study)?;
    }
    let page = format!("{HEAD}\n{summary}{sections}");
    report::put(path, page.as_bytes())
}

const HEAD: &str = "# Findings

Made by `noisesearch study`; how to read it is in `docs/studies.md`. A claim *holds* when the whole
95 % interval of its paired contrast is above zero, *does not hold* when it is at or below zero, and
*cannot be told* otherwise. A finding holds when all of its claims do. That one does not hold is as
good a result as that one does.
";

fn section(study: &Study, answers: &Answers, findings: &[Finding]) -> String {
    let file = study.file;
    let mut text = format!(
        "\n## {}\n\n> {}\n>\n> {}\n\n**{}**, over {} answers ({} tasks).\n\n",
        plain(&file.title),
        plain(&file.statement),
        plain(&file.source),
        sentence(claims::overall(findings).words()),
        answers.n(),
        answers.tasks(),
    );
    text += "| claim | verdict | effect | 95 % interval | n |\n|---|---|---|---|---|\n";
    for finding in findings {
        let effect = finding
            .effect
            .map(|effect| scaled(effect, &finding.measure));
        let unit = finding.measure.unit();
        let (value, range, n) = match effect {
            Some(of) => (format!("{}{unit}", shown(&of, true)), interval(&of), of.n),
            None => ("\u{2013}".into(), "no answer has this measure".into(), 0),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} (`{}`: {}) | {} | {value} | {range} | {n} |",
            plain(&finding.claim.says),
            finding.measure,
            plain(&report::terms(finding)),
            finding.verdict.words(),
        );
    }
    if let Some(remark) = &file.remark {
        let _ = write!(text, "\n{}\n", remark.trim());
    }
    text
}

/// What every arm's last point selected, and what is left of it without the winner's curse.
fn selected(study: &Study, answers: &Answers) -> Result<String, AnswersError> {
    let mut rows = String::new();
    for (arm, table) in study.file.arms.iter().enumerate() {
        let Some(found) = corrected(answers, answers.last(arm))? else {
            continue;
        };
        let how = match &found.how {
            How::AskedAgain => "asked again".into(),
            How::Shrunk { reliability, judge } => format!("{reliability:.2} by {}", plain(judge)),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            rows,
            "| {} | {} | {} | {} | {}, {} | {how} | {} |",
            plain(&table.name),
            plain(&found.verifier),
            shown(&found.candidates, false),
            shown(&found.selected, false),
            shown(&found.corrected, false),
            interval(&found.corrected),
            found.corrected.n,
        );
    }
    Ok(match rows.is_empty() {
        true => rows,
        false => format!("{SELECTED}{rows}"),
    })
}

const SELECTED: &str = "
Scores of the verifier that was optimised, at the last points; *corrected* is without the winner's
curse:

| arm | verifier | a candidate | the selected | corrected, 95 % interval | reliability | n |
|---|---|---|---|---|---|---|
";

/// Why measures of sets should be read with care.
fn cautions(answers: &Answers) -> Result<String, AnswersError> {
    let cautions = answers.cautions()?;
    let words: Vec<String> = cautions.iter().map(ToString::to_string).collect();
    Ok(match words.is_empty() {
        true => String::new(),
        false => format!("\nTo be read with care: {}.\n", words.join(". ")),
    })
}

fn cost(study: &Study, answers: &Answers) -> String {
    let arms = study.file.arms.iter().enumerate();
    let each = arms.map(|(arm, table)| {
        let of = |axis| {
            answers
                .cost(answers.last(arm), axis)
                .map_or("?".into(), short)
        };
        let (nfe, candidates) = (of(CostAxis::TotalNfe), of(CostAxis::Candidates));
        format!(
            "{} {nfe} NFE and {candidates} candidates",
            plain(&table.name)
        )
    });
    format!(
        "\nCost of one answer at the last point: {}.\n",
        each.collect::<Vec<_>>().join("; ")
    )
}

/// What another run of the same study is compared with.
fn numbers(study: &Study) -> Result<String, ReportError> {
    let (rows, checksum) = (study.rows.len(), checksum(study.rows)?);
    Ok(format!(
        "\nChecksum of its {rows} rows without seconds: `{checksum}`.\n"
    ))
}

/// Text on one line that Markdown leaves alone in a table.
fn plain(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|").replace('<', "&lt;")
}

/// As GitHub names the anchor of a heading.
fn anchor(heading: &str) -> String {
    let letters = heading.trim().to_lowercase();
    let letters = letters
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    letters.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}
