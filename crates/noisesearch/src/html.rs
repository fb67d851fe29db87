//! `report.html`: one file, no script, nothing loaded from anywhere.

use crate::chart::Panel;
use crate::spec::Checked;
use crate::summary::{Column, Shown, Summary};
use noisesearch_core::job::Scores;
use noisesearch_core::journal::Snapshot;
use noisesearch_core::objective::{Entry, Objective};
use noisesearch_verifiers::base64;
use std::fmt::Write;

/// What the report is made of.
pub struct Page<'a> {
    /// What was run.
    pub spec: &'a Checked,
    /// What came out.
    pub summary: &'a Summary,
    /// The journal.
    pub snapshot: &'a Snapshot,
    /// The PNG of an image; `None` when it is not there.
    pub image: &'a dyn Fn(&Shown) -> Option<Vec<u8>>,
}

/// Points of the curve of the best so far where every one means ordering all candidates.
const RANKED_POINTS_MAX: usize = 64;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:64em;margin:2em auto;\
padding:0 1em;color:#222;background:#fafafa}h1{font-size:1.5em}h2{font-size:1.1em;\
margin-top:2em}figure{display:inline-block;margin:0 1.2em 1em 0;vertical-align:top}\
figure img{width:256px;image-rendering:pixelated;border:1px solid #ccc}figure.s img{width:128px}\
figcaption{font-size:.9em}table{border-collapse:collapse}td,th{padding:.2em .9em .2em 0;\
text-align:right}td:first-child,th:first-child{text-align:left}\
pre,code{background:#eee;overflow-wrap:anywhere;white-space:pre-wrap}pre{padding:.7em}\
svg{width:100%;max-width:600px;background:#fff;border:1px solid #ddd;margin:.3em 0}\
svg .t{font-size:14px;font-weight:600}svg .a{font-size:11px;fill:#666}svg .e{text-anchor:end}\
svg .m{text-anchor:middle}svg .g{stroke:#eee}svg .b{stroke:#c33;stroke-dasharray:5 4}\
svg circle{fill:#8aa6c1;opacity:.6}svg polyline{fill:none;stroke:#14508c;stroke-width:2}";

impl Page<'_> {
    /// The whole page.
    pub fn html(&self) -> String {
        let title = escape(self.spec.subject());
        let mut page = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
             img-src data:; style-src 'unsafe-inline'\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1>"
        );
        page += &self.lead();
        page += &self.figure("Without search", self.summary.baseline.as_ref(), "");
        page += &self.figure("With search", self.summary.best.as_ref(), "");
        page += "<h2>Scores against cost</h2><p>Dots are candidates, the line is the best so far \
                 as the objective orders them, dashed is the sample without search.</p>";
        page += &self.charts();
        if self.summary.kept.len() > 1 {
            page += "<h2>The best candidates</h2>";
            for (place, shown) in self.summary.kept.iter().enumerate() {
                page += &self.figure(&format!("Number {}", place + 1), Some(shown), "s");
            }
        }
        page += &self.lineage();
        page += &self.ledger();
        page += &self.provenance();
        page += "</body></html>\n";
        page
    }

    fn lead(&self) -> String {
        let spec = self.spec;
        let told: usize = self
            .snapshot
            .entries
            .iter()
            .map(|entry| entry.told.len())
            .sum();
        let stop = serde_json::to_value(self.summary.stop).unwrap_or_default();
        let ladder = spec.files.search_dtype.as_ref().map(|candidates| {
            let answer = spec.files.dtype_name();
            format!(
                "<p>Candidates were made in {}; the best, and the sample without search, in {}, \
                 and the best of those is shown.</p>",
                escape(candidates),
                escape(answer)
            )
        });
        let ladder = ladder.unwrap_or_default();
        format!(
            "<p>{} search of {} on <b>{}</b> with {} candidates, {} billed NFE, {:.1} s; \
             objective <code>{}</code>, budget {}, ended by: {}.</p>{ladder}",
            escape(spec.search.name()),
            escape(&spec.solver.to_string()),
            escape(&spec.model),
            told,
            self.summary.billed.search_nfe + self.summary.billed.final_nfe,
            self.summary.seconds,
            escape(&spec.objective.text(&spec.scored())),
            spec.budget,
            escape(stop.as_str().unwrap_or("?")),
        )
    }

    fn figure(&self, title: &str, shown: Option<&Shown>, class: &str) -> String {
        let Some(shown) = shown else {
            return format!(
                "<figure class=\"{class}\"><figcaption>{title}: none</figcaption></figure>"
            );
        };
        let data = (self.image)(shown)
            .map(|png| base64::encode(&png))
            .unwrap_or_default();
        let mut lines = String::new();
        for name in self.spec.scored() {
            let watched = if self.spec.watch.contains(&name) {
                " (watched)"
            } else {
                ""
            };
            if let Some(score) = shown.scores.get(&name) {
                // Writing to a string cannot fail.
                let _ = write!(lines, "<br>{} {score:.4}{watched}", escape(&name));
                if let Some(searched) = shown.searched.get(&name) {
                    let _ = write!(lines, " <small>(in the search {searched:.4})</small>");
                }
            }
        }
        format!(
            "<figure class=\"{class}\"><img alt=\"{title}\" src=\"data:image/png;base64,{data}\">\
             <figcaption><b>{title}</b>{lines}</figcaption></figure>"
        )
    }

    fn charts(&self) -> String {
        let names = self.spec.scored();
        let mut nfe = 0;
        let mut points: Vec<(f64, noisesearch_core::job::JobId, &Scores)> = Vec::new();
        for told in self.snapshot.entries.iter().flat_map(|entry| &entry.told) {
            nfe += told.nfe;
            let scores = told.outcome.scores();
            let scores = scores.filter(|scores| scores.values().len() == names.len());
            points.extend(scores.map(|scores| (nfe as f64, told.job, scores)));
        }
        let best = best_so_far(&self.spec.objective, &points);
        let mut charts = String::new();
        for (verifier, name) in names.iter().enumerate() {
            let at = |&(nfe, _, scores): &(f64, _, &Scores)| (nfe, scores.values()[verifier]);
            let dots: Vec<_> = points.iter().map(at).collect();
            let line: Vec<_> = best.iter().map(|&(x, point)| (x, dots[point].1)).collect();
            let watched = if self.spec.watch.contains(name) {
                ", watched"
            } else {
                ""
            };
            let title = format!("{}{watched}", escape(name));
            let baseline = self.summary.baseline.as_ref();
            let baseline = baseline.and_then(|shown| shown.scores.get(name)).copied();
            charts += &Panel {
                title: &title,
                dots: &dots,
                line: &line,
                baseline,
            }
            .svg();
        }
        charts
    }

    fn lineage(&self) -> String {
        let Some(best) = &self.summary.best else {
            return String::new();
        };
        let mut html = "<h2>How the best one was made</h2><ol>".to_owned();
        let recipe = best.recipe.to_string();
        for step in recipe.split(" | ") {
            let _ = write!(html, "<li><code>{}</code></li>", escape(step));
        }
        let _ = write!(html, "</ol><p>Recipe id <code>{}</code></p>", best.id);
        html
    }

    fn ledger(&self) -> String {
        let Summary { billed, spent, .. } = self.summary;
        let peak = self.summary.peak_bytes.map(crate::memory::size);
        let peak = peak.map_or_else(String::new, |peak| {
            format!("<p>Memory, at its peak: {peak}.</p>")
        });
        let row = |name: &str, of: fn(&Column) -> u64| {
            format!(
                "<tr><td>{name}</td><td>{}</td><td>{}</td></tr>",
                of(billed),
                of(spent)
            )
        };
        let fees = match spent.fees.is_free() {
            true => String::new(),
            false => [
                row("judge requests", |column| column.fees.requests),
                row("judge tokens read", |column| column.fees.tokens_read),
                row("judge tokens written", |column| column.fees.tokens_written),
            ]
            .concat(),
        };
        format!(
            "<h2>Ledger</h2><p>Billed is what the algorithm asked for; spent is what really ran, \
             the sample without search included.</p>\
             <table><tr><th></th><th>billed</th><th>spent</th></tr>{}{}{}{}{fees}</table>{peak}",
            row("search NFE", |column| column.search_nfe),
            row("final NFE", |column| column.final_nfe),
            row("network passes", |column| column.passes),
            row("verifier calls", |column| column.verifier_calls),
        )
    }

    fn provenance(&self) -> String {
        let toml = self.spec.to_toml().unwrap_or_default();
        let print = serde_json::to_string_pretty(&self.snapshot.fingerprint).unwrap_or_default();
        format!(
            "<h2>Settings</h2><pre>{}</pre><h2>Fingerprint</h2><pre>{}</pre>\
             <p>Journal head <code>{}</code></p>",
            escape(&toml),
            escape(&print),
            self.snapshot.head,
        )
    }
}

/// Where the best so far changes: billed NFE, and the position of the best among `points`.
fn best_so_far(
    objective: &Objective,
    points: &[(f64, noisesearch_core::job::JobId, &Scores)],
) -> Vec<(f64, usize)> {
    let mut line: Vec<(f64, usize)> = Vec::new();
    let ranked = matches!(objective, Objective::MeanRank(_));
    let stride = if ranked {
        points.len().div_ceil(RANKED_POINTS_MAX).max(1)
    } else {
        1
    };
    for last in (0..points.len()).step_by(stride) {
        let best = if ranked {
            let entry = |&(_, job, scores): &(f64, _, _)| Entry {
                job,
                scores: Some(scores),
            };
            let set: Vec<Entry> = points[..=last].iter().map(entry).collect();
            objective.order(&set).first().copied().unwrap_or(last)
        } else {
            let value = |point: usize| objective.value(points[point].2);
            let before = line.last().map(|point| point.1);
            before
                .filter(|&before| value(before) >= value(last))
                .unwrap_or(last)
        };
        line.push((points[last].0, best));
    }
    line
}

/// Text as HTML text or attribute.
pub fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html += "&amp;",
            '<' => html += "&lt;",
            '>' => html += "&gt;",
            '"' => html += "&quot;",
            '\'' => html += "&#39;",
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped() {
        assert_eq!(escape("<a b='c\"'>&"), "&lt;a b=&#39;c&quot;&#39;&gt;&amp;");
    }
}
