//! `cmd:` against programs that behave and programs that do not.

use candle_core::{Device, Tensor};
use noisesearch_models::task::Task;
use noisesearch_verifiers::command::{Command, CommandError, LimitError, Limits, MEMORY, SECONDS};
use noisesearch_verifiers::conformance;
use noisesearch_verifiers::picture::Picture;
use noisesearch_verifiers::verifier::Verifier;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A program may not be started while another thread, about to start one, inherited the handle
/// that wrote it; so the tests of this file go one by one.
static ONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("command-{name}"));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn limits(millis: u64) -> Limits {
    Limits {
        batch: Duration::from_millis(millis),
        ..Limits::default()
    }
}

fn task() -> Task {
    Task::Prompt("a red \"cross\"\n".into())
}

fn pictures(count: usize) -> Vec<Picture> {
    let picture = |i: usize| Picture {
        width: 4,
        height: 2,
        channels: 3,
        pixels: vec![i as u8; 24],
    };
    (0..count).map(picture).collect()
}

/// What two questions about two pictures give.
fn asked(path: &Path, limits: Limits) -> Result<Vec<Vec<f64>>, CommandError> {
    let command = Command::start(path, limits)?;
    (0..2)
        .map(|_| command.judge(&task(), &pictures(2)))
        .collect()
}

/// Children of this process that have not been waited for.
fn children() -> usize {
    let list = |entry: std::io::Result<std::fs::DirEntry>| {
        let stat = std::fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
        let parent = stat.rsplit(')').next()?.split_whitespace().nth(1)?;
        (parent == std::process::id().to_string()).then_some(())
    };
    std::fs::read_dir("/proc").unwrap().filter_map(list).count()
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Folders that this process left behind.
fn leftovers() -> usize {
    let mine = format!("noisesearch-{}-", std::process::id());
    let entries = std::fs::read_dir(std::env::temp_dir()).unwrap();
    let left = entries.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with(&mine)
    });
    left.count()
}

#[test]
fn the_example_scores_and_conforms() {
    let _alone = alone();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/score.py");
    let command = Command::start(&example, Limits::default()).unwrap();
    assert!(command.id().name.starts_with("cmd:/"));
    assert_eq!(command.id().weights.len(), 64);
    let values: Vec<f32> = (0..3 * 3 * 8 * 8)
        .map(|i| (i * i % 97) as f32 / 96.0)
        .collect();
    let images = Tensor::from_vec(values, (3, 3, 8, 8), &Device::Cpu).unwrap();
    conformance::verifier(&command, &task(), &images).unwrap();
    let class = Task::Class("Q".into());
    assert_eq!(command.judge(&class, &pictures(5)).unwrap().len(), 5);
    drop(command);
    assert_eq!(leftovers(), 0);
}

const ECHO: &str = r#"#!/usr/bin/env python3
import json, os, sys
for line in sys.stdin:
    asked = json.loads(line)
    assert asked["prompt"] == 'a red "cross"\n', asked
    assert all(open(path, "rb").read(4) == b"\x89PNG" for path in asked["images"])
    assert not {"HOME", "USER", "CARGO", "CARGO_MANIFEST_DIR"} & set(os.environ), os.environ
    assert os.stat(".").st_mode & 0o777 == 0o700
    assert os.getcwd() == os.path.dirname(asked["images"][0])
    assert len(os.listdir(".")) == 2, "images of earlier questions are gone"
    assert os.getpgid(0) == os.getpid()
    sys.stderr.write("progress\n" * 20000)
    print(json.dumps({"id": asked["id"], "scores": [asked["id"], -1e-300]}), flush=True)
"#;

#[test]
fn a_program_sees_only_what_it_is_told_and_may_chat_on_stderr() {
    let _alone = alone();
    let path = script(&folder("echo"), "echo.py", ECHO);
    let scores = asked(&path, limits(20_000)).unwrap();
    assert_eq!(scores, [[1.0, -1e-300], [2.0, -1e-300]]);
}

