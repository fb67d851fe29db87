//! How often an answer of search beats the answer without, by every verifier.

use crate::answers::Answers;
use crate::check::Place;
use crate::measure::Measure;
use crate::page;
use noisesearch_verifiers::metrics::scores::WinRate;
use std::collections::BTreeSet;

/// No search: the first point of the study's first arm.
const BASE: Place = Place { arm: 0, point: 0 };

/// A table of every arm's last point by verifier; nothing where there is nothing to compare.
pub fn html(answers: &Answers) -> String {
    let names = answers.at(BASE).iter().flat_map(|row| row.scores.keys());
    let measures: BTreeSet<Measure> = names.map(|name| Measure::Score(name.clone())).collect();
    let arms = answers.file.arms.iter().enumerate();
    let arms = arms.filter(|(arm, _)| answers.last(*arm) != BASE);
    let rows = arms.map(|(arm, table)| {
        let places = [BASE, answers.last(arm)];
        let rates = measures.iter().map(|measure| {
            let columns = answers.columns(&places, measure, None);
            cell(WinRate::of(&columns[1], &columns[0]).ok())
        });
        std::iter::once(page::text(&table.name))
            .chain(rates)
            .collect()
    });
    let rows: Vec<Vec<String>> = rows.collect();
    if measures.is_empty() || rows.is_empty() {
        return String::new();
    }
    let mut head = vec!["arm".to_owned()];
    head.extend(measures.iter().map(|measure| page::text(&measure.title())));
    format!(
        "<h2>How often search wins</h2><p>Share of answers at each arm's last point that score \
         higher than the answer without search to the same task and seed; a tie counts half.</p>{}",
        page::card(&page::table(&head, &rows))
    )
}

fn cell(rate: Option<WinRate>) -> String {
    let rate = rate.filter(|rate| rate.n > 0);
    rate.map_or("\u{2013}".into(), |WinRate { value, n, ties }| {
        format!(
            "{:.0} %<br><small>n = {n}, {ties} ties</small>",
            100.0 * value
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FILE, file, rows};

    #[test]
    fn an_arm_that_is_always_better_always_wins() {
        let study = file(FILE);
        let mut rows = rows(&study, 20, &|arm, point| 0.4 + (arm * point) as f64);
        let answers = Answers::new(&study, &rows, None).unwrap();
        let found = html(&answers);
        let wins = "<td>random</td><td>100 %<br><small>n = 20, 0 ties</small></td>";
        assert!(found.contains(wins), "{found}");
        // Where both say the same, half.
        rows.iter_mut()
            .for_each(|row| row.scores.values_mut().for_each(|score| *score = 1.0));
        let answers = Answers::new(&study, &rows, None).unwrap();
        let found = html(&answers);
        let ties = "<td>steps</td><td>50 %<br><small>n = 20, 20 ties</small></td>";
        assert!(found.contains(ties), "{found}");
        assert_eq!(html(&Answers::new(&study, &[], None).unwrap()), "");
    }
}
