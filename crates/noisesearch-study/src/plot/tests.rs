//! Figures of made-up numbers: well-formed, and with everything in them that they should show.

use super::curves::{Chart, Curve, Panel, Point};
use super::heat::{Cell, Heat};
use super::*;
use crate::stats::Estimate;

fn estimate(value: f64) -> Estimate {
    Estimate {
        value,
        low: value - 0.04,
        high: value + 0.05,
        n: 60,
    }
}

fn curve(name: &str, series: usize, gain: f64) -> Curve {
    let point = |k: i32| Point {
        x: 16.0 * 2f64.powi(k),
        y: estimate(0.2 + gain * f64::from(k)),
    };
    Curve {
        name: name.into(),
        series,
        points: (0..7).map(point).collect(),
        published: Vec::new(),
    }
}

fn chart() -> Chart {
    let names = [
        "steps only",
        "random",
        "zero-order N=4",
        "paths N=2 & \"others\" <all>",
    ];
    let curves = names
        .iter()
        .enumerate()
        .map(|(i, name)| curve(name, i, 0.03 * i as f64));
    let mut curves: Vec<Curve> = curves.collect();
    curves[1].published = vec![(32.0, 0.3), (512.0, 0.42)];
    let panel = |title: &str, frontier| Panel {
        title: title.into(),
        curves: curves.clone(),
        falls: false,
        frontier,
    };
    Chart {
        title: "Steps alone flatten; search at the same cost keeps improving".into(),
        x_title: "function evaluations, search and final".into(),
        panels: vec![panel("clip score", false), panel("passes grader, %", true)],
    }
}

fn heat() -> Heat {
    let cell = |gain: f64| Cell {
        value: Some(Estimate {
            value: gain,
            low: gain - 2.1,
            high: gain + 2.4,
            n: 60,
        }),
        signed: true,
        unit: " %",
        gain,
        published: (gain > 5.0).then_some(16.5),
    };
    Heat {
        title: "Each verifier alone trades against the others".into(),
        note: "Gain over no search; below, the 95 % interval.".into(),
        corner: "optimised".into(),
        columns: ["clip score", "looks score", "passes grader, %"]
            .map(Into::into)
            .into(),
        rows: vec![
            ("clip".into(), vec![cell(16.5), cell(-2.2), cell(24.1)]),
            (
                "looks".into(),
                vec![cell(-2.0), cell(10.6), Cell::default()],
            ),
            (
                "mean rank of clip and looks".into(),
                vec![cell(9.1), cell(5.1), cell(46.6)],
            ),
        ],
    }
}

/// Every text of a figure, having checked that it is XML.
fn texts(svg: &str) -> Vec<String> {
    let document = resvg::usvg::roxmltree::Document::parse(svg).unwrap();
    let nodes = document
        .descendants()
        .filter(|node| node.has_tag_name("text"));
    nodes
        .filter_map(|node| node.text().map(str::to_owned))
        .collect()
}

#[test]
fn curves_are_xml_with_every_name_tick_and_mark() {
    let svg = chart().draw().svg();
    let texts = texts(&svg);
    for name in [
        "random",
        "paths N=2 & \"others\" <all>",
        "16",
        "1024",
        "published",
    ] {
        assert!(
            texts.iter().any(|text| text == name),
            "{name} is not in {texts:?}"
        );
    }
    // Four curves in two panels and in the legend, and two strokes of the frontier at least.
    assert!(svg.matches("<polyline").count() >= 2 * 4 + 4 + 2, "{svg}");
    assert_eq!(svg.matches("fill-opacity=\"0.14\"").count(), 8);
    // Published values are hollow: two in each panel, one in the legend.
    assert_eq!(
        svg.matches("fill=\"none\" stroke=\"").count() - svg.matches("<polyline").count(),
        5
    );
}

#[test]
fn a_table_shows_numbers_intervals_and_published_values() {
    let texts = texts(&heat().draw().svg());
    for text in [
        "+16.5 %",
        "14.4 to 18.9",
        "published +16.5",
        "\u{2212}2.2 %",
        "\u{2013}",
    ] {
        assert!(
            texts.iter().any(|found| found == text),
            "{text} is not in {texts:?}"
        );
    }
}

#[test]
fn labels_of_the_cost_axis_never_touch() {
    let mut chart = chart();
    for panel in &mut chart.panels {
        panel.curves[0].points = (1..200)
            .map(|k| Point {
                x: f64::from(k),
                y: estimate(0.1),
            })
            .collect();
    }
    let svg = chart.draw().svg();
    let document = resvg::usvg::roxmltree::Document::parse(&svg).unwrap();
    let labels = document
        .descendants()
        .filter(|n| n.attribute("class") == Some("a soft m"));
    let mut places: Vec<(String, f64)> = labels
        .map(|n| {
            (
                n.attribute("y").unwrap().to_owned(),
                n.attribute("x").unwrap().parse().unwrap(),
            )
        })
        .collect();
    places.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let near = places
        .windows(2)
        .filter(|p| p[0].0 == p[1].0 && p[1].1 - p[0].1 < 40.0);
    assert_eq!(near.count(), 0, "{places:?}");
}

#[test]
fn a_png_holds_the_same_picture_with_letters() {
    let drawing = heat().draw();
    let png = drawing.png().unwrap();
    let picture = resvg::tiny_skia::Pixmap::decode_png(&png).unwrap();
    assert_eq!(picture.width(), 2 * WIDTH as u32);
    let dark = picture
        .pixels()
        .iter()
        .filter(|p| p.red() < 90 && p.green() < 90);
    // Without the font there would be no letters and so no dark pixel.
    assert!(dark.count() > 3000);
    // Nothing is drawn on the last columns: it would be cut off.
    let edge = (0..picture.height()).map(|y| picture.pixel(picture.width() - 2, y).unwrap());
    assert!(edge.into_iter().all(|pixel| pixel.red() == 255));
    if let Ok(folder) = std::env::var("NOISESEARCH_LOOK") {
        for (name, drawing) in [("curves", chart().draw()), ("heat", drawing)] {
            std::fs::write(format!("{folder}/{name}.png"), drawing.png().unwrap()).unwrap();
        }
    }
}

#[test]
fn no_answers_and_one_answer_still_make_a_figure() {
    let mut chart = chart();
    chart.panels[0].curves.clear();
    let few = Estimate {
        low: f64::NEG_INFINITY,
        high: f64::INFINITY,
        ..estimate(0.3)
    };
    chart.panels[1].curves.truncate(1);
    chart.panels[1].curves[0].points = vec![Point { x: 0.0, y: few }];
    let svg = chart.draw().svg();
    assert!(
        texts(&svg)
            .iter()
            .any(|text| text == "no answer has this measure")
    );
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}