/// Name, script, and what the error says. Each asks twice, within a second and a half.
const MISBEHAVIOUR: [(&str, &str, &str); 29] = [
    ("hang", "read q; sleep 60", "no answer within"),
    ("never reads", "sleep 60", "no answer within"),
    (
        "ignores signals",
        "trap '' TERM INT HUP; read q; sleep 60",
        "no answer within",
    ),
    (
        "partial line",
        "read q; printf '{\"id\":1,\"scores\":[1'; sleep 60",
        "no answer within",
    ),
    (
        "partial line, then exit",
        "read q; printf '{\"id\":1'; exit 3",
        "exit status 3",
    ),
    (
        "flood without end of line",
        "read q; yes | tr -d '\\n'",
        "a line of more than 65536 bytes",
    ),
    (
        "gigabyte of lines",
        "read q; yes | head -c 1000000000",
        "which is not",
    ),
    ("gigabyte of stderr", "read q; yes >&2", "no answer within"),
    (
        "one score",
        "read q; echo '{\"id\":1,\"scores\":[1]}'; read q",
        "1 scores for 2 images",
    ),
    (
        "three scores",
        "read q; echo '{\"id\":1,\"scores\":[1,2,3]}'; read q",
        "3 scores for 2",
    ),
    (
        "no score",
        "read q; echo '{\"id\":1,\"scores\":[]}'; read q",
        "0 scores for 2 images",
    ),
    (
        "NaN",
        "read q; echo '{\"id\":1,\"scores\":[1,NaN]}'; read q",
        "which is not",
    ),
    (
        "infinity",
        "read q; echo '{\"id\":1,\"scores\":[1,1e999]}'; read q",
        "out of range",
    ),
    (
        "null",
        "read q; echo '{\"id\":1,\"scores\":[1,null]}'; read q",
        "invalid type: null",
    ),
    (
        "a word",
        "read q; echo '{\"id\":1,\"scores\":[1,\"2\"]}'; read q",
        "invalid type: string",
    ),
    (
        "wrong id",
        "read q; echo '{\"id\":7,\"scores\":[1,2]}'; read q",
        "answered question 7 when",
    ),
    (
        "stale id",
        "while read q; do echo '{\"id\":1,\"scores\":[1,2]}'; done",
        "question 1 when asked",
    ),
    (
        "negative id",
        "read q; echo '{\"id\":-1,\"scores\":[1,2]}'; read q",
        "invalid value",
    ),
    (
        "no id",
        "read q; echo '{\"scores\":[1,2]}'; read q",
        "missing field `id`",
    ),
    (
        "other keys",
        "read q; echo '{\"id\":1,\"scores\":[1,2],\"x\":0}'; read q",
        "unknown field",
    ),
    ("not JSON", "read q; echo hello; read q", "answered `hello`"),
    (
        "control characters",
        "read q; printf 'a\\033[31mb\\n'; read q",
        "answered `a [31mb`",
    ),
    (
        "deep nesting",
        "read q; head -c 50000 /dev/zero | tr '\\0' '['; echo; read q",
        "which is not",
    ),
    (
        "chatter first",
        "echo hi; sleep 1",
        "wrote to stdout before it was asked: hi",
    ),
    (
        "two lines",
        "read q; echo '{\"id\":1,\"scores\":[1,2]}\nmore'; read q",
        "before it was asked",
    ),
    ("exit at once", "exit 4", "exit status 4"),
    (
        "exit in a batch",
        "read q; echo 'out of luck' >&2; exit 1",
        "it said: out of luck",
    ),
    ("killed", "read q; kill -9 $$", "killed by signal 9"),
    (
        "closes stdout",
        "read q; exec >&-; sleep 60",
        "it closed its stdout",
    ),
];

#[test]
fn every_misbehaviour_is_an_error_and_leaves_nothing_behind() {
    let _alone = alone();
    let folder = folder("misbehaviour");
    let (files, processes) = (open_files(), children());
    for (number, (name, body, says)) in MISBEHAVIOUR.into_iter().enumerate() {
        let text = format!("#!/bin/sh\n{body}\n");
        let path = script(&folder, &format!("{number}.sh"), &text);
        let began = Instant::now();
        let command = Command::start(&path, limits(1500)).unwrap();
        // The chatter must be there before the first question.
        std::thread::sleep(Duration::from_millis(if name.contains("first") {
            300
        } else {
            0
        }));
        let first = command.judge(&task(), &pictures(2));
        let error = match first {
            Ok(_) => command.judge(&task(), &pictures(2)).expect_err(name),
            Err(error) => error,
        };
        assert!(error.to_string().contains(says), "{name}: {error}");
        let again = command.judge(&task(), &pictures(2)).expect_err(name);
        assert!(
            again.to_string().contains("was ended before"),
            "{name}: {again}"
        );
        drop(command);
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{name}: {:?}",
            began.elapsed()
        );
        assert_eq!((open_files(), children()), (files, processes), "{name}");
    }
    assert_eq!(leftovers(), 0);
}

