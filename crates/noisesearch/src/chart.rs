//! One SVG panel: candidates as dots, the best so far as a line, the baseline dashed.

use std::fmt::Write;

/// What one panel shows.
pub struct Panel<'a> {
    /// Title, already escaped.
    pub title: &'a str,
    /// Billed NFE and score of each candidate.
    pub dots: &'a [(f64, f64)],
    /// Billed NFE and score of the best so far, in order.
    pub line: &'a [(f64, f64)],
    /// The score without search.
    pub baseline: Option<f64>,
}

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 36.0;
/// Dots drawn, at most: more only make the file large.
const DOTS_MAX: usize = 2000;

impl Panel<'_> {
    /// The `<svg>` element.
    pub fn svg(&self) -> String {
        let scale = self.scale();
        let (x, y) = (|nfe| scale.x(nfe), |score| scale.y(score));
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"><title>{0}</title>\
             <text x=\"{LEFT}\" y=\"18\" class=\"t\">{0}</text>",
            self.title
        );
        for part in [0.0, 0.5, 1.0] {
            let (score, nfe) = (scale.low + part * scale.span, part * scale.end);
            let height = y(score);
            // Writing to a string cannot fail.
            let _ = write!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{height:.1}\" y2=\"{height:.1}\" class=\"g\"/>\
                 <text x=\"{}\" y=\"{:.1}\" class=\"a e\">{score:.3}</text>\
                 <text x=\"{:.1}\" y=\"{}\" class=\"a m\">{nfe:.0}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                height + 4.0,
                x(nfe),
                HEIGHT - BOTTOM + 16.0,
            );
        }
        let stride = self.dots.len().div_ceil(DOTS_MAX).max(1);
        for &(nfe, score) in self.dots.iter().step_by(stride) {
            let _ = write!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2\"/>",
                x(nfe),
                y(score)
            );
        }
        if let Some(score) = self.baseline {
            let height = y(score);
            let _ = write!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{height:.1}\" y2=\"{height:.1}\" class=\"b\"/>",
                WIDTH - RIGHT
            );
        }
        let points = self.steps(&scale);
        let middle = (LEFT + WIDTH - RIGHT) / 2.0;
        let _ = write!(
            svg,
            "<polyline points=\"{points}\"/>\
             <text x=\"{middle}\" y=\"{}\" class=\"a m\">billed search NFE</text></svg>",
            HEIGHT - 6.0
        );
        svg
    }

    fn scale(&self) -> Scale {
        let points = || self.dots.iter().chain(self.line);
        let scores = points().map(|point| point.1).chain(self.baseline);
        let low = scores.clone().fold(f64::INFINITY, f64::min);
        let high = scores.fold(f64::NEG_INFINITY, f64::max);
        let end = points().map(|point| point.0).fold(1.0, f64::max);
        let span = if high > low { high - low } else { 1.0 };
        Scale {
            low: if low.is_finite() { low } else { 0.0 },
            span,
            end,
        }
    }

    /// The points of the line, which only rises in steps.
    fn steps(&self, scale: &Scale) -> String {
        let mut points = String::new();
        let mut before: Option<f64> = None;
        for &(nfe, score) in self.line {
            let x = scale.x(nfe);
            if let Some(before) = before {
                let _ = write!(points, "{x:.1},{:.1} ", scale.y(before));
            }
            let _ = write!(points, "{x:.1},{:.1} ", scale.y(score));
            before = Some(score);
        }
        points
    }
}

/// From scores and NFE to places in the panel.
struct Scale {
    /// Lowest score.
    low: f64,
    /// Highest less lowest score, or 1.
    span: f64,
    /// Largest NFE.
    end: f64,
}

impl Scale {
    fn x(&self, nfe: f64) -> f64 {
        LEFT + nfe / self.end * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, score: f64) -> f64 {
        HEIGHT - BOTTOM - (score - self.low) / self.span * (HEIGHT - TOP - BOTTOM)
    }
}
