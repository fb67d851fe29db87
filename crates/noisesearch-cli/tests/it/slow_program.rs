//! A verifier's program that answers late: its time is a setting, and the run goes on with more.

use crate::common::{Scratch, cheap};
use crate::programs::judge;
use std::path::PathBuf;

#[test]
fn a_run_that_stopped_for_a_slow_program_goes_on_with_more_time() {
    let scratch = Scratch::new("slow-program");
    // Two seconds for every batch.
    scratch.program("slow.sh", &judge("sleep 2"));
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
