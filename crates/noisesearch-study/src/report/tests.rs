//! Whole reports of made-up studies.

use super::*;
use crate::findings;
use crate::testing::{FILE, file, rows};

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("noisesearch-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn search_wins(arm: usize, point: usize) -> f64 {
    0.45 + [0.01, 0.06][arm] * point as f64
}

/// A 1x1 PNG.
const DOT: &[u8] = b"\x89PNG\r\n\x1a\nnot a picture, but bytes that must come through";

#[test]
fn a_report_needs_nothing_but_itself_and_shows_everything() {
    let study_file = file(FILE);
    let rows = rows(&study_file, 36, &search_wins);
    let out = folder("report");
    let study = Study {
        stem: "made-up",
        folder: &out,
        file: &study_file,
        rows: &rows,
        population: None,
    };
    let mut asked = Vec::new();
    let mut pictures = |row: &Row| {
        asked.push((row.arm.clone(), row.point, row.task.clone()));
        Some(DOT.to_vec())
    };
    write(&study, &out, &mut pictures).unwrap();
    let html = std::fs::read_to_string(out.join("report.html")).unwrap();
    for text in [
        "Search keeps improving where steps do not",
        "search gains more than steps do",
        "<span class=\"chip holds\">holds</span>",
        "random@-1 + steps@0 \u{2212} random@0 \u{2212} steps@-1",
        "prefers-color-scheme:dark",
        "The winner&#39;s curse".replace("&#39;", "'").as_str(),
        "<td>random@2</td>",
        "36 pairs of task and seed",
        "How often search wins",
        "Of 36 answers where no other n is said",
        "Made up.",
    ] {
        assert!(html.contains(text), "{text}");
    }
    // No network: no address but that of the picture format's own names.
    assert!(
        !html.contains("http")
            || html.matches("http").count() == html.matches("http-equiv").count()
    );
    // Three categories, two arms, three points.
    assert_eq!(asked.len(), 18);
    assert_eq!(html.matches("data:image/png;base64,").count(), 18);
    for figure in ["scaling", "matrix", "categories", "frontier"] {
        let svg = std::fs::read_to_string(out.join(format!("figures/{figure}.svg"))).unwrap();
        resvg::usvg::roxmltree::Document::parse(&svg).unwrap();
        assert!(out.join(format!("figures/{figure}.png")).exists());
    }
    if let Ok(look) = std::env::var("NOISESEARCH_LOOK") {
        std::fs::write(format!("{look}/report.html"), &html).unwrap();
    }
    std::fs::remove_dir_all(&out).unwrap();
}

#[test]
fn findings_hold_verdict_effect_interval_n_cost_and_figure() {
    let study_file = file(FILE);
    let rows = rows(&study_file, 36, &|arm, point| search_wins(1 - arm, point));
    let out = folder("findings");
    let study = Study {
        stem: "made-up",
        folder: &out,
        file: &study_file,
        rows: &rows,
        population: None,
    };
    let path = out.join("findings.md");
    findings::write(&[study], &path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    for part in [
        "**does not hold** | 1 of 2 | 36 |",
        "(#search-keeps-improving)",
        "**Does not hold**, over 36 answers (36 tasks).",
        "![Search keeps improving](findings/made-up-scaling.png)",
        "random 256 NFE and 16 candidates",
        "| arm | verifier | a candidate | the selected | corrected, 95 % interval |",
        "| random | clip | ",
        " | 0.36 by grader | 36 |",
        "Made up.",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(out.join("findings/made-up-matrix.svg").exists());
    std::fs::remove_dir_all(&out).unwrap();
}

#[test]
fn hostile_names_stay_text() {
    let text = FILE.replace("name = \"random\"", "name = \"<script>alert(1)</script>\"");
    let text = text.replace("random@", "<script>alert(1)</script>@");
    let study_file = file(&text);
    let mut rows = rows(&study_file, 4, &search_wins);
    rows.iter_mut()
        .for_each(|row| row.task += "<img src=x onerror=alert(1)>\u{1}");
    let out = folder("hostile");
    let study = Study {
        stem: "made-up",
        folder: &out,
        file: &study_file,
        rows: &rows,
        population: None,
    };
    write(&study, &out, &mut |_| Some(DOT.to_vec())).unwrap();
    let html = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(!html.contains("<script") && !html.contains("<img src=x"));
    let svg = std::fs::read_to_string(out.join("figures/scaling.svg")).unwrap();
    resvg::usvg::roxmltree::Document::parse(&svg).unwrap();
    std::fs::remove_dir_all(&out).unwrap();
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let study_file = file(FILE);
    let rows = rows(&study_file, 3, &search_wins);
    let (folder, out) = (Path::new("."), Path::new("/dev/null/out"));
    let study = Study {
        stem: "made-up",
        folder,
        file: &study_file,
        rows: &rows,
        population: None,
    };
    let error = write(&study, out, &mut |_| None).unwrap_err().to_string();
    assert!(error.contains("/dev/null/out/figures"), "{error}");
}
