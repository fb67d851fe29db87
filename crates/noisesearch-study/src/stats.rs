//! Intervals of paired comparisons: bias-corrected and accelerated bootstrap (Efron, "Better
//! bootstrap confidence intervals", JASA 82, 1987) and delete-group jackknife (Shao and Wu, "A
//! general theory for jackknife variance estimation", Annals of Statistics 17, 1989).
//!
//! ```text
//! bootstrap   units drawn with replacement, all columns of a unit together (paired);
//!             limits = quantiles Phi(z0 + (z0 + z) / (1 - a (z0 + z))), z = -1.96, 1.96
//! jackknife   variance = (G - 1) / G  sum over groups (t_g - mean t)^2,  t_g without group g
//! ```
//!
//! Units are drawn by a counter-based generator, so the same numbers give the same interval.

use noisesearch_core::noise::candidate_root;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Bootstrap resamples.
pub const RESAMPLES: usize = 4000;
/// Groups of the jackknife.
pub const GROUPS: usize = 20;
/// Units that the jackknife needs, at least: two a group.
pub const GROUPED_UNITS_MIN: usize = 2 * GROUPS;
/// 97.5 % quantile of Student's t with `GROUPS - 1` = 19 degrees of freedom.
const T_19: f64 = 2.093_024_054_408_263;
/// 97.5 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;
/// What is left to either side of a 95 % interval.
const UNSEEN: f64 = 0.025;
/// Key of the draws; any constant does.
const DRAWS: u64 = 0x5eed_0f57_a715_71c5;

/// A number and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The number itself.
    pub value: f64,
    /// Lower end; minus infinity where there are too few units to tell.
    pub low: f64,
    /// Upper end; infinity where there are too few units to tell.
    pub high: f64,
    /// Units, that is pairs of task and seed.
    pub n: usize,
}

impl Estimate {
    /// A number of which nothing is known but itself.
    fn bare(value: f64, n: usize) -> Self {
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        Self {
            value,
            low,
            high,
            n,
        }
    }

    /// The interval without what lies outside of the `range` of the number, which cannot be so; an
    /// infinite end stays, since it says that nothing is known.
    pub fn within(self, (least, most): (f64, f64)) -> Self {
        let inside = |end: f64| match end.is_finite() {
            // The value itself is never cut off, should rounding have put it outside.
            true => end.clamp(least.min(self.value), most.max(self.value)),
            false => end,
        };
        let (low, high) = (inside(self.low), inside(self.high));
        Self { low, high, ..self }
    }
}

/// Estimates a function of column means. `columns: [c][n]`, finite, row `i` of all columns is one
/// unit. `None` without units; a single unit has an infinite interval.
pub fn bootstrap(columns: &[Vec<f64>], of: &dyn Fn(&[f64]) -> f64) -> Option<Estimate> {
    of_resamples(columns, of, RESAMPLES)
}

fn of_resamples(
    columns: &[Vec<f64>],
    of: &dyn Fn(&[f64]) -> f64,
    resamples: usize,
) -> Option<Estimate> {
    let n = columns.first().map_or(0, Vec::len);
    let sums: Vec<f64> = columns.iter().map(|column| column.iter().sum()).collect();
    let means = |sums: &[f64], n: usize| -> f64 {
        let means: Vec<f64> = sums.iter().map(|sum| sum / n as f64).collect();
        of(&means)
    };
    match n {
        0 => return None,
        1 => return Some(Estimate::bare(means(&sums, 1), 1)),
        _ => (),
    }
    let value = means(&sums, n);
    let mut drawn: Vec<f64> = draws(n, resamples)
        .chunks_exact(n)
        .map(|units| means(&resampled(columns, units), n))
        .collect();
    drawn.sort_by(f64::total_cmp);
    let without = |unit: usize| -> f64 {
        let rest = columns
            .iter()
            .zip(&sums)
            .map(|(column, sum)| sum - column[unit]);
        means(&rest.collect::<Vec<_>>(), n - 1)
    };
    let bias = bias(&drawn, value);
    let skew = acceleration(&(0..n).map(without).collect::<Vec<_>>());
    let limit = |z: f64| quantile(&drawn, phi(bias + (bias + z) / (1.0 - skew * (bias + z))));
    let (low, high) = (limit(-Z), limit(Z));
    Some(Estimate {
        value,
        low,
        high,
        n,
    })
}