#[test]
fn what_a_program_started_dies_with_it() {
    let _alone = alone();
    let folder = folder("offspring");
    let note = folder.join("pid");
    let body = format!(
        "sleep 300 & echo $! > {}; read q; sleep 300",
        note.display()
    );
    let path = script(&folder, "fork.sh", &format!("#!/bin/sh\n{body}\n"));
    let error = asked(&path, limits(500)).unwrap_err();
    assert!(error.to_string().contains("no answer"), "{error}");
    let pid = std::fs::read_to_string(note).unwrap();
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    let gone = |stat: String| {
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| rest.starts_with(" Z"))
    };
    let deadline = Instant::now() + Duration::from_secs(5);
    while !state().map_or(true, gone) {
        assert!(Instant::now() < deadline, "process {pid} lives on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn limits_of_the_system_hold() {
    let _alone = alone();
    let folder = folder("limits");
    let text = "#!/usr/bin/env python3\nimport sys\nfor _ in sys.stdin: ";
    let hungry = script(
        &folder,
        "hungry.py",
        &format!("{text}x = bytearray(2 << 30)\n"),
    );
    let small = Limits {
        memory: Some(1 << 30),
        ..limits(20_000)
    };
    let error = asked(&hungry, small).unwrap_err().to_string();
    assert!(error.contains("MemoryError"), "{error}");
    let writer = format!("{text}open('x', 'wb').write(bytes(2 << 20))\n");
    let writer = script(&folder, "writer.py", &writer);
    let small = Limits {
        file: 1 << 20,
        ..limits(20_000)
    };
    let error = asked(&writer, small).unwrap_err().to_string();
    assert!(
        error.contains("too large") || error.contains("signal 25"),
        "{error}"
    );
    let busy = script(
        &folder,
        "busy.sh",
        "#!/bin/sh\nread q\nwhile :; do :; done\n",
    );
    let small = Limits {
        cpu_seconds: 1,
        ..limits(20_000)
    };
    let error = asked(&busy, small).unwrap_err().to_string();
    assert!(error.contains("killed by signal"), "{error}");
}

#[test]
fn a_program_that_cannot_start_is_an_error() {
    let _alone = alone();
    let folder = folder("start");
    let missing = Command::start(&folder.join("none"), Limits::default()).unwrap_err();
    assert!(
        missing.to_string().contains("none: No such file"),
        "{missing}"
    );
    let is_folder = Command::start(&folder, Limits::default()).unwrap_err();
    assert!(
        is_folder.to_string().contains("not an executable file"),
        "{is_folder}"
    );
    let plain = script(&folder, "plain", "#!/bin/sh\n");
    std::fs::set_permissions(&plain, std::fs::Permissions::from_mode(0o644)).unwrap();
    let plain = Command::start(&plain, Limits::default()).unwrap_err();
    assert!(plain.to_string().contains("chmod +x"), "{plain}");
    let bare = script(&folder, "bare", "print('no first line')\n");
    let bare = Command::start(&bare, Limits::default()).unwrap_err();
    assert!(bare.to_string().contains("#!/usr/bin/env"), "{bare}");
    let lost = script(&folder, "lost", "#!/no/such/interpreter\n");
    let lost = Command::start(&lost, Limits::default()).unwrap_err();
    assert!(lost.to_string().contains("cannot start"), "{lost}");
    assert_eq!(leftovers(), 0);
}

#[test]
fn the_time_limit_is_set_by_a_variable() {
    let set = |text: &str| {
        let text = text.to_owned();
        Limits::from_variables(|name| (name == SECONDS).then(|| text.clone()))
    };
    assert_eq!(Limits::from_variables(|_| None), Ok(Limits::default()));
    assert_eq!(set(" "), Ok(Limits::default()));
    assert_eq!(set("900").unwrap().batch, Duration::from_secs(900));
    for wrong in ["0", "-1", "1.5", "2m", "86401", "99999999999999999999"] {
        assert_eq!(set(wrong), Err(LimitError::Seconds(wrong.to_owned())));
    }
    let example = Path::new("none");
    let error = Command::from_variables(example, |_| Some("soon".to_owned())).unwrap_err();
    let says = "NOISESEARCH_CMD_SECONDS is `soon`; it is a whole number of seconds from 1 to 86400";
    assert_eq!(error.to_string(), says);
}

/// CUDA reserves more address space than any limit, and no variable said so.
#[test]
fn the_memory_limit_is_set_by_a_variable() {
    let _alone = alone();
    let set = |text: &str| {
        let text = text.to_owned();
        Limits::from_variables(move |name| (name == MEMORY).then(|| text.clone()))
    };
    assert_eq!(set(""), Ok(Limits::default()));
    assert_eq!(set(" none ").unwrap().memory, None);
    assert_eq!(set("16GB").unwrap().memory, Some(16_000_000_000));
    assert_eq!(set("500 MB").unwrap().memory, Some(500_000_000));
    for wrong in ["0GB", "-1GB", "16", "GB", "all", "99999999999999GB"] {
        let error = set(wrong).unwrap_err();
        assert_eq!(error, LimitError::Memory(wrong.to_owned()));
    }
    let folder = folder("memory");
    let text = "#!/usr/bin/env python3\nimport mmap, sys\nfor _ in sys.stdin: ";
    let reserves =
        format!("{text}x = mmap.mmap(-1, 80 << 30, flags=0x4022); print('{{}}', flush=True)\n");
    let reserves = script(&folder, "reserves.py", &reserves);
    for (memory, says) in [("64GB", "ENOMEM"), ("none", "answered `{}`")] {
        let error = asked(&reserves, set(memory).unwrap())
            .unwrap_err()
            .to_string();
        let says = says.replace("ENOMEM", "Cannot allocate memory");
        assert!(error.contains(&says), "{error}");
    }
}
