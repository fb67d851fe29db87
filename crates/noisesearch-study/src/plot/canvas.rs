//! SVG elements one after another.

use std::fmt::Write;

/// Okabe and Ito's palette ("Color universal design", 2008) in an order whose neighbours differ
/// most; told apart by people with every common form of colour blindness.
pub const COLOURS: [&str; 8] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#808080",
];

/// A point of a figure in pixels from its upper left corner.
pub type At = (f64, f64);

/// A figure in the making. Writing to a string cannot fail.
#[derive(Default)]
pub struct Canvas {
    body: String,
}

/// The colour of a series.
pub fn colour(series: usize) -> &'static str {
    COLOURS[series % COLOURS.len()]
}

/// About how wide `text` is at this size, in pixels; rather more than less.
pub fn width_of(text: &str, size_px: f64) -> f64 {
    let of = |letter: char| match letter {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '|' | '!' | '\'' => 0.28,
        ' ' | 'f' | 'r' | 't' | '(' | ')' | '[' | ']' | '-' | '"' => 0.38,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.9,
        upper if upper.is_uppercase() => 0.7,
        _ => 0.56,
    };
    size_px * text.chars().map(of).sum::<f64>()
}

/// `text` in lines of at most `width_px`, broken between words; a longer word stays whole, and so
/// do words that a no-break space joins.
pub fn wrapped(text: &str, size_px: f64, width_px: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let breaks = |c: char| c.is_whitespace() && c != '\u{a0}';
    for word in text.split(breaks).filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if width_of(line, size_px) + width_of(word, size_px) < width_px => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Text as XML text or attribute.
pub fn escape(text: &str) -> String {
    let mut xml = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => xml += "&amp;",
            '<' => xml += "&lt;",
            '>' => xml += "&gt;",
            '"' => xml += "&quot;",
            '\'' => xml += "&#39;",
            // XML has no way to write the other control characters.
            other if other.is_control() => xml.push(' '),
            other => xml.push(other),
        }
    }
    xml
}

impl Canvas {
    /// The elements so far.
    pub fn into_body(self) -> String {
        self.body
    }

    /// Text with its baseline at `at`.
    pub fn text(&mut self, (x, y): At, class: &str, text: &str) {
        let text = escape(text);
        let _ = write!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{text}</text>"
        );
    }

    /// A straight line of a class.
    pub fn line(&mut self, (x1, y1): At, (x2, y2): At, class: &str) {
        let _ = write!(
            self.body,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>"
        );
    }

    /// A filled rectangle.
    pub fn rect(&mut self, (x, y): At, (width, height): At, fill: &str, opacity: f64) {
        let _ = write!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             fill=\"{fill}\" fill-opacity=\"{opacity:.3}\"/>"
        );
    }

    /// A line through points.
    pub fn polyline(&mut self, points: &[At], stroke: &str, (width, opacity): (f64, f64)) {
        let _ = write!(
            self.body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{width}\" \
             stroke-opacity=\"{opacity}\" stroke-linejoin=\"round\" stroke-linecap=\"round\"/>",
            listed(points)
        );
    }

    /// A filled area.
    pub fn polygon(&mut self, points: &[At], fill: &str, opacity: f64) {
        let points = listed(points);
        let _ = write!(
            self.body,
            "<polygon points=\"{points}\" fill=\"{fill}\" fill-opacity=\"{opacity}\"/>"
        );
    }

    /// The mark of a series: every one has its own colour and, among five, its own shape.
    pub fn mark(&mut self, (x, y): At, series: usize, hollow: bool) {
        let ink = colour(series);
        let paint = match hollow {
            true => format!("fill=\"none\" stroke=\"{ink}\" stroke-width=\"1.6\""),
            false => format!("fill=\"{ink}\""),
        };
        let corners: &[At] = match series % 5 {
            0 => {
                let _ = write!(
                    self.body,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.6\" {paint}/>"
                );
                return;
            }
            1 => &[(-3.3, -3.3), (3.3, -3.3), (3.3, 3.3), (-3.3, 3.3)],
            2 => &[(0.0, -4.4), (4.2, 3.2), (-4.2, 3.2)],
            3 => &[(0.0, -4.8), (4.8, 0.0), (0.0, 4.8), (-4.8, 0.0)],
            _ => &[(0.0, 4.4), (4.2, -3.2), (-4.2, -3.2)],
        };
        let corners: Vec<At> = corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        let _ = write!(
            self.body,
            "<polygon points=\"{}\" {paint}/>",
            listed(&corners)
        );
    }
}

fn listed(points: &[At]) -> String {
    let points: Vec<String> = points
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    points.join(" ")
}