/// The same of shares: `columns` of 0 and 1, and `of` a sum with weights. Where every unit says the
/// same, all resamples do, however few units there are; then the interval is the exact one of
/// Clopper and Pearson (Biometrika 26, 1934) for a unit that says otherwise:
///
/// ```text
/// none seen among n:   its share is below 1 - 0.025^(1/n), about 3.7 / n,
///                      and it moves the sum by the sum of |weights| at most
/// ```
pub fn bootstrap_of_shares(columns: &[Vec<f64>], of: &dyn Fn(&[f64]) -> f64) -> Option<Estimate> {
    let found = bootstrap(columns, of)?;
    let unit = |unit: usize| of(&columns.iter().map(|c| c[unit]).collect::<Vec<_>>());
    let alike = (1..found.n).all(|other| (unit(other) - unit(0)).abs() < 1e-9);
    if found.n < 2 || !alike {
        return Some(found);
    }
    let only = |at: usize| (0..columns.len()).map(move |i| f64::from(u8::from(i == at)));
    let nothing = of(&vec![0.0; columns.len()]);
    let weight = |at: usize| of(&only(at).collect::<Vec<_>>()) - nothing;
    let weights: Vec<f64> = (0..columns.len()).map(weight).collect();
    let unseen = 1.0 - UNSEEN.powf(1.0 / found.n as f64);
    let half = unseen * weights.iter().map(|w| w.abs()).sum::<f64>();
    let end = |sign: f64| nothing + weights.iter().filter(|w| sign * **w > 0.0).sum::<f64>();
    Some(Estimate {
        low: (found.value - half).max(end(-1.0)).min(found.value),
        high: (found.value + half).min(end(1.0)).max(found.value),
        ..found
    })
}

/// The units of every resample, `[resamples, n]`. A report asks for the same few again and again,
/// for all its units and for those of a category, so they are kept: 16 KB a unit.
fn draws(n: usize, resamples: usize) -> Arc<[u32]> {
    static MADE: Mutex<BTreeMap<[usize; 2], Arc<[u32]>>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let resample = |i: u64| (0..n as u64).map(move |draw| unit(i, draw, n));
    let make = || (0..resamples as u64).flat_map(resample).collect();
    made.entry([n, resamples]).or_insert_with(make).clone()
}

/// The unit of `n` that a draw of a resample gives.
fn unit(resample: u64, draw: u64, n: usize) -> u32 {
    let word = candidate_root(DRAWS ^ (resample << 20), draw);
    ((u128::from(word) * n as u128) >> 64) as u32
}

/// Column sums of one resample.
fn resampled(columns: &[Vec<f64>], units: &[u32]) -> Vec<f64> {
    let sum = |column: &Vec<f64>| {
        let drawn = units.iter().map(|&unit| column[unit as usize]);
        drawn.fold(0.0, |sum, x| sum + x)
    };
    columns.iter().map(sum).collect()
}

/// Efron's z0: the normal quantile of the share of resamples below the value, ties half.
fn bias(drawn: &[f64], value: f64) -> f64 {
    let below = drawn.partition_point(|&x| x < value);
    let upto = drawn.partition_point(|&x| x <= value);
    let edge = 0.5 / drawn.len() as f64;
    probit(((below + upto) as f64 / 2.0 / drawn.len() as f64).clamp(edge, 1.0 - edge))
}

