//! How a score early in the solve goes with the score at its end, as a Gaussian copula: ranks
//! become normal scores, which are taken to be jointly normal. A search only compares candidates of
//! one task, so ranks within the task are all that matters.

use noisesearch_core::noise::Stream;

/// The root key of simulated candidates; any fixed one does.
const SIMULATION_ROOT: u64 = 0x5EED_AD71_CE00;

/// Normal scores of `merits` (van der Waerden): the normal quantile of rank / (n + 1), lowest
/// first; equal merits share the mean of their ranks. Scaled to unit mean square unless all are
/// equal.
pub fn normal_scores(merits: &[f64]) -> Vec<f64> {
    let count = |keep: &dyn Fn(f64) -> bool| merits.iter().filter(|&&m| keep(m)).count() as f64;
    let score = |&merit: &f64| {
        let (below, equal) = (count(&|m| m < merit), count(&|m| m == merit));
        quantile((below + (equal + 1.0) / 2.0) / (merits.len() as f64 + 1.0))
    };
    let mut scores: Vec<f64> = merits.iter().map(score).collect();
    let square = scores.iter().map(|s| s * s).sum::<f64>() / scores.len().max(1) as f64;
    // Rounding gives a column without spread a little of it.
    let scale = if square > 1e-12 {
        square.sqrt().recip()
    } else {
        0.0
    };
    scores.iter_mut().for_each(|s| *s *= scale);
    scores
}

/// The standard normal quantile of `p` in (0, 1), by bisection.
fn quantile(p: f64) -> f64 {
    let below = |x: f64| 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2);
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if below(middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// The scores that go with normal scores: a task's n scores in order, the mean over tasks place by
/// place, each at the normal quantile of place / (n + 1).
pub struct Margin {
    /// Normal score and score, both rising; at least one.
    points: Vec<(f64, f64)>,
}

impl Margin {
    /// From scores by task. `None` when there are none; tasks with fewer than the first are left
    /// out.
    pub fn of(tasks: &[Vec<f64>]) -> Option<Self> {
        let count = tasks.first().map(Vec::len).filter(|&count| count > 0)?;
        let mut sums = vec![0.0; count];
        let whole = tasks.iter().filter(|scores| scores.len() == count);
        for scores in whole.clone() {
            let mut sorted = scores.clone();
            sorted.sort_by(f64::total_cmp);
            sums.iter_mut().zip(sorted).for_each(|(sum, s)| *sum += s);
        }
        let tasks = whole.count() as f64;
        let normals = normal_scores(&(0..count).map(|at| at as f64).collect::<Vec<_>>());
        let points = normals.into_iter().zip(sums.into_iter().map(|s| s / tasks));
        let points = points.collect();
        Some(Self { points })
    }

    /// The score at a normal score: straight between what was measured, level beyond it.
    pub fn at(&self, normal: f64) -> f64 {
        let next = self.points.partition_point(|(place, _)| *place < normal);
        let last = self.points.len() - 1;
        let (low, high) = (
            self.points[next.saturating_sub(1)],
            self.points[next.min(last)],
        );
        let span = high.0 - low.0;
        match span > 0.0 {
            true => low.1 + (high.1 - low.1) * (normal - low.0) / span,
            false => high.1,
        }
    }

    /// The mean score.
    pub fn mean(&self) -> f64 {
        self.points.iter().map(|(_, score)| score).sum::<f64>() / self.points.len() as f64
    }
}

/// Correlations of normal scores, a square of the columns.
pub type Correlation = Vec<Vec<f64>>;

/// Correlations of `rows`, each one candidate's normal scores by column; a column without spread
/// goes with nothing.
pub fn correlation(rows: &[&[f64]]) -> Correlation {
    let columns = rows.first().map_or(0, |row| row.len());
    let product = |a: usize, b: usize| rows.iter().map(|row| row[a] * row[b]).sum::<f64>();
    let scale: Vec<f64> = (0..columns).map(|at| product(at, at).sqrt()).collect();
    let entry = |a: usize, b: usize| match (a == b, scale[a] * scale[b]) {
        (true, _) => 1.0,
        (false, 0.0) => 0.0,
        (false, scale) => (product(a, b) / scale).clamp(-1.0, 1.0),
    };
    (0..columns)
        .map(|a| (0..columns).map(|b| entry(a, b)).collect())
        .collect()
}

/// The correlations of some columns only.
pub fn part(correlation: &Correlation, columns: &[usize]) -> Correlation {
    let row = |&a: &usize| columns.iter().map(|&b| correlation[a][b]).collect();
    columns.iter().map(row).collect()
}

/// Independent standard normals, `rows` of `columns`.
pub fn noise(rows: usize, columns: usize) -> Vec<f32> {
    Stream::initial(SIMULATION_ROOT).normals(rows * columns)
}

/// Candidates drawn from the copula: `rows` of them, each with one normal score a column.
pub struct Simulated {
    columns: usize,
    values: Vec<f64>,
}

impl Simulated {
    /// One candidate for each row of `noise` ([`noise`]).
    pub fn draw(correlation: &Correlation, noise: &[f32]) -> Self {
        let columns = correlation.len();
        let root = factor(correlation);
        let mut values = Vec::with_capacity(noise.len());
        for draw in noise.chunks_exact(columns) {
            for weights in &root {
                let terms = weights.iter().zip(draw).map(|(w, &z)| w * f64::from(z));
                values.push(terms.sum());
            }
        }
        Self { columns, values }
    }

    /// Candidates.
    pub fn rows(&self) -> usize {
        self.values.len() / self.columns.max(1)
    }

    /// Columns of each.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The score of a candidate in a column.
    pub fn get(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.columns + column]
    }
}

