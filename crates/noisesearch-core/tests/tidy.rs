//! House rules as a test: style that is not tested is an opinion.

use std::fs;
use std::path::{Path, PathBuf};

const COLUMNS_MAX: usize = 100;
const FILE_LINES_MAX: usize = 510;
const FUNCTION_LINES_MAX: usize = 70;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every Rust file of the workspace, as a path from the root and its text.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["crates", "lab/src", "xtask/src"] {
        collect(&root().join(folder), &mut found);
    }
    assert!(found.len() > 50, "only {} files found", found.len());
    found
}

fn collect(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let name = path
                .strip_prefix(root())
                .unwrap_or(&path)
                .display()
                .to_string();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Panics with every breach, if there is one.
fn hold(rule: &str, breaches: Vec<String>) {
    assert!(breaches.is_empty(), "{rule}:\n{}", breaches.join("\n"));
}

/// Lines that hold one of `words`, outside this file.
fn mentions(keep: impl Fn(&str) -> bool, words: &[&str]) -> Vec<String> {
    let mut breaches = Vec::new();
    for (name, text) in sources().iter().filter(|(name, _)| keep(name)) {
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) && !name.ends_with("tidy.rs") {
                breaches.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    breaches
}

#[test]
fn lines_and_files_are_short() {
    let mut breaches = Vec::new();
    for (name, text) in sources() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            breaches.push(format!("{name}: {lines} lines"));
        }
        for (number, line) in text.lines().enumerate() {
            if line.chars().count() > COLUMNS_MAX {
                breaches.push(format!("{name}:{}: too wide", number + 1));
            }
        }
    }
    hold(
        "files of at most 510 lines, lines of at most 100 columns",
        breaches,
    );
}

/// In formatted code a function ends at the first `}` that is indented like its `fn`.
#[test]
fn functions_are_short() {
    let mut breaches = Vec::new();
    for (name, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            let indent = line.len() - code.len();
            let is_function = [
                "fn ",
                "pub fn ",
                "pub(crate) fn ",
                "pub(super) fn ",
                "unsafe fn ",
            ]
            .iter()
            .any(|head| code.starts_with(head));
            if !is_function || code.ends_with(';') {
                continue;
            }
            let end = format!("{}}}", " ".repeat(indent));
            let length = lines[start..]
                .iter()
                .position(|l| *l == end)
                .map_or(1, |n| n + 1);
            if length > FUNCTION_LINES_MAX {
                breaches.push(format!("{name}:{}: {length} lines", start + 1));
            }
        }
    }
    hold("functions of at most 70 lines", breaches);
}

#[test]
fn nothing_is_left_unfinished_or_silenced() {
    let words = [
        "todo!(",
        "unimplemented!(",
        "TODO",
        "FIXME",
        "XXX",
        "#[ignore",
        "allow(dead_code",
    ];
    hold("no unfinished code", mentions(|_| true, &words));
}

#[test]
fn core_has_no_clock_disk_or_thread() {
    let words = [
        "std::fs",
        "Instant::",
        "SystemTime",
        "std::thread",
        "std::net",
    ];
    let core = |name: &str| name.starts_with("crates/noisesearch-core/src");
    hold("core is pure", mentions(core, &words));
    // Model files come in by their doors; a verifier outside this process is reached by its own.
    let doors = [
        "crates/noisesearch-models/src/checkpoint",
        "crates/noisesearch-models/src/weights/store.rs",
        "crates/noisesearch-verifiers/src/command",
        "crates/noisesearch-verifiers/src/llm",
    ];
    let library = |name: &str| {
        (name.starts_with("crates/noisesearch-models/src")
            || name.starts_with("crates/noisesearch-verifiers/src"))
            && !doors.iter().any(|door| name.starts_with(door))
    };
    hold(
        "models and verifiers read no clock and no disk",
        mentions(library, &words),
    );
}

#[test]
fn randomness_is_an_argument() {
    let words = [
        "Tensor::rand",
        "::randn",
        "set_seed",
        "rand::",
        "thread_rng",
    ];
    hold("no generator but noise.rs", mentions(|_| true, &words));
}

#[test]
fn unsafe_code_has_its_places() {
    let places = ["nn/isa", "layers/fused/launch.rs", "noisesearch-allocator"];
    let elsewhere = |name: &str| {
        let inside = places.iter().any(|place| name.contains(place));
        name.starts_with("crates") && name.contains("/src/") && !inside
    };
    hold(
        "unsafe only in nn/isa.rs and its folder, where kernels of a GPU are launched, and in \
         the allocator's option",
        mentions(elsewhere, &["unsafe {", "unsafe fn"]),
    );
}

#[test]
fn an_algorithm_names_its_source() {
    let algorithms = [
        "random.rs",
        "zero_order.rs",
        "paths.rs",
        "euler.rs",
        "heun.rs",
        "ddim.rs",
        "dpmpp_2m.rs",
        "stochastic.rs",
        "guidance.rs",
    ];
    let is_algorithm = |name: &str| {
        name.contains("/src/") && algorithms.iter().any(|a| name.ends_with(&format!("/{a}")))
    };
    let files: Vec<_> = sources()
        .into_iter()
        .filter(|(name, _)| is_algorithm(name))
        .collect();
    assert_eq!(files.len(), algorithms.len());
    let silent = files.iter().filter(|(_, text)| {
        let header: Vec<&str> = text.lines().take_while(|l| l.starts_with("//!")).collect();
        !header.join(" ").contains("arXiv")
    });
    hold(
        "the header names the paper",
        silent.map(|(name, _)| name.clone()).collect(),
    );
}

#[test]
fn every_dependency_says_why() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let reasons = fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap();
    let names = section.lines().skip(1).take_while(|l| !l.starts_with('['));
    let names = names
        .filter_map(|l| l.split_once(" ="))
        .map(|(name, _)| name);
    let silent = names
        .filter(|name| !name.starts_with("noisesearch") && !reasons.contains(&format!("`{name}`")));
    hold(
        "a line in docs/dependencies.md",
        silent.map(str::to_owned).collect(),
    );
}
