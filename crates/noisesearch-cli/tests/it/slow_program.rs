//! A verifier's program that answers late: its time is a setting, and the run goes on with more.

use crate::common::{Scratch, cheap};
use std::path::PathBuf;

/// Two seconds for every batch.
const SLOW: &str = "#!/bin/sh
while read -r line; do
  sleep 2
  id=${line#*'\"id\":'}
  images=$(echo \"$line\" | tr -cd , | wc -c)
  scores=
  for image in $(seq 2 \"$images\"); do scores=\"$scores,1\"; done
  echo \"{\\\"id\\\":${id%%,*},\\\"scores\\\":[${scores#,}]}\"
done
";

#[test]
fn a_run_that_stopped_for_a_slow_program_goes_on_with_more_time() {
    let scratch = Scratch::new("slow-program");
    scratch.program("slow.sh", SLOW);
    let args = cheap(&["--verifier", "cmd:./slow.sh", "--budget", "3evals"]);
    let seconds = |text: &str| [("NOISESEARCH_CMD_SECONDS", PathBuf::from(text))];
    let typing_error = scratch.run_with(&args, &seconds("2m"));
    assert_eq!(typing_error.code, Some(5), "{typing_error:?}");
    assert!(
        typing_error.err.contains("NOISESEARCH_CMD_SECONDS is `2m`"),
        "{typing_error:?}"
    );
    assert!(scratch.runs("runs").is_empty());
    let stopped = scratch.run_with(&args, &seconds("1"));
    assert_eq!(stopped.code, Some(3), "{stopped:?}");
    let says = "gave no answer within 1 s; NOISESEARCH_CMD_SECONDS may allow more";
    assert!(stopped.err.contains(says), "{stopped:?}");
    let run = scratch.runs("runs").pop().unwrap();
    let resumed = scratch.run_with(
        &["resume", run.to_str().unwrap(), "--json"],
        &seconds("100"),
    );
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    // The program's, and those of the verifier that is watched by default.
    assert_eq!(resumed.json()["billed"]["verifier_calls"], 2 * 3);
}
