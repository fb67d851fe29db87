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

/// What names the endpoint of a run, which keeps no grades.
fn variables(server: &Server) -> [(&'static str, PathBuf); 4] {
    let variables = [
        ("NOISESEARCH_LLM_URL", server.url()),
        ("NOISESEARCH_LLM_MODEL", "a-judge".to_owned()),
        ("NOISESEARCH_LLM_KEY", CANARY.to_owned()),
        ("NOISESEARCH_LLM_CACHE", String::new()),
    ];
    variables.map(|(name, value)| (name, PathBuf::from(value)))
}

/// It was printed and forgotten.
#[test]
fn what_a_judge_charged_is_in_the_ledger_and_its_key_is_nowhere() {
    let scratch = Scratch::new("fees");
    let server = Server::new(|request| {
        assert!(request.picture().starts_with("data:image/png;base64,"));
        says(&graded(&request.id(), request.number.into()).to_string())
    });
    let variables = variables(&server);
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

/// Only the overall score came out of an answer that has six.
#[test]
fn every_aspect_is_a_score_and_a_picture_is_asked_about_once() {
    let aspects = [
        "accuracy",
        "originality",
        "quality",
        "consistency",
        "emotion",
    ];
    let server = Server::new(move |request| {
        let mut grade = graded(&request.id(), request.number.into());
        for (place, aspect) in aspects.iter().enumerate() {
            grade[aspect]["score"] = json!(request.number + 10 * (place + 1));
        }
        says(&grade.to_string())
    });
    let variables = variables(&server);
    let watched = aspects.map(|aspect| format!("llm-{aspect}"));
    let watched: Vec<&str> = watched.iter().flat_map(|name| ["--watch", name]).collect();
    let scratch = Scratch::new("aspects");
    let asked = |verifier: &str, watched: &[&str]| {
        let before = server.seen().len();
        let args = "generate --model scenes --steps 1 --budget 3evals --json --verifier";
        let args = args.split(' ').chain([verifier]);
        let args: Vec<&str> = args.chain(watched.iter().copied()).collect();
        let ended = scratch.run_with(&[&args[..], &["a red star"]].concat(), &variables);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let (object, requests) = (ended.json(), server.seen().len() - before);
        let calls = object["spent"]["verifier_calls"].as_u64().unwrap();
        let verifiers = object["best"]["scores"].as_object().unwrap().len();
        assert_eq!(requests, calls as usize / verifiers, "{object}");
        assert_eq!(object["spent"]["fees"]["requests"], requests, "{object}");
        object
    };
    let object = asked("llm", &watched);
    let scores = &object["best"]["scores"];
    for (place, aspect) in aspects.iter().enumerate() {
        let score = scores[format!("llm-{aspect}")].as_f64().unwrap();
        let whole = scores["llm"].as_f64().unwrap();
        assert_eq!(score - whole, 10.0 * (place + 1) as f64, "{scores}");
    }
    let alone = asked("llm-emotion", &[]);
    assert!(alone["best"]["scores"]["llm-emotion"].is_f64(), "{alone}");
    let name = object["run"].as_str().unwrap();
    let report = String::from_utf8(scratch.read(format!("{name}/report.html"))).unwrap();
    let shown = |aspect: &&str| report.contains(&format!("llm-{aspect}"));
    assert!(aspects.iter().all(shown), "{report}");
}
