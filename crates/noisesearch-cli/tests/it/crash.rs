//! R2, R5 and R7 of the reliability plan on the real binary and a real file system.

use crate::common::{CHEAP, Ended, Scratch, cheap, ended};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Kills of one run, at most.
const KILLS_A_RUN: u32 = 5;
/// What each search spends again for a kill, at most: the two rows of the batch in flight. Of a
/// path or a climb that is the whole way from its noise, which was in the cache of the process
/// that died.
const REDONE_NFE: [u64; 5] = [4, 4, 14, 98, 4];

const SEARCHES: [&[&str]; 5] = [
    &["--search", "random", "--budget", "12evals"],
    &[
        "--search",
        "zero-order",
        "--neighbours",
        "3",
        "--budget",
        "12evals",
    ],
    &[
        "--search",
        "paths",
        "--noises",
        "2",
        "--leg-steps",
        "1",
        "--budget",
        "120nfe",
    ],
    &["--search", "first-order", "--budget", "12evals"],
    // The best are made again in f32.
    &["--search-dtype", "bf16-pair", "--budget", "12evals"],
];

fn args(search: &[&'static str]) -> Vec<&'static str> {
    cheap(&[search, &["--batch", "2"]].concat())
}

/// SplitMix64, printed on failure through the seed.
struct Dice(u64);

impl Dice {
    /// In `[0, 1)`.
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// What an undisturbed run leaves behind.
#[derive(PartialEq, Debug)]
struct Left {
    /// `summary.json` without seconds, memory and what was spent.
    summary: Value,
    /// Outcomes in the journal, in order.
    told: Vec<Value>,
    best: Vec<u8>,
    grid: Vec<u8>,
}

fn left(scratch: &Scratch, run: &Path) -> Left {
    let name = run.to_str().unwrap();
    let text = String::from_utf8(scratch.read(run.join("summary.json"))).unwrap();
    let mut summary: Value = serde_json::from_str(&text.replace(name, "RUN")).unwrap();
    for key in ["seconds", "spent", "journal"] {
        summary.as_object_mut().unwrap().remove(key).unwrap();
    }
    // Where the system says it.
    summary.as_object_mut().unwrap().remove("peak_bytes");
    Left {
        summary,
        told: told(&scratch.read(run.join("journal.jsonl"))),
        best: scratch.read(run.join("best.png")),
        grid: scratch.read(run.join("grid.png")),
    }
}

/// Outcomes in whole journal lines: a checksum, a space, JSON.
fn told(journal: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(whole(journal));
    let entry = |line: &str| -> Value { serde_json::from_str(&line[17..]).unwrap() };
    let told = |entry: Value| entry["told"].as_array().cloned().unwrap_or_default();
    text.lines().skip(1).map(entry).flat_map(told).collect()
}

/// Up to the last line end.
fn whole(journal: &[u8]) -> &[u8] {
    let end = journal
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |at| at + 1);
    &journal[..end]
}

fn spent(scratch: &Scratch, run: &Path) -> u64 {
    let summary: Value = serde_json::from_slice(&scratch.read(run.join("summary.json"))).unwrap();
    let spent = |key: &str| summary["spent"][key].as_u64().unwrap();
    spent("search_nfe") + spent("final_nfe")
}

/// Kills that hit a living process, and those of them that hit a run between its first journal
/// line and its summary.
#[derive(Clone, Copy, Default)]
struct Kills {
    all: u64,
    amid: u64,
}

/// One run, killed up to [`KILLS_A_RUN`] times, then left alone.
fn tortured(scratch: &Scratch, search: &[&'static str], whole_s: f64, dice: &mut Dice) -> Kills {
    let (mut kills, mut safe) = (Kills::default(), Vec::new());
    for attempt in 0..=KILLS_A_RUN {
        let mut child = match scratch.runs("runs").pop() {
            Some(run) => scratch.start(&["resume", run.to_str().unwrap(), "--json"]),
            None => scratch.start(&args(search)),
        };
        let mut killed = false;
        if attempt < KILLS_A_RUN {
            std::thread::sleep(Duration::from_secs_f64(dice.roll() * whole_s));
            killed = child.try_wait().unwrap().is_none();
            child.kill().unwrap();
        }
        let Ended { code, err, .. } = ended(child);
        kills.all += u64::from(killed);
        if let Some(run) = scratch.runs("runs").pop() {
            let journal = scratch.read(run.join("journal.jsonl"));
            assert!(journal.starts_with(&safe), "a durable line was lost");
            safe = whole(&journal).to_vec();
            let ended = scratch.path(run).join("summary.json").exists();
            kills.amid += u64::from(killed && !ended);
        }
        if code.is_some() {
            assert_eq!(code, Some(0), "{err}");
            return kills;
        }
    }
    unreachable!("the last attempt is not killed");
}

/// R2: kill -9 at random times, up to five times a run, then resume to the end.
#[test]
fn killed_at_any_time_a_run_resumes_to_the_same_result() {
    let (most, seed) = (
        setting("NOISESEARCH_KILLS", 100),
        setting("NOISESEARCH_SEED", 1),
    );
    println!("NOISESEARCH_KILLS={most} NOISESEARCH_SEED={seed}");
    let mut dice = Dice(seed);
    let mut references = Vec::new();
    for (at, search) in SEARCHES.iter().enumerate() {
        let scratch = Scratch::new(&format!("kill-reference-{at}"));
        let start = Instant::now();
        scratch.done(&args(search));
        let seconds = start.elapsed().as_secs_f64();
        let run = scratch.runs("runs").pop().unwrap();
        references.push((left(&scratch, &run), spent(&scratch, &run), seconds));
    }
    let (mut done, mut runs, mut dearest) = (Kills::default(), 0, 0);
    while done.all < most {
        let at = runs % SEARCHES.len();
        let (search, (reference, cost, seconds)) = (SEARCHES[at], &references[at]);
        let scratch = Scratch::new("kill");
        let kills = tortured(&scratch, search, *seconds, &mut dice);
        let run = scratch.runs("runs").pop().unwrap();
        assert_eq!(scratch.runs("runs").len(), 1);
        let after = format!("{search:?} after {} kills", kills.all);
        assert_eq!(&left(&scratch, &run), reference, "{after}");
        let extra = spent(&scratch, &run).saturating_sub(*cost);
        assert!(
            extra <= kills.all * REDONE_NFE[at],
            "{after}: {extra} NFE were spent again"
        );
        dearest = dearest.max(extra / kills.all.max(1));
        (done.all, done.amid) = (done.all + kills.all, done.amid + kills.amid);
        runs += 1;
    }
    let Kills { all, amid } = done;
    println!("{all} kills of {runs} runs, {amid} amid the search, at most {dearest} NFE each");
    assert!(amid >= most / 5, "only {amid} of {all} kills hit a search");
}

/// A run that was begun and stopped, with work for hours left.
fn unfinished(scratch: &Scratch) -> PathBuf {
    let args = [&["generate"], &CHEAP[..], &["--budget", "10000000evals"]].concat();
    let mut child = scratch.start(&args);
    while scratch.runs("runs").is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "{:?}", ended(child));
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    drop(ended(child));
    scratch.runs("runs").pop().unwrap()
}

/// Its summary is of when it was stopped, and once `verify` held the intact run to it.
#[test]
fn stopped_resumed_and_killed_a_run_is_what_it_says() {
    let scratch = Scratch::new("older-summary");
    let out = |args: &[&str]| scratch.start(&[args, &["--json"]].concat());
    let search = [&CHEAP[..], &["--budget", "10000000evals"]].concat();
    let mut child = out(&[&["generate"], &search[..]].concat());
    let best = || {
        let run = scratch.runs("runs").pop()?;
        std::fs::read(scratch.path(run).join("best.png")).ok()
    };
    let changes = |child: &mut Child, before: Option<Vec<u8>>| {
        while best() == before {
            assert!(child.try_wait().unwrap().is_none(), "it ended");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    changes(&mut child, None);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let stopped = ended(child);
    assert_eq!(stopped.code, Some(3), "{}", stopped.err);
    let run = scratch.runs("runs").pop().unwrap();
    let run = run.to_str().unwrap();
    let before = best();
    let mut child = out(&["resume", run]);
    changes(&mut child, before);
    child.kill().unwrap();
    drop(ended(child));
    let verified = scratch.done(&["verify", run]);
    assert!(verified.out.ends_with("\nall the same\n"), "{verified:?}");
    let refused = scratch.run(&["report", run]);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("resume it"), "{}", refused.err);
}

/// R7: two processes resume one run; one works on it, the other says who does.
#[test]
fn of_two_resumes_one_goes_on_and_the_other_says_who() {
    let scratch = Scratch::new("two");
    let run = unfinished(&scratch);
    let resume = ["resume", run.to_str().unwrap()];
    for race in 0..20 {
        let mut pair = [scratch.start(&resume), scratch.start(&resume)];
        let loser = loop {
            let over = pair
                .each_mut()
                .map(|child| child.try_wait().unwrap().is_some());
            if let Some(loser) = over.iter().position(|&over| over) {
                break loser;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let [first, second] = pair;
        let (lost, mut winner) = if loser == 0 {
            (first, second)
        } else {
            (second, first)
        };
        let (lost, held) = (ended(lost), format!("in use by process {}", winner.id()));
        let journal = run.join("journal.jsonl");
        let before = scratch.read(&journal).len();
        while scratch.read(&journal).len() <= before {
            assert!(
                winner.try_wait().unwrap().is_none(),
                "race {race}: the winner ended"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        winner.kill().unwrap();
        assert_eq!(lost.code, Some(2), "race {race}: {}", lost.err);
        assert!(
            lost.err.contains(&held),
            "race {race}: {held}: {}",
            lost.err
        );
        assert!(ended(winner).code.is_none());
    }
}

/// A tmpfs of a given size, taken away in the end.
struct Small(PathBuf);

impl Small {
    /// `None`, saying why, where mounting is not permitted.
    fn mount(path: PathBuf, bytes: u64) -> Option<Self> {
        std::fs::create_dir(&path).unwrap();
        let options = format!("size={bytes}");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&path);
        let said = match mount.output() {
            Ok(output) if output.status.success() => return Some(Self(path)),
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        println!("skipped: cannot mount a small tmpfs here: {said}");
        None
    }

    /// Takes every free byte.
    fn fill(&self) {
        let mut ballast = std::fs::File::create(self.0.join("ballast")).unwrap();
        for size in [1 << 20, 1 << 12] {
            while ballast.write_all(&vec![1; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).output());
    }
}

/// R5: a disk that is too small is refused before anything is written.
#[test]
fn a_disk_that_is_too_small_is_refused_with_free_and_needed_bytes() {
    let scratch = Scratch::new("small-disk");
    let Some(small) = Small::mount(scratch.path("disk"), 8 << 20) else {
        return;
    };
    let refused = scratch.run(&cheap(&["--budget", "2evals", "--out", "disk"]));
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(
        refused.err.contains(" 8388608 bytes free"),
        "{}",
        refused.err
    );
    assert!(refused.err.contains("67108864"), "{}", refused.err);
    assert_eq!(std::fs::read_dir(&small.0).unwrap().count(), 0);
}

/// R5: real ENOSPC in the middle of a run; when there is room again it goes on to the same end.
#[test]
fn a_full_disk_stops_the_run_and_room_lets_it_go_on() {
    let scratch = Scratch::new("full-disk");
    let Some(small) = Small::mount(scratch.path("disk"), 72 << 20) else {
        return;
    };
    let search = ["--budget", "300evals", "--count", "4", "--out"];
    scratch.done(&cheap(&[&search[..], &["reference"]].concat()));
    let reference = left(&scratch, &scratch.runs("reference").pop().unwrap());
    for round in 0..setting("NOISESEARCH_FULL", 3) {
        let out = format!("disk/{round}");
        let mut child = scratch.start(&cheap(&[&search[..], &[&out]].concat()));
        while scratch.runs(&out).is_empty() {
            assert!(child.try_wait().unwrap().is_none(), "{:?}", ended(child));
            std::thread::sleep(Duration::from_millis(1));
        }
        small.fill();
        let stopped = ended(child);
        small.empty();
        assert_eq!(stopped.code, Some(3), "{}", stopped.err);
        for words in ["disk full: cannot write ", " bytes are free", " resume "] {
            assert!(stopped.err.contains(words), "{words} in {}", stopped.err);
        }
        assert!(stopped.out.is_empty());
        let run = scratch.runs(&out).pop().unwrap();
        scratch.done(&["resume", run.to_str().unwrap()]);
        assert_eq!(left(&scratch, &run), reference);
        std::fs::remove_dir_all(scratch.path(&out)).unwrap();
    }
}