/// Efron's a, from the values without each unit.
fn acceleration(without: &[f64]) -> f64 {
    let mean = mean(without);
    let power = |p: i32| without.iter().map(|x| (mean - x).powi(p)).sum::<f64>();
    let scale = 6.0 * power(2).powf(1.5);
    if scale > 0.0 { power(3) / scale } else { 0.0 }
}

/// The value below which the share `at` of `sorted` lies, between neighbours linearly.
fn quantile(sorted: &[f64], at: f64) -> f64 {
    let last = sorted.len() - 1;
    let place = at.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (
        sorted[place as usize],
        sorted[(place as usize + 1).min(last)],
    );
    below + (above - below) * place.fract()
}

/// The interval of `whole` from the same statistic without each of [`GROUPS`] groups of units.
/// Unlike a bootstrap it never shows a sample twice, which a distance of sets and a nearest
/// neighbour would take for a copy.
pub fn jackknife(whole: f64, without: &[f64], n: usize) -> Estimate {
    if without.len() != GROUPS || n < GROUPED_UNITS_MIN {
        return Estimate::bare(whole, n);
    }
    let mean = mean(without);
    let square: f64 = without.iter().map(|t| (t - mean).powi(2)).sum();
    let half = T_19 * (square * (GROUPS - 1) as f64 / GROUPS as f64).sqrt();
    let (low, high) = (whole - half, whole + half);
    Estimate {
        value: whole,
        low,
        high,
        n,
    }
}

/// The mean; 0 of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Pearson's correlation; 0 where one side does not vary.
pub fn pearson(x: &[f64], y: &[f64]) -> f64 {
    let (mx, my) = (mean(x), mean(y));
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        x.iter().zip(y).map(|(&x, &y)| f(x - mx, y - my)).sum()
    };
    let scale = (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt();
    if scale > 0.0 {
        sum(&|x, y| x * y) / scale
    } else {
        0.0
    }
}

/// Spearman's rank correlation; ties share the mean of their ranks.
pub fn spearman(x: &[f64], y: &[f64]) -> f64 {
    pearson(&ranks(x), &ranks(y))
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = |value: &f64| {
        let below = sorted.partition_point(|other| other < value);
        let upto = sorted.partition_point(|other| other <= value);
        (below + upto) as f64 / 2.0
    };
    values.iter().map(rank).collect()
}

/// What a selected best is worth, given the mean of the candidates it was selected from and the
/// `reliability` of the verifier, 0 to 1 (Kelley, "Interpretation of educational measurements",
/// 1927: regression of a true score on an observed one).
///
/// ```text
/// score s = q + e, e independent of q:   E[q | s] = mean + r (s - mean),   r = Var q / Var s
/// ```
pub fn shrunk(best: f64, mean: f64, reliability: f64) -> f64 {
    mean + reliability * (best - mean)
}

/// The reliability of a verifier from its correlations with another one over the candidates of
/// single cells, as (candidates, correlation).
///
/// With `s = q + e` and the other `t = a + b q + f`, errors independent, the correlation is the
/// square root of the product of the two reliabilities; where the other is exact it is the root of
/// ours. So the square is the reliability against an exact judge and a lower bound against any
/// other. Correlations are averaged (weight `candidates - 1`) before they are squared: chance
/// then cancels instead of adding up. A negative one counts as none.
pub fn reliability(pools: impl IntoIterator<Item = (u64, f64)>) -> f64 {
    let (mut sum, mut weight) = (0.0, 0.0);
    for (candidates, correlation) in pools {
        let degrees = candidates.saturating_sub(1) as f64;
        sum += degrees * correlation;
        weight += degrees;
    }
    if weight > 0.0 {
        (sum / weight).clamp(0.0, 1.0).powi(2)
    } else {
        0.0
    }
}

/// The normal distribution function.
fn phi(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

/// Its inverse for probabilities in (0, 1), by halving; 1e-9 exact.
fn probit(probability: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    while high - low > 1e-9 {
        let middle = (low + high) / 2.0;
        match phi(middle) < probability {
            true => low = middle,
            false => high = middle,
        }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests;
