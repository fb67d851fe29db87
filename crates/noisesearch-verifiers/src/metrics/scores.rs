//! Means, win rates and pass rates of verifiers' scores. A score that is not a number belongs to
//! a sample that could not be judged; it is left out and counted.

use super::MetricError;
use std::collections::BTreeMap;

/// The mean of some scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// In f64; NaN of no scores.
    pub value: f64,
    /// Scores that are numbers.
    pub n: usize,
    /// Scores that are not.
    pub missing: usize,
}

impl Mean {
    /// Of scores in any order.
    pub fn of(scores: &[f64]) -> Self {
        let there = || scores.iter().filter(|score| !score.is_nan());
        let n = there().count();
        Self {
            value: there().sum::<f64>() / n as f64,
            n,
            missing: scores.len() - n,
        }
    }
}

/// How often the one of a pair has the higher score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WinRate {
    /// Share of the pairs, a tie counting half; NaN of no pairs.
    pub value: f64,
    /// Pairs of which both have a score.
    pub n: usize,
    /// Pairs with equal scores.
    pub ties: usize,
}

impl WinRate {
    /// Of `ours[i]` against `theirs[i]`, which answer the same task.
    pub fn of(ours: &[f64], theirs: &[f64]) -> Result<Self, MetricError> {
        let (left, right) = (ours.len(), theirs.len());
        if left != right {
            return Err(MetricError::Unpaired { left, right });
        }
        let orders = ours
            .iter()
            .zip(theirs)
            .filter_map(|(a, b)| a.partial_cmp(b));
        let (mut n, mut wins, mut ties) = (0, 0, 0);
        for order in orders {
            n += 1;
            wins += usize::from(order.is_gt());
            ties += usize::from(order.is_eq());
        }
        let value = (wins as f64 + 0.5 * ties as f64) / n as f64;
        Ok(Self { value, n, ties })
    }
}

/// How many of some samples passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassRate {
    /// Samples that passed.
    pub passed: usize,
    /// Samples that were graded.
    pub n: usize,
}

impl PassRate {
    /// One sample more.
    pub fn add(&mut self, passed: bool) {
        self.n += 1;
        self.passed += usize::from(passed);
    }

    /// 0 to 1; NaN of no samples.
    pub fn share(self) -> f64 {
        self.passed as f64 / self.n as f64
    }

    /// For each category, of `(category, passed)`.
    pub fn by_category<C: Ord>(graded: impl IntoIterator<Item = (C, bool)>) -> BTreeMap<C, Self> {
        let mut rates = BTreeMap::<C, Self>::new();
        for (category, passed) in graded {
            rates.entry(category).or_default().add(passed);
        }
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_counts_what_it_leaves_out() {
        let mean = Mean::of(&[1.0, f64::NAN, 4.0]);
        assert_eq!((mean.value, mean.n, mean.missing), (2.5, 2, 1));
        let none = Mean::of(&[f64::NAN]);
        assert!(none.value.is_nan() && (none.n, none.missing) == (0, 1));
    }

    #[test]
    fn wins_count_one_and_ties_a_half() {
        let rate = WinRate::of(&[2.0, 1.0, 3.0, f64::NAN], &[1.0, 1.0, 5.0, 0.0]).unwrap();
        assert_eq!((rate.value, rate.n, rate.ties), (0.5, 3, 1));
        let unpaired = WinRate::of(&[1.0], &[]);
        assert_eq!(unpaired, Err(MetricError::Unpaired { left: 1, right: 0 }));
        assert!(WinRate::of(&[], &[]).unwrap().value.is_nan());
    }

    #[test]
    fn passes_are_counted_by_category() {
        let graded = [("shape", true), ("colour", false), ("shape", false)];
        let rates = PassRate::by_category(graded);
        assert_eq!(rates["shape"], PassRate { passed: 1, n: 2 });
        assert_eq!(rates["shape"].share(), 0.5);
        assert_eq!(rates["colour"].share(), 0.0);
    }
}
