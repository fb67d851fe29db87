//! Curves of measures against cost, with bands of 95 % intervals.

use super::canvas::{At, Canvas, colour, width_of, wrapped};
use super::frontier::frontier;
use super::scale::{Scale, label, short, ticks};
use super::{Drawing, WIDTH};
use crate::stats::Estimate;

/// One panel a measure, two side by side.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Heading.
    pub title: String,
    /// Of the cost axis.
    pub x_title: String,
    /// At least one.
    pub panels: Vec<Panel>,
}

/// One measure.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Heading: what is measured, with its unit.
    pub title: String,
    /// In the same order in every panel.
    pub curves: Vec<Curve>,
    /// Whether lower is better.
    pub falls: bool,
    /// Whether the best curve at every cost is marked.
    pub frontier: bool,
}

/// One arm.
#[derive(Clone, Debug)]
pub struct Curve {
    /// In the legend.
    pub name: String,
    /// Which colour and mark.
    pub series: usize,
    /// By growing cost.
    pub points: Vec<Point>,
    /// Published values of the same: cost and value.
    pub published: Vec<(f64, f64)>,
}

/// One measured point.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Cost.
    pub x: f64,
    /// Value with its interval.
    pub y: Estimate,
}

const MARGIN: f64 = 16.0;
const LEFT: f64 = 50.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 44.0;
const TITLE_PX: f64 = 16.0;
const LEGEND_PX: f64 = 13.0;
/// Pixels between two labels of the cost axis.
const APART: f64 = 42.0;

impl Chart {
    /// The figure.
    pub fn draw(&self) -> Drawing {
        let mut canvas = Canvas::default();
        let mut y = MARGIN + 8.0;
        for line in wrapped(&self.title, TITLE_PX, WIDTH - 2.0 * MARGIN) {
            canvas.text((MARGIN, y), "h ink", &line);
            y += 22.0;
        }
        y = self.legend(&mut canvas, y) + 12.0;
        let columns = self.panels.len().clamp(1, 2);
        let width = (WIDTH - 2.0 * MARGIN) / columns as f64;
        let height = if columns == 1 { 340.0 } else { 270.0 };
        for (at, panel) in self.panels.iter().enumerate() {
            let corner = (
                MARGIN + (at % columns) as f64 * width,
                y + (at / columns) as f64 * (height + 6.0),
            );
            Frame {
                corner,
                width,
                height,
                panel,
            }
            .draw(&mut canvas, &self.x_title);
        }
        let rows = self.panels.len().div_ceil(columns) as f64;
        Drawing {
            title: self.title.clone(),
            height: y + rows * (height + 6.0) + 4.0,
            body: canvas.into_body(),
        }
    }

    /// Names, marks and what else is drawn, in rows; returns where it ends.
    fn legend(&self, canvas: &mut Canvas, mut y: f64) -> f64 {
        let first = self.panels.first().map_or(&[][..], |panel| &panel.curves);
        let mut x = MARGIN;
        let mut room = |text: &str| {
            let width = 46.0 + width_of(text, LEGEND_PX);
            if x + width > WIDTH && x > MARGIN {
                (x, y) = (MARGIN, y + 20.0);
            }
            let at = (x, y);
            x += width;
            at
        };
        for curve in first {
            let (x, y) = room(&curve.name);
            let ink = colour(curve.series);
            canvas.polyline(&[(x, y - 4.5), (x + 22.0, y - 4.5)], ink, (2.2, 1.0));
            canvas.mark((x + 11.0, y - 4.5), curve.series, false);
            canvas.text((x + 28.0, y), "t ink", &curve.name);
        }
        let curves = || self.panels.iter().flat_map(|panel| &panel.curves);
        if curves().any(|curve| !curve.published.is_empty()) {
            let (x, y) = room("published");
            canvas.mark((x + 11.0, y - 4.5), 7, true);
            canvas.text((x + 22.0, y), "t soft", "published");
        }
        if self.panels.iter().any(|panel| panel.frontier) {
            let (x, y) = room("best at this cost");
            canvas.polyline(
                &[(x + 5.0, y - 4.5), (x + 17.0, y - 4.5)],
                colour(7),
                (9.0, 0.3),
            );
            canvas.text((x + 28.0, y), "t soft", "best at this cost");
        }
        y
    }
}

/// Where a panel is drawn.
struct Frame<'a> {
    corner: At,
    width: f64,
    height: f64,
    panel: &'a Panel,
}

