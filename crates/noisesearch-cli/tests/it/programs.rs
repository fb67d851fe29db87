//! A verifier's program under an odd name, under a run that ends at once, and under a reader that
//! goes.

use crate::common::{Scratch, cheap, ended};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Scores every picture with 1, after `before` was done.
pub fn judge(before: &str) -> String {
    let answer = "
  id=${line#*'\"id\":'}
  images=$(echo \"$line\" | tr -cd , | wc -c)
  scores=
  for image in $(seq 2 \"$images\"); do scores=\"$scores,1\"; done
  echo \"{\\\"id\\\":${id%%,*},\\\"scores\\\":[${scores#,}]}\"
done
";
    format!("#!/bin/sh\nwhile read -r line; do {before}{answer}")
}

/// Its name went through the parser of objectives, and into a target up to its first `=`.
#[test]
fn a_program_may_have_any_name() {
    let scratch = Scratch::new("program-names");
    std::fs::create_dir(scratch.path("c++")).unwrap();
    let (odd, plain) = ("cmd:./c++/2*(a=b),c.sh", "cmd:./plain.sh");
    for name in [odd, plain] {
        scratch.program(name.strip_prefix("cmd:").unwrap(), &judge(""));
    }
    let until = format!("{odd}=2");
    let two = ["--verifier", odd, "--verifier", plain];
    for verifiers in [&two[..2], &two] {
        let more = [verifiers, &["--until", &until, "--budget", "2evals"]].concat();
        let object = scratch.generate(&more);
        assert_eq!(object["best"]["scores"][odd], 1.0, "{object}");
        let run = object["run"].as_str().unwrap();
        scratch.done(&["resume", run]);
    }
}

/// A second Ctrl-C left the program, which listens to nobody, and its folder behind.
#[test]
fn an_end_at_once_takes_programs_and_folders_along() {
    let scratch = Scratch::new("program-killed");
    let alive = scratch.path("alive");
    let deaf = format!(
        "#!/bin/sh\nwhile :; do echo . >> {}; sleep 0.1; done\n",
        alive.display()
    );
    scratch.program("deaf.sh", &deaf);
    std::fs::create_dir(scratch.path("temporary")).unwrap();
    let left = || {
        std::fs::read_dir(scratch.path("temporary"))
            .unwrap()
            .count()
    };
    let beats = || std::fs::metadata(&alive).map_or(0, |file| file.len());
    let mut child = Command::new(env!("CARGO_BIN_EXE_noisesearch"))
        .args(cheap(&[
            "--verifier",
            "cmd:./deaf.sh",
            "--budget",
            "4evals",
        ]))
        .current_dir(scratch.path(""))
        .env("TMPDIR", scratch.path("temporary"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    lines.find(|line| line.as_ref().unwrap().contains("run directory"));
    let began = Instant::now();
    while beats() == 0 || left() == 0 {
        assert!(began.elapsed() < Duration::from_secs(60));
        sleep(Duration::from_millis(20));
    }
    let pid = Pid::from_raw(child.id() as i32).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    lines.find(|line| line.as_ref().unwrap().contains("once more to stop at once"));
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert_eq!(left(), 0);
    sleep(Duration::from_millis(300));
    let last = beats();
    sleep(Duration::from_millis(500));
    assert_eq!(beats(), last, "the program is still there");
}

/// `score .. | head` judged, and had paid, all pictures.
#[test]
fn nothing_is_scored_for_a_reader_that_has_gone() {
    let scratch = Scratch::new("score-head");
    let asked = "echo . >> \"${0%/*}/asked\"; sleep 1; ";
    scratch.program("counts.sh", &judge(asked));
    let object = scratch.generate(&["--budget", "1evals"]);
    let best = scratch.read(object["best"]["image"].as_str().unwrap());
    std::fs::create_dir(scratch.path("many")).unwrap();
    for number in 0..6 * 32 {
        scratch.write(&format!("many/{number}.png"), &best);
    }
    let counts = scratch.path("counts.sh");
    let verifier = format!("cmd:{}", counts.display());
    let args = ["score", "many", "--class", "Q", "--verifier", &verifier];
    let mut child = scratch.start(&args);
    let mut first = [0];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let ended = ended(child);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let questions = scratch.read(PathBuf::from("asked")).len() / 2;
    assert!((1..=2).contains(&questions), "{questions} questions");
}
