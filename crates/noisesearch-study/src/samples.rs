//! Sample grids: the answers to a few tasks along the budget of every arm.

use crate::answers::Answers;
use crate::check::Place;
use crate::file::CostAxis;
use crate::page;
use crate::plot::scale::{number, short};
use crate::report::Pictures;
use crate::row::Row;
use noisesearch_verifiers::base64;
use std::collections::BTreeSet;

/// Tasks shown.
const TASKS: usize = 4;

/// A grid for the first task of each of the first categories, or for the first tasks.
pub fn html(answers: &Answers, pictures: &mut Pictures) -> String {
    let mut html = String::new();
    for unit in shown(answers) {
        html += &grid(answers, unit, pictures).unwrap_or_default();
    }
    match html.is_empty() {
        true => html,
        false => format!(
            "<h2>Answers along the budget</h2><p>The same task and seed everywhere; below each \
             picture its NFE, its score by the first optimised verifier, and whether it passes.\
             </p>{html}"
        ),
    }
}

/// Units that are shown.
fn shown(answers: &Answers) -> Vec<usize> {
    let rows = answers.at(Place { arm: 0, point: 0 });
    first_of_each(
        rows.iter()
            .map(|row| (row.task.as_str(), row.category.as_deref())),
    )
}

/// Places of the tasks that are shown, given each task and its category: the first of each of the
/// first categories, and the first tasks where they have none.
pub fn first_of_each<'a>(tasks: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    let new = tasks
        .enumerate()
        .filter(|(_, (task, kind))| seen.insert(kind.unwrap_or(task)));
    new.map(|(place, _)| place).take(TASKS).collect()
}

/// One row of pictures an arm; `None` where there is no picture at all.
fn grid(answers: &Answers, unit: usize, pictures: &mut Pictures) -> Option<String> {
    let mut rows = String::new();
    let mut any = false;
    for (arm, table) in answers.file.arms.iter().enumerate() {
        rows += &format!("<tr><td>{}</td>", page::text(&table.name));
        for point in 0..table.points.len() {
            let place = Place { arm, point };
            let row = answers.at(place).get(unit)?;
            let picture = pictures(row);
            any |= picture.is_some();
            rows += &cell(answers, (place, row), picture);
        }
        rows += "</tr>";
    }
    let task = &answers.at(Place { arm: 0, point: 0 }).get(unit)?.task;
    let table = format!(
        "<p>{}</p><table class=\"samples\">{rows}</table>",
        page::text(task)
    );
    any.then(|| page::card(&table))
}

fn cell(answers: &Answers, (place, row): (Place, &Row), picture: Option<Vec<u8>>) -> String {
    let Some(png) = picture else {
        return "<td>\u{2013}</td>".into();
    };
    let data = base64::encode(&png);
    let cost = answers
        .cost(place, CostAxis::TotalNfe)
        .map_or(String::new(), short);
    let score = row.optimised.first().and_then(|name| row.scores.get(name));
    let score = score.map_or(String::new(), |score| format!(" \u{b7} {}", number(*score)));
    let passes = match row.passes.values().next() {
        Some(true) => " \u{2713}",
        Some(false) => " \u{2717}",
        None => "",
    };
    format!(
        "<td><img alt=\"answer at {cost} NFE\" src=\"data:image/png;base64,{data}\"><small>{cost}\
         {score}{passes}</small></td>"
    )
}
