//! The statistics on simulated numbers whose truth is known.

use super::*;
use crate::claims::Verdict;
use crate::measure::Measure;
use noisesearch_core::noise::Stream;

/// `count` independent standard normals of simulation `run`.
fn normals(run: u64, count: usize) -> Vec<f64> {
    let values = Stream::initial(0xabc0_0000 + run).normals(count);
    values.into_iter().map(f64::from).collect()
}

fn difference(means: &[f64]) -> f64 {
    means[1] - means[0]
}

/// Share of simulated studies whose interval holds the true difference of 0.3.
fn coverage(studies: u64, units: usize, noise: &dyn Fn(f64) -> f64) -> f64 {
    let holds = |study: &u64| {
        // Tasks differ far more than searches do: only pairing finds the difference.
        let task = normals(2 * study, units);
        let own = normals(2 * study + 1, units);
        let left = (0..units).map(|i| 5.0 * task[i]).collect();
        let right = (0..units)
            .map(|i| 5.0 * task[i] + 0.3 + noise(own[i]))
            .collect();
        let found = of_resamples(&[left, right], &difference, 1000).unwrap();
        (found.low..=found.high).contains(&0.3)
    };
    (0..studies).filter(holds).count() as f64 / studies as f64
}

/// 95 % of 200 intervals is 190 +- 3. Seen to fail with limits at 10 and 90 %.
#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    let normal = coverage(200, 60, &|z| z);
    assert!((0.91..=0.985).contains(&normal), "{normal}");
    // Skewed: log-normal noise, less its mean.
    let skewed = coverage(200, 60, &|z| (0.5 * z).exp() - 0.125f64.exp());
    assert!((0.91..=0.985).contains(&skewed), "{skewed}");
}

#[test]
fn pairing_makes_the_interval_narrow_and_repeats_exactly() {
    let task = normals(900, 50);
    let left: Vec<f64> = task.iter().map(|t| 10.0 * t).collect();
    let right: Vec<f64> = left
        .iter()
        .zip(normals(901, 50))
        .map(|(l, e)| l + 1.0 + 0.1 * e)
        .collect();
    let columns = [left, right];
    let paired = bootstrap(&columns, &difference).unwrap();
    assert!(paired.low > 0.9 && paired.high < 1.1, "{paired:?}");
    assert_eq!(bootstrap(&columns, &difference), Some(paired));
    let alone = bootstrap(&columns[1..], &|m| m[0]).unwrap();
    assert!(alone.high - alone.low > 4.0, "{alone:?}");
}

/// `scipy.stats.bootstrap` (SciPy 1.16.3, 100,000 resamples, generator seeded with 1) of the mean
/// of these twelve numbers: BCa 1.950 to 9.592. Plain percentiles are 1.508 to 8.225, which fail.
#[test]
fn skewed_numbers_get_a_skewed_interval() {
    let values = vec![0.1, 0.2, 0.4, 0.5, 0.9, 1.3, 2.0, 3.1, 4.5, 7.0, 12.0, 21.0];
    let found = bootstrap(&[values], &|m| m[0]).unwrap();
    assert!((found.low - 1.950).abs() < 0.15, "{found:?}");
    assert!((found.high - 9.592).abs() < 0.5, "{found:?}");
}

#[test]
fn few_or_equal_units_have_honest_intervals() {
    assert_eq!(bootstrap(&[vec![]], &|m| m[0]), None);
    let one = bootstrap(&[vec![2.0]], &|m| m[0]).unwrap();
    assert_eq!((one.value, one.low, one.n), (2.0, f64::NEG_INFINITY, 1));
    let same = bootstrap(&[vec![2.0; 9]], &|m| m[0]).unwrap();
    assert_eq!((same.low, same.high), (2.0, 2.0));
    let few = jackknife(1.0, &[1.0; GROUPS], GROUPED_UNITS_MIN - 1);
    assert_eq!(few.high, f64::INFINITY);
}

/// Regression: six passes of six were 100 to 100 %.
#[test]
fn shares_that_do_not_vary_have_the_exact_limits_of_the_unseen() {
    let all = |n: usize| vec![vec![1.0; n]];
    let level = bootstrap_of_shares(&all(6), &|m| m[0]).unwrap();
    // R 4.3: binom.test(6, 6)$conf.int is 0.5407419 to 1.
    assert!((level.low - 0.540_741_9).abs() < 1e-6, "{level:?}");
    assert_eq!((level.value, level.high), (1.0, 1.0));
    // Two searches that pass the same units, some and not all.
    let some: Vec<f64> = (0..24).map(|i| f64::from(u8::from(i % 3 == 0))).collect();
    let same = bootstrap_of_shares(&[some.clone(), some.clone()], &difference).unwrap();
    let half = 2.0 * (1.0 - 0.025f64.powf(1.0 / 24.0));
    assert_eq!(same.value, 0.0);
    assert!((same.high - half).abs() < 1e-12 && (same.low + half).abs() < 1e-12);
    assert_eq!(Verdict::of(Some(&same)), Verdict::CannotTell);
    // The effect itself cannot be above the sum of the weights above zero.
    let apart = [vec![0.0; 6], vec![1.0; 6]];
    let apart = bootstrap_of_shares(&apart, &difference).unwrap();
    assert_eq!(apart.high, 1.0);
    assert!(apart.low > 0.0 && apart.low < 0.1, "{apart:?}");
    // What varies, and a single unit, are as they were.
    let varied = [some];
    let of = |m: &[f64]| m[0];
    assert_eq!(bootstrap_of_shares(&varied, &of), bootstrap(&varied, &of));
    assert_eq!(
        bootstrap_of_shares(&all(1), &of).unwrap().high,
        f64::INFINITY
    );
}

