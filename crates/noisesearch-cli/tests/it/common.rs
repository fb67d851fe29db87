//! Runs the real binary, each test in a scratch directory of its own.

use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The cheapest model of the lab: a whole candidate is some milliseconds.
pub const CHEAP: [&str; 10] = [
    "--class",
    "Q",
    "--model",
    "glyphs-small",
    "--solver",
    "euler",
    "--steps",
    "2",
    "--seed",
    "7",
];

/// A scratch directory in which the binary runs.
pub struct Scratch(PathBuf);

/// A process that ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// Writes a program that can be started.
    pub fn program(&self, name: &str, text: &str) {
        self.write(name, text);
        let mode = PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(self.path(name), mode).unwrap();
    }

    pub fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        let path = self.path(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub fn start<A: AsRef<std::ffi::OsStr>>(&self, args: &[A]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_noisesearch"));
        command.args(args).current_dir(&self.0).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    pub fn run<A: AsRef<std::ffi::OsStr>>(&self, args: &[A]) -> Ended {
        ended(self.start(args))
    }

    /// Runs with more variables in the environment.
    pub fn run_with(&self, args: &[&str], variables: &[(&str, PathBuf)]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_noisesearch"));
        command.args(args).current_dir(&self.0).stdin(Stdio::null());
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        ended(command.spawn().unwrap())
    }

    /// Runs what must succeed.
    pub fn done<A: AsRef<std::ffi::OsStr>>(&self, args: &[A]) -> Ended {
        let ended = self.run(args);
        assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.err);
        ended
    }

    /// The object that `generate --json` of the cheap model prints.
    pub fn generate(&self, more: &[&str]) -> Value {
        self.done(&cheap(more)).json()
    }

    /// Run directories below `out` that have a journal.
    pub fn runs(&self, out: &str) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.path(out)) else {
            return Vec::new();
        };
        let names = entries.map(|entry| Path::new(out).join(entry.unwrap().file_name()));
        let began = |run: &PathBuf| self.path(run).join("journal.jsonl").exists();
        names.filter(began).collect()
    }
}

impl Ended {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

/// `generate --json` of the cheap model.
pub fn cheap<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["generate", "--json"], &CHEAP[..], more].concat()
}

pub fn ended(child: Child) -> Ended {
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    Ended {
        code: status.code(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

/// The compressed pixels of a PNG: without its text, which says how it was made.
pub fn png_pixels(png: &[u8]) -> Vec<u8> {
    let (mut at, mut pixels) = (8, Vec::new());
    while at + 8 <= png.len() {
        let size = u32::from_be_bytes(png[at..at + 4].try_into().unwrap()) as usize;
        if &png[at + 4..at + 8] == b"IDAT" {
            pixels.extend_from_slice(&png[at + 8..at + 8 + size]);
        }
        at += size + 12;
    }
    assert!(!pixels.is_empty());
    pixels
}

/// Width and height of a PNG.
pub fn png_size(png: &[u8]) -> [u32; 2] {
    [16, 20].map(|at| u32::from_be_bytes(png[at..at + 4].try_into().unwrap()))
}
