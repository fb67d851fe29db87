//! The studies that are shipped: all of them can be run, and their figures drawn.

use crate::answers::Answers;
use crate::check::check;
use crate::file::{FigureKind, StudyFile};
use crate::overlay;
use crate::plan::Plan;
use crate::report::{Study, drawings};
use crate::row::Row;
use crate::testing::rows;
use noisesearch::registry::Registry;
use std::path::{Path, PathBuf};

fn studies(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../studies")
        .join(folder);
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    found.sort();
    found
}

#[test]
fn every_study_of_the_lab_can_be_run_in_both_sizes() {
    let found = studies("lab");
    assert_eq!(found.len(), 10);
    for path in found {
        for quick in [false, true] {
            let plan = Plan::read(&path, &Registry::builtin(), quick).unwrap();
            assert!(
                plan.tasks.len() * plan.seeds as usize >= 24,
                "{}",
                plan.name
            );
            assert!(!plan.file.claims.is_empty() && !plan.file.figures.is_empty());
            if quick {
                let gain = |arm: usize, point: usize| 0.3 + 0.02 * (arm + 1) as f64 * point as f64;
                drawn(
                    &plan.file,
                    path.parent().unwrap(),
                    (&plan.name, &rows(&plan.file, 24, &gain)),
                );
            }
        }
    }
}

/// Weights are not here, so that settings are not checked against models.
#[test]
fn every_study_of_the_paper_is_sound_and_its_published_values_fit() {
    let found = studies("paper");
    assert!(found.len() >= 14, "{found:?}");
    for path in found {
        let file: StudyFile = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        check(&file).unwrap();
        let folder = path.parent().unwrap();
        let mut published = 0;
        for figure in &file.figures {
            let Some(values) = &figure.overlay else {
                continue;
            };
            let values = overlay::read(&folder.join(values)).unwrap();
            for measure in &figure.measures {
                let fits = values.iter().filter(|value| value.measure == *measure);
                let fits = fits
                    .filter(|value| figure.kind == FigureKind::Matrix || value.cost() > Some(0.0));
                let fits = fits.filter(|value| file.arms.iter().any(|arm| arm.name == value.arm));
                published += fits.count();
            }
        }
        let overlaid = file.figures.iter().any(|figure| figure.overlay.is_some());
        assert!(
            !overlaid || published > 3,
            "{}: {published} values",
            path.display()
        );
        drawn(
            &file,
            folder,
            (path.file_stem().unwrap().to_str().unwrap(), &[]),
        );
    }
}

/// Draws every figure, which must be XML without a number that is none.
fn drawn(file: &StudyFile, folder: &Path, (stem, rows): (&str, &[Row])) {
    let answers = Answers::new(file, rows, None).unwrap();
    let study = Study {
        stem,
        folder,
        file,
        rows,
        population: None,
    };
    for (name, drawing) in drawings(&study, &answers).unwrap() {
        let svg = drawing.svg();
        resvg::usvg::roxmltree::Document::parse(&svg).unwrap();
        assert!(
            !svg.contains("NaN") && !svg.contains("inf"),
            "{stem} {name}"
        );
        if let Ok(look) = std::env::var("NOISESEARCH_LOOK") {
            let png = drawing.png().unwrap();
            std::fs::write(format!("{look}/{stem}-{name}.png"), png).unwrap();
        }
    }
}
