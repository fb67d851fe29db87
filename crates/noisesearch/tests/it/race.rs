//! Races of made-up searches whose true worth is known.

use noisesearch::advise::{Entrant, Race, Unit};
use noisesearch_core::noise::{Stream, candidate_root};
use noisesearch_core::search::{SearchSpec, random};
use std::convert::Infallible;

const TASKS: usize = 12;

/// As many entrants, told apart by their steps; the first `defaults` are defaults.
fn field(entrants: u16, defaults: u16) -> Vec<Entrant> {
    let entrant = |steps| Entrant {
        search: SearchSpec::Random(random::Spec::default()),
        search_steps: steps,
        default: steps < defaults,
    };
    (0..entrants).map(entrant).collect()
}

/// What an entrant gives on a unit of race `race`: chance with deviation 1 and what it is worth.
fn merit(race: u64, unit: Unit, entrant: &Entrant, worth: impl Fn(u16) -> f64) -> Option<f64> {
    let place = unit.seed * TASKS as u64 + unit.task as u64;
    let key = candidate_root(candidate_root(race, place), entrant.search_steps.into());
    let chance = f64::from(Stream::initial(key).normals(2)[0]);
    Some(chance + worth(entrant.search_steps))
}

fn race(number: u64, field: Vec<Entrant>, worth: impl Fn(u16) -> f64 + Copy) -> Race {
    let mut play = |unit: Unit, entrants: &[&Entrant]| {
        let merit = |entrant: &&Entrant| merit(number, unit, entrant, worth);
        Ok::<_, Infallible>(Some(entrants.iter().map(merit).collect()))
    };
    Race::run(field, TASKS, &mut play).unwrap().unwrap()
}

#[test]
fn the_best_way_wins_and_its_cost_is_told() {
    let worth = |steps| match steps {
        1 => 3.0,
        6 => 9.0,
        _ => 0.0,
    };
    let raced = race(1, field(8, 3), worth);
    assert_eq!(raced.advised().search_steps, 6);
    assert_eq!(raced.reference().search_steps, 1);
    let gain = raced.gain().unwrap();
    assert_eq!(gain.n, TASKS);
    // Six above the best default; the deviation of a mean of twelve differences is 0.41.
    assert!((gain.mean - 6.0).abs() < 1.5, "{gain:?}");
    assert!(gain.low > 0.0 && gain.low < gain.mean && gain.mean < gain.high);
    // Heats of four tasks by 8, 4 and 2, and two in the check of all.
    assert_eq!(raced.searches(), 4 * (8 + 4 + 2) + 2 * TASKS);
    let units: Vec<usize> = raced.ran.iter().map(|ran| ran.merits.len()).collect();
    assert_eq!(units.iter().filter(|&&units| units == 4).count(), 4);
    assert_eq!(raced.ran[6].merits.len(), 12);
}

#[test]
fn what_was_best_by_chance_is_expected_to_gain_nothing() {
    let (mut seemed, mut expected) = (0.0, 0.0);
    for number in 0..200 {
        let raced = race(number, field(8, 1), |_| 0.0);
        let mean = |place: usize| {
            let merits: Vec<f64> = raced.ran[place].merits.iter().flatten().copied().collect();
            merits.iter().sum::<f64>() / merits.len() as f64
        };
        seemed += (mean(raced.winner) - mean(raced.reference)) / 200.0;
        let gain = raced.gain().map_or(0.0, |gain| gain.mean);
        expected += gain / 200.0;
        let default = raced.advised().alike(raced.reference());
        assert_eq!(default, gain <= 0.0, "race {number}");
    }
    // Chance made the winner look better in the heats; four deviations of the mean are 0.12.
    assert!(seemed > 0.3, "{seemed}");
    assert!(expected.abs() < 0.12, "{expected}");
}

#[test]
fn the_interval_covers_what_is_true() {
    let covers = (0..400).filter(|&number| {
        let worth = |steps| if steps == 1 { 4.0 } else { 0.0 };
        let gain = race(number, field(2, 1), worth).gain().unwrap();
        gain.low <= 4.0 && 4.0 <= gain.high
    });
    // 95 % of 400 is 380; of twelve pairs a bootstrap covers some fewer.
    let covers = covers.count();
    assert!((360..=396).contains(&covers), "{covers}");
}

#[test]
fn a_default_that_wins_is_not_checked_against_itself() {
    let raced = race(3, field(4, 2), |steps| if steps == 0 { 9.0 } else { 0.0 });
    assert_eq!((raced.winner, raced.reference), (0, 0));
    assert!(raced.gain().is_none() && raced.check.is_empty());
    assert_eq!(raced.advised().search_steps, 0);
}

#[test]
fn who_finds_nothing_loses() {
    let mut play = |unit: Unit, entrants: &[&Entrant]| {
        let merit = |entrant: &&Entrant| match entrant.search_steps {
            2 => merit(5, unit, entrant, |_| 50.0).filter(|_| unit.task != 1),
            _ => merit(5, unit, entrant, |_| 0.0),
        };
        Ok::<_, Infallible>(Some(entrants.iter().map(merit).collect()))
    };
    let raced = Race::run(field(4, 1), TASKS, &mut play).unwrap().unwrap();
    assert_ne!(raced.winner, 2);
}

#[test]
fn a_race_that_is_stopped_says_nothing() {
    let mut left = 5;
    let mut play = |_: Unit, entrants: &[&Entrant]| {
        left -= 1;
        let some = || entrants.iter().map(|_| Some(0.0)).collect();
        Ok::<_, Infallible>((left > 0).then(some))
    };
    assert_eq!(Race::run(field(4, 1), TASKS, &mut play), Ok(None));
    let none = |_: Unit, _: &[&Entrant]| Ok::<_, Infallible>(Some(Vec::new()));
    assert_eq!(Race::run(Vec::new(), TASKS, &mut { none }), Ok(None));
}

#[test]
fn a_kept_race_fits_its_own_field_only() {
    let raced = race(6, field(4, 1), |_| 0.0);
    assert!(raced.fits(&field(4, 1)));
    assert!(!raced.fits(&field(5, 1)) && !raced.fits(&field(4, 2)));
    let lost = Race { winner: 4, ..raced };
    assert!(!lost.fits(&field(4, 1)));
}
