//! A table whose cells are shaded: blue for better, orange for worse.

use super::canvas::{Canvas, colour, width_of, wrapped};
use super::scale::{decimals, fixed, number};
use super::{Drawing, WIDTH};
use crate::stats::Estimate;

/// Rows by columns of estimates.
#[derive(Clone, Debug)]
pub struct Heat {
    /// Heading.
    pub title: String,
    /// What the cells hold, in one line below.
    pub note: String,
    /// Heading of the rows' names.
    pub corner: String,
    /// Headings of the columns.
    pub columns: Vec<String>,
    /// Name and cells of each row; as many cells as columns.
    pub rows: Vec<(String, Vec<Cell>)>,
}

/// One cell.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// What is written; a dash where there is none.
    pub value: Option<Estimate>,
    /// Whether a plus is written before what is above zero.
    pub signed: bool,
    /// Written after the number.
    pub unit: &'static str,
    /// Gain over no search in the column's own measure, positive for better; shades the cell
    /// relative to the largest of its column.
    pub gain: f64,
    /// The published value of the same.
    pub published: Option<f64>,
}

const MARGIN: f64 = 16.0;
const ROW: f64 = 40.0;
/// More height for a published value.
const PUBLISHED: f64 = 14.0;
const NAMES_MAX: f64 = 210.0;

impl Heat {
    /// The figure.
    pub fn draw(&self) -> Drawing {
        let mut canvas = Canvas::default();
        let mut y = MARGIN + 8.0;
        for line in wrapped(&self.title, 16.0, WIDTH - 2.0 * MARGIN) {
            canvas.text((MARGIN, y), "h ink", &line);
            y += 22.0;
        }
        let names = self.rows.iter().map(|row| &row.0).chain([&self.corner]);
        let names = names
            .map(|name| width_of(name, 13.0) + 14.0)
            .fold(80.0, f64::max);
        let names = names.min(NAMES_MAX);
        let width = ((WIDTH - 2.0 * MARGIN - names) / self.columns.len().max(1) as f64).min(150.0);
        let left = MARGIN + names;
        y = self.headings(&mut canvas, (left, y), width);
        let published = self
            .rows
            .iter()
            .flat_map(|row| &row.1)
            .any(|c| c.published.is_some());
        let height = if published { ROW + PUBLISHED } else { ROW };
        let most = self.most();
        for (name, cells) in &self.rows {
            let lines = wrapped(name, 13.0, names);
            let first = y + height / 2.0 + 4.0 - 8.0 * (lines.len() as f64 - 1.0);
            for (at, line) in lines.iter().enumerate() {
                canvas.text((MARGIN, first + 16.0 * at as f64), "t ink", line);
            }
            for (column, cell) in cells.iter().enumerate() {
                let corner = (left + column as f64 * width, y);
                cell.draw(&mut canvas, corner, (width, height), most[column]);
            }
            y += height + 2.0;
        }
        for line in wrapped(&self.note, 11.5, WIDTH - 2.0 * MARGIN) {
            y += 16.0;
            canvas.text((MARGIN, y), "a soft", &line);
        }
        Drawing {
            title: self.title.clone(),
            height: y + 16.0,
            body: canvas.into_body(),
        }
    }

    /// Headings of the columns, the last lines level; returns where the rows begin.
    fn headings(&self, canvas: &mut Canvas, (left, top): (f64, f64), width: f64) -> f64 {
        let columns = self
            .columns
            .iter()
            .map(|name| wrapped(name, 12.5, width - 4.0));
        let columns: Vec<Vec<String>> = columns.collect();
        let deepest = columns.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let bottom = top + 15.0 * (deepest as f64 - 1.0) + 4.0;
        canvas.text((MARGIN, bottom), "a soft", &self.corner);
        for (at, lines) in columns.iter().enumerate() {
            let middle = left + (at as f64 + 0.5) * width;
            for (line, text) in lines.iter().rev().enumerate() {
                canvas.text((middle, bottom - 15.0 * line as f64), "a soft m", text);
            }
        }
        bottom + 8.0
    }

    /// The largest gain or loss of each column.
    fn most(&self) -> Vec<f64> {
        let of = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.1.get(column));
            cells.map(|cell| cell.gain.abs()).fold(0.0, f64::max)
        };
        (0..self.columns.len()).map(of).collect()
    }
}

impl Cell {
    fn draw(&self, canvas: &mut Canvas, (x, y): (f64, f64), size: (f64, f64), most: f64) {
        let (width, height) = size;
        let share = if most > 0.0 {
            (self.gain / most).clamp(-1.0, 1.0)
        } else {
            0.0
        };
        let fill = if share < 0.0 { colour(4) } else { colour(5) };
        canvas.rect(
            (x + 1.0, y),
            (width - 2.0, height),
            fill,
            0.06 + 0.44 * share.abs(),
        );
        let middle = x + width / 2.0;
        match &self.value {
            Some(value) => {
                canvas.text((middle, y + 17.0), "t ink m", &self.text(value));
                canvas.text((middle, y + 32.0), "n soft m", &interval(value));
            }
            None => canvas.text((middle, y + 24.0), "t soft m", "\u{2013}"),
        }
        if let Some(published) = self.published {
            let plus = if self.signed && published > 0.0 {
                "+"
            } else {
                ""
            };
            let published = format!("published {plus}{}", number(published));
            canvas.text((middle, y + 46.0), "n soft m", &published);
        }
    }

    fn text(&self, value: &Estimate) -> String {
        format!("{}{}", shown(value, self.signed), self.unit)
    }
}

/// The number as text, as exact as its interval allows.
pub fn shown(of: &Estimate, sign: bool) -> String {
    let plus = if sign && of.value > 0.0 { "+" } else { "" };
    let half = (of.high - of.low) / 2.0;
    match decimals(half) {
        Some(decimals) => format!("{plus}{}", fixed(of.value, decimals)),
        None => format!("{plus}{}", number(of.value)),
    }
}

/// The interval as text; words where it is infinite.
pub fn interval(of: &Estimate) -> String {
    let half = (of.high - of.low) / 2.0;
    match decimals(half) {
        Some(decimals) => format!(
            "{} to {}",
            fixed(of.low, decimals),
            fixed(of.high, decimals)
        ),
        None if half == 0.0 => format!("{} to {}", number(of.low), number(of.high)),
        None => format!("too few to tell (n = {})", of.n),
    }
}
