//! Where which curve is best: the compute-optimal frontier (Ma et al., arXiv 2501.09732, figure
//! 10).
//!
//! ```text
//! reach_c(x) = the best value of curve c at a cost of x or less, between points linear in log x
//! best(x)    = the curve whose reach is best at x
//! ```

use super::curves::Curve;

/// A range of costs in which one curve is best.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// Which curve, by its place among those given.
    pub curve: usize,
    /// Cost and value along the frontier, growing.
    pub points: Vec<(f64, f64)>,
}

/// Costs at which curves are compared.
const COSTS: usize = 240;

/// The frontier from the cheapest to the dearest point; lower is better where `falls`.
pub fn frontier(curves: &[Curve], falls: bool) -> Vec<Stretch> {
    let costs = || {
        curves
            .iter()
            .flat_map(|curve| curve.points.iter().map(|point| point.x))
    };
    let low = costs().fold(f64::INFINITY, f64::min);
    let high = costs().fold(0.0, f64::max);
    let mut stretches: Vec<Stretch> = Vec::new();
    if !low.is_finite() || low <= 0.0 {
        return stretches;
    }
    for step in 0..=COSTS {
        let x = low * (high / low).powf(step as f64 / COSTS as f64);
        let reached = curves.iter().enumerate();
        let reached = reached.filter_map(|(at, curve)| Some((at, reach(curve, x, falls)?)));
        let better = |a: f64, b: f64| if falls { a < b } else { a > b };
        let best = reached.reduce(|a, b| if better(b.1, a.1) { b } else { a });
        let Some((curve, value)) = best else { continue };
        match stretches.last_mut() {
            Some(last) if last.curve == curve => last.points.push((x, value)),
            _ => stretches.push(Stretch {
                curve,
                points: vec![(x, value)],
            }),
        }
    }
    stretches
}

/// The best value of a curve at a cost of `x` or less.
fn reach(curve: &Curve, x: f64, falls: bool) -> Option<f64> {
    let x = x * (1.0 + 1e-9);
    let known = curve
        .points
        .iter()
        .filter(|point| point.x <= x)
        .map(|point| point.y.value);
    let between = curve
        .points
        .windows(2)
        .filter(|pair| pair[0].x < x && x < pair[1].x);
    let between = between.map(|pair| {
        let part = (x / pair[0].x).ln() / (pair[1].x / pair[0].x).ln();
        pair[0].y.value + part * (pair[1].y.value - pair[0].y.value)
    });
    known
        .chain(between)
        .reduce(|a, b| if falls { a.min(b) } else { a.max(b) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::curves::Point;
    use crate::stats::Estimate;

    fn curve(points: &[(f64, f64)]) -> Curve {
        let point = |&(x, value): &(f64, f64)| Point {
            x,
            y: Estimate {
                value,
                low: value,
                high: value,
                n: 9,
            },
        };
        let points = points.iter().map(point).collect();
        Curve {
            name: "c".into(),
            series: 0,
            points,
            published: Vec::new(),
        }
    }

    /// By hand: a from 1 to 3 over costs 1 to 16, b from 0 to 4 over costs 4 to 64: in steps of a
    /// doubling a is 1 + k / 2 and b is k - 2; they meet at k = 6 for b = 3 < 4, that is at k = 5.
    #[test]
    fn curves_cross_where_they_are_equal() {
        let curves = [
            curve(&[(1.0, 1.0), (16.0, 3.0)]),
            curve(&[(4.0, 0.0), (64.0, 4.0)]),
        ];
        let found = frontier(&curves, false);
        let order: Vec<usize> = found.iter().map(|stretch| stretch.curve).collect();
        assert_eq!(order, [0, 1]);
        let (cross, value) = found[1].points[0];
        assert!(
            (cross.log2() - 5.0).abs() < 0.05 && (value - 3.0).abs() < 0.06,
            "{cross} {value}"
        );
        assert_eq!(
            found[1].points.last().map(|point| point.1.round()),
            Some(4.0)
        );
    }

    #[test]
    fn where_lower_is_better_a_rise_does_not_count() {
        let found = frontier(&[curve(&[(1.0, 9.0), (4.0, 3.0), (16.0, 7.0)])], true);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].points.last(), Some(&(16.0, 3.0)));
        assert!(frontier(&[], true).is_empty());
        assert!(frontier(&[curve(&[(0.0, 1.0)])], true).is_empty());
    }
}
