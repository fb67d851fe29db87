//! From numbers to pixels, and the numbers worth writing beside an axis.

/// An axis from `low` to `high` over pixels.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
    log: bool,
}

impl Scale {
    /// Even steps of the number; `start` and `end` are the pixels of `low` and `high`.
    pub fn linear((low, high): (f64, f64), (start, end): (f64, f64)) -> Self {
        Self {
            low,
            high,
            start,
            end,
            log: false,
        }
    }

    /// Even steps of the logarithm, where numbers are positive and grow at least threefold; else
    /// linear.
    pub fn growing((low, high): (f64, f64), (start, end): (f64, f64)) -> Self {
        let log = low > 0.0 && high >= 3.0 * low;
        Self {
            low,
            high,
            start,
            end,
            log,
        }
    }

    /// The pixel of a number, inside the axis.
    pub fn at(&self, value: f64) -> f64 {
        let place = match self.log {
            true => (value / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        let place = if place.is_nan() {
            0.5
        } else {
            place.clamp(0.0, 1.0)
        };
        self.start + place * (self.end - self.start)
    }

    /// The number at the share `part` of the axis.
    pub fn value(&self, part: f64) -> f64 {
        match self.log {
            true => self.low * (self.high / self.low).powf(part),
            false => self.low + part * (self.high - self.low),
        }
    }
}

/// Round numbers from at or below `low` to at or above `high`, four to seven of them; 1, 2 or 5
/// times a power of ten apart.
pub fn ticks(low: f64, high: f64) -> Vec<f64> {
    let step = step(low, high);
    let (first, last) = ((low / step).floor() as i64, (high / step).ceil() as i64);
    (first..=last.max(first + 1))
        .map(|k| k as f64 * step)
        .collect()
}

fn step(low: f64, high: f64) -> f64 {
    let size = low.abs().max(high.abs());
    let span = match high - low > 1e-9 * size {
        true => high - low,
        // Nothing to tell apart: ticks that are easily read.
        false => (0.4 * size).max(1e-12),
    };
    let raw = span / 4.0;
    let power = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|f| f * power >= 0.999 * raw);
    factor.unwrap_or(10.0) * power
}

/// A tick as text, with the decimals that its neighbours need.
pub fn label(value: f64, ticks: &[f64]) -> String {
    let step = ticks
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .fold(f64::INFINITY, f64::min);
    if value.abs() >= 10_000.0 {
        return short(value);
    }
    let decimals = if step.is_finite() {
        (-step.log10().floor()).clamp(0.0, 6.0)
    } else {
        2.0
    };
    format!("{value:.*}", decimals as usize)
}

/// A cost as text: three digits or so.
pub fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        size if size >= 999_500.0 => (value / 1e6, "M"),
        size if size >= 9_950.0 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let decimals = match value.abs() {
        size if size >= 99.95 || value.fract() == 0.0 => 0,
        size if size >= 9.95 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{text}{unit}")
}

/// A measured number as text, with the decimals that its size asks for.
pub fn number(value: f64) -> String {
    fixed(
        value,
        match value.abs() {
            size if size >= 100.0 => 0,
            size if size >= 10.0 => 1,
            size if size >= 1.0 => 2,
            0.0 => 0,
            _ => 3,
        },
    )
}

/// Decimals that make sense for a number known to `+- half`: two digits of that; `None` where it
/// is zero or not finite.
pub fn decimals(half: f64) -> Option<usize> {
    let known = half > 0.0 && half.is_finite();
    known.then(|| (1.0 - half.log10().floor()).clamp(0.0, 5.0) as usize)
}

/// A number with so many decimals, a real minus, and no minus before zero.
pub fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| c == '0' || c == '.') => rest.to_owned(),
        Some(rest) => format!("\u{2212}{rest}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_numbers() {
        assert_eq!(ticks(0.0, 2.0), [0.0, 0.5, 1.0, 1.5, 2.0]);
        for (low, high) in [
            (0.0, 1.0),
            (0.16, 0.87),
            (-3.0, 12.0),
            (1e-6, 2e-6),
            (5.0, 5.0),
            (0.0, 0.0),
        ] {
            let ticks = ticks(low, high);
            assert!((2..=8).contains(&ticks.len()), "{low} {high}: {ticks:?}");
            let slack = 1e-9 * high.abs();
            assert!(
                ticks[0] <= low + slack && *ticks.last().unwrap() >= high - slack,
                "{ticks:?}"
            );
        }
    }

    #[test]
    fn equal_values_get_an_axis_that_can_be_read() {
        let axis = ticks(1.0, 1.0);
        let labels: Vec<String> = axis.iter().map(|&tick| label(tick, &axis)).collect();
        assert_eq!(labels, ["1.0", "1.1"]);
    }

    #[test]
    fn labels_have_the_decimals_they_need() {
        let axis = ticks(0.16, 0.87);
        let labels: Vec<String> = axis.iter().map(|&tick| label(tick, &axis)).collect();
        assert_eq!(labels, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        let costs = [16.0, 39.0, 1.5, 0.25, 12_480.0, 250_000.0, 2.4e6, 118.6];
        let texts = costs.map(short);
        assert_eq!(
            texts,
            ["16", "39", "1.5", "0.25", "12.5k", "250k", "2.4M", "119"]
        );
        assert_eq!(
            [0.0, -0.0001, -1.234, 16.04].map(number),
            ["0", "0.000", "\u{2212}1.23", "16.0"]
        );
    }

    #[test]
    fn decimals_follow_the_interval() {
        let shown = [0.045, 2.2, 22.0, 0.0, f64::INFINITY].map(decimals);
        assert_eq!(shown, [Some(3), Some(1), Some(0), None, None]);
    }

    #[test]
    fn equal_factors_are_equal_steps() {
        let scale = Scale::growing((1.0, 16.0), (0.0, 400.0));
        assert_eq!(
            [1.0, 2.0, 4.0, 16.0].map(|x| scale.at(x).round()),
            [0.0, 100.0, 200.0, 400.0]
        );
        assert!((scale.value(0.5) - 4.0).abs() < 1e-9);
        let even = Scale::growing((2.0, 4.0), (0.0, 10.0));
        assert_eq!(
            (even.at(3.0), even.at(9.0), even.value(0.5)),
            (5.0, 10.0, 3.0)
        );
        assert_eq!(Scale::linear((1.0, 1.0), (0.0, 10.0)).at(1.0), 5.0);
    }
}