impl Frame<'_> {
    fn draw(&self, canvas: &mut Canvas, x_title: &str) {
        let (left, top) = (self.corner.0 + LEFT, self.corner.1 + TOP);
        let right = self.corner.0 + self.width - RIGHT;
        let bottom = self.corner.1 + self.height - BOTTOM;
        canvas.text(
            (self.corner.0, self.corner.1 + 14.0),
            "t ink",
            &self.panel.title,
        );
        let Some((x_range, y_ticks)) = self.ranges() else {
            let middle = ((left + right) / 2.0, (top + bottom) / 2.0);
            canvas.text(middle, "t soft m", "no answer has this measure");
            return;
        };
        let x = Scale::growing(x_range, (left + 8.0, right - 8.0));
        let y_range = (y_ticks[0], y_ticks[y_ticks.len() - 1]);
        let y = Scale::linear(y_range, (bottom, top));
        for &tick in &y_ticks {
            let height = y.at(tick);
            canvas.line((left, height), (right, height), "grid");
            canvas.text(
                (left - 7.0, height + 4.0),
                "a soft e",
                &label(tick, &y_ticks),
            );
        }
        canvas.line((left, bottom), (right, bottom), "axis");
        for tick in self.x_ticks(&x) {
            let place = x.at(tick);
            canvas.line((place, bottom), (place, bottom + 4.0), "axis");
            canvas.text((place, bottom + 17.0), "a soft m", &short(tick));
        }
        canvas.text(((left + right) / 2.0, bottom + 34.0), "a soft m", x_title);
        self.curves(canvas, &x, &y);
    }

    fn curves(&self, canvas: &mut Canvas, x: &Scale, y: &Scale) {
        let curves = &self.panel.curves;
        for curve in curves {
            band(canvas, curve, x, y);
        }
        if self.panel.frontier {
            for stretch in frontier(curves, self.panel.falls) {
                let points = stretch
                    .points
                    .iter()
                    .map(|&(cost, value)| (x.at(cost), y.at(value)));
                let points: Vec<At> = points.collect();
                let ink = colour(curves[stretch.curve].series);
                canvas.polyline(&points, ink, (10.0, 0.3));
            }
        }
        for curve in curves {
            let points = curve
                .points
                .iter()
                .map(|point| (x.at(point.x), y.at(point.y.value)));
            let points: Vec<At> = points.collect();
            canvas.polyline(&points, colour(curve.series), (2.2, 1.0));
            for &at in &points {
                canvas.mark(at, curve.series, false);
            }
        }
        for curve in curves {
            let published = curve.published.iter();
            let published = published.map(|&(cost, value)| (x.at(cost), y.at(value)));
            let published: Vec<At> = published.collect();
            if published.len() > 1 {
                canvas.polyline(&published, colour(curve.series), (1.0, 0.5));
            }
            for at in published {
                canvas.mark(at, curve.series, true);
            }
        }
    }

    /// The costs from least to most, and the ticks of the values; `None` without a point.
    fn ranges(&self) -> Option<((f64, f64), Vec<f64>)> {
        let points = || self.panel.curves.iter().flat_map(|curve| &curve.points);
        let published = || self.panel.curves.iter().flat_map(|curve| &curve.published);
        let costs: Vec<f64> = points()
            .map(|p| p.x)
            .chain(published().map(|p| p.0))
            .collect();
        let ends = |p: &Point| [p.y.low, p.y.value, p.y.high];
        let values = points().flat_map(ends).chain(published().map(|p| p.1));
        let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        let least = |of: &[f64]| of.iter().copied().reduce(f64::min);
        let most = |of: &[f64]| of.iter().copied().reduce(f64::max);
        let range = (least(&costs)?, most(&costs)?);
        Some((range, ticks(least(&values)?, most(&values)?)))
    }

    /// Costs of the curve with most points, so far apart that their labels do not touch.
    fn x_ticks(&self, x: &Scale) -> Vec<f64> {
        let costs = |curve: &Curve| -> Vec<f64> {
            match curve.points.is_empty() {
                true => curve.published.iter().map(|point| point.0).collect(),
                false => curve.points.iter().map(|point| point.x).collect(),
            }
        };
        let all = self.panel.curves.iter().map(costs);
        let longest = all.reduce(|a, b| if b.len() > a.len() { b } else { a });
        let mut kept: Vec<f64> = Vec::new();
        for cost in longest.unwrap_or_default() {
            if kept
                .last()
                .is_none_or(|&last| x.at(cost) - x.at(last) >= APART)
            {
                kept.push(cost);
            }
        }
        kept
    }
}

/// The intervals of a curve as an area, and of a single point as a bar.
fn band(canvas: &mut Canvas, curve: &Curve, x: &Scale, y: &Scale) {
    let known = curve
        .points
        .iter()
        .filter(|p| p.y.low.is_finite() && p.y.high.is_finite());
    let known: Vec<&Point> = known.collect();
    let ink = colour(curve.series);
    if let [only] = known[..] {
        let place = x.at(only.x);
        canvas.polyline(
            &[(place, y.at(only.y.low)), (place, y.at(only.y.high))],
            ink,
            (1.6, 0.8),
        );
        return;
    }
    let upper = known
        .iter()
        .map(|point| (x.at(point.x), y.at(point.y.high)));
    let lower = known
        .iter()
        .rev()
        .map(|point| (x.at(point.x), y.at(point.y.low)));
    let area: Vec<At> = upper.chain(lower).collect();
    if !area.is_empty() {
        canvas.polygon(&area, ink, 0.14);
    }
}