/// A recall of 0.5 over 40 units whose groups give 0.4 and 0.6 by turns: the interval of the
/// jackknife reaches beyond both ends.
#[test]
fn the_interval_of_a_share_is_one_of_shares() {
    let without: Vec<f64> = (0..GROUPS).map(|g| 0.4 + 0.2 * (g % 2) as f64).collect();
    let recall = jackknife(0.5, &without, GROUPED_UNITS_MIN);
    assert!(recall.high > 1.3 && recall.low < -0.3, "{recall:?}");
    let within = |name| recall.within(Measure::named(name).range());
    assert_eq!((within("recall").low, within("recall").high), (0.0, 1.0));
    assert_eq!((within("fid").low, within("fid").high), (0.0, recall.high));
    assert_eq!(within("clip"), recall);
    let unknown = jackknife(0.5, &without, 1).within((0.0, 1.0));
    assert_eq!(unknown.high, f64::INFINITY);
}

/// For a mean the jackknife's variance is the textbook one; the interval must hold the truth.
#[test]
fn the_jackknife_of_a_mean_is_the_textbook_interval() {
    let studies = 400;
    let mut holds = 0;
    for study in 0..studies {
        let values = normals(5000 + study, 100);
        let without = |group: usize| {
            let rest = values
                .iter()
                .enumerate()
                .filter(|(i, _)| i % GROUPS != group);
            mean(&rest.map(|(_, &x)| x).collect::<Vec<_>>())
        };
        let without: Vec<f64> = (0..GROUPS).map(without).collect();
        let found = jackknife(mean(&values), &without, values.len());
        holds += usize::from(found.low <= 0.0 && 0.0 <= found.high);
    }
    let share = holds as f64 / studies as f64;
    assert!((0.92..=0.98).contains(&share), "{share}");
}

#[test]
fn ranks_see_order_only() {
    let x = [1.0, 2.0, 3.0, 4.0];
    assert_eq!(spearman(&x, &[1.0, 10.0, 100.0, 1000.0]), 1.0);
    assert_eq!(spearman(&x, &[4.0, 3.0, 2.0, 1.0]), -1.0);
    assert_eq!(spearman(&x, &[5.0; 4]), 0.0);
    // By hand: ranks 1.5, 1.5, 3, 4 against 1, 2, 3, 4 give 4.5 / sqrt(4.5 * 5).
    let tied = spearman(&[0.0, 0.0, 1.0, 2.0], &x);
    assert!((tied - 4.5 / (22.5f64).sqrt()).abs() < 1e-12, "{tied}");
}

/// Best of 16 by a verifier of reliability 0.5: its score overstates the quality by about 0.88
/// standard deviations (half of the expected largest of 16, 1.77), the shrunk one by none.
#[test]
fn shrinking_removes_the_winners_curse() {
    let (cells, candidates) = (600, 16);
    let (mut raw, mut corrected, mut pools) = (Vec::new(), Vec::new(), Vec::new());
    let mut seen = Vec::new();
    for cell in 0..cells {
        let half = 0.5f64.sqrt();
        let quality: Vec<f64> = normals(10_000 + 2 * cell, candidates)
            .iter()
            .map(|z| half * z)
            .collect();
        let error = normals(10_001 + 2 * cell, candidates);
        let score: Vec<f64> = quality
            .iter()
            .zip(&error)
            .map(|(q, e)| q + half * e)
            .collect();
        let best = (0..candidates)
            .max_by(|&a, &b| score[a].total_cmp(&score[b]))
            .unwrap();
        pools.push((candidates as u64, pearson(&score, &quality)));
        seen.push((score[best], mean(&score), quality[best]));
    }
    let r = reliability(pools);
    assert!((r - 0.5).abs() < 0.03, "{r}");
    for (best, mean, truth) in seen {
        raw.push(best - truth);
        corrected.push(shrunk(best, mean, r) - truth);
    }
    let (raw, corrected) = (mean(&raw), mean(&corrected));
    assert!((raw - 0.88).abs() < 0.08, "{raw}");
    assert!(corrected.abs() < 0.06, "{corrected}");
}

#[test]
fn a_judge_that_disagrees_confirms_nothing() {
    assert_eq!(reliability([(8, -0.4), (8, -0.2)]), 0.0);
    assert_eq!(reliability([(1, 1.0)]), 0.0);
    assert_eq!(reliability([(2, 1.0), (4, 0.2)]), 0.4f64.powi(2));
}

#[test]
fn the_normal_quantile_inverts_its_distribution() {
    assert!((probit(0.975) - Z).abs() < 1e-8);
    assert!(probit(0.5).abs() < 1e-8);
}