/// The lower triangular root of a positive semidefinite matrix (Cholesky); what rounding made
/// negative counts as 0.
fn factor(matrix: &Correlation) -> Vec<Vec<f64>> {
    let size = matrix.len();
    let mut root = vec![vec![0.0; size]; size];
    for i in 0..size {
        for j in 0..=i {
            let done: f64 = (0..j).map(|k| root[i][k] * root[j][k]).sum();
            let left = matrix[i][j] - done;
            root[i][j] = match i == j {
                true => left.max(0.0).sqrt(),
                false if root[j][j] > 1e-9 => left / root[j][j],
                false => 0.0,
            };
        }
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_normal() {
        // Published table values.
        for (p, x) in [(0.5, 0.0), (0.975, 1.959_964), (0.001, -3.090_232)] {
            assert!((quantile(p) - x).abs() < 1e-6, "{p}");
        }
    }

    #[test]
    fn equal_merits_share_a_score_and_the_order_is_kept() {
        let scores = normal_scores(&[3.0, 1.0, 3.0, 2.0]);
        assert_eq!(scores[0], scores[2]);
        assert!(scores[1] < scores[3] && scores[3] < scores[0]);
        assert_eq!(normal_scores(&[5.0; 4]), [0.0; 4]);
        let square = scores.iter().map(|s| s * s).sum::<f64>() / 4.0;
        assert!((square - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_margin_reads_scores_off_the_measured_ones() {
        let margin = Margin::of(&[vec![4.0, 0.0, 3.0], vec![6.0, 2.0, 5.0]]).unwrap();
        // Means by place: 1, 4 and 5, at -z, 0 and z.
        let z = normal_scores(&[0.0, 1.0, 2.0])[2];
        for (normal, score) in [(-z, 1.0), (0.0, 4.0), (z, 5.0), (0.5 * z, 4.5)] {
            assert!((margin.at(normal) - score).abs() < 1e-9, "{normal}");
        }
        assert_eq!((margin.at(-9.0), margin.at(9.0)), (1.0, 5.0));
        assert!((margin.mean() - 10.0 / 3.0).abs() < 1e-12);
        assert!(Margin::of(&[]).is_none() && Margin::of(&[Vec::new()]).is_none());
    }

    #[test]
    fn what_is_drawn_has_the_correlations_asked_for() {
        let wanted = vec![
            vec![1.0, 0.8, 0.3],
            vec![0.8, 1.0, 0.5],
            vec![0.3, 0.5, 1.0],
        ];
        let drawn = Simulated::draw(&wanted, &noise(40_000, 3));
        let rows: Vec<&[f64]> = drawn.values.chunks_exact(3).collect();
        let found = correlation(&rows);
        for (found, wanted) in found.iter().flatten().zip(wanted.iter().flatten()) {
            assert!((found - wanted).abs() < 0.02, "{found} {wanted}");
        }
        // A column that repeats another is drawn as that.
        let twins = Simulated::draw(&vec![vec![1.0, 1.0], vec![1.0, 1.0]], &noise(100, 2));
        assert!((0..100).all(|row| (twins.get(row, 0) - twins.get(row, 1)).abs() < 1e-6));
    }
}
