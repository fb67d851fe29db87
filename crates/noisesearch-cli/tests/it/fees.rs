//! What a judge behind an endpoint charges is written down, and its key is not.

use crate::common::Scratch;
use crate::llm_server::{Server, graded, says};
use serde_json::json;
use std::path::{Path, PathBuf};

const CANARY: &str = "CANARY-sk-4e1d77";

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    };
    paths.flat_map(below).collect()
}

/// It was printed and forgotten.
#[test]
fn what_a_judge_charged_is_in_the_ledger_and_its_key_is_nowhere() {
    let scratch = Scratch::new("fees");
    let server = Server::new(|request| {
        assert!(request.picture().starts_with("data:image/png;base64,"));
        says(&graded(&request.id(), request.number.into()).to_string())
    });
    let variables = [
        ("NOISESEARCH_LLM_URL", server.url()),
        ("NOISESEARCH_LLM_MODEL", "a-judge".to_owned()),
        ("NOISESEARCH_LLM_KEY", CANARY.to_owned()),
        ("NOISESEARCH_LLM_CACHE", String::new()),
    ];
    let variables = variables.map(|(name, value)| (name, PathBuf::from(value)));
    let args = "generate --steps 1 --budget 3evals --verifier clip --watch llm --json";
    let args: Vec<&str> = args.split(' ').chain(["a red star"]).collect();
    let run = scratch.run_with(&args, &variables);
    assert_eq!(run.code, Some(0), "{run:?}");
    let object = run.json();
    let seen = server.seen();
    assert!(seen.iter().all(|request| request.head.contains(CANARY)));
    assert!((1..=4).contains(&server.most()));
    let requests = seen.len() as u64;
    assert!(requests >= 3, "{requests}");
    let fees = json!({
        "requests": requests,
        "tokens_read": 100 * requests,
        "tokens_written": 10 * requests,
    });
    assert_eq!(object["spent"]["fees"], fees);
    assert!(object["billed"].get("fees").is_none(), "{object}");
    let name = object["run"].as_str().unwrap();
    let again = scratch.run_with(&["resume", name, "--json"], &variables);
    assert_eq!(again.json()["spent"]["fees"], fees, "{again:?}");
    let report = scratch.read(format!("{name}/report.html"));
    let report = String::from_utf8(report).unwrap();
    let row = format!("<tr><td>judge requests</td><td>0</td><td>{requests}</td></tr>");
    assert!(report.contains(&row), "{report}");
    assert!(!format!("{run:?} {again:?}").contains(CANARY));
    let written = files(&scratch.path(""));
    assert!(written.len() > 5);
    for path in written {
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes
            .windows(CANARY.len())
            .any(|part| part == CANARY.as_bytes());
        assert!(!found, "{}", path.display());
    }
}
