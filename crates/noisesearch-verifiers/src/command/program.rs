//! A program that is spoken to by lines, and is never waited for longer than agreed.

use super::leftover::{self, Leftover};
use crate::limits::{
    COMMAND_CPU_SECONDS_MAX, COMMAND_FILE_BYTES_MAX, COMMAND_MEMORY_BYTES_MAX,
    COMMAND_OPEN_FILES_MAX, COMMAND_REPLY_BYTES_MAX, COMMAND_SECONDS, COMMAND_SECONDS_MAX,
    COMMAND_STDERR_BYTES_KEPT,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

/// Seconds for one batch, a whole number.
pub const SECONDS: &str = "NOISESEARCH_CMD_SECONDS";
/// Address space, such as `16GB`, or `none` for no limit.
pub const MEMORY: &str = "NOISESEARCH_CMD_MEMORY";

/// What a program may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time for one batch.
    pub batch: Duration,
    /// Bytes of address space; `None` for no limit, which CUDA needs.
    pub memory: Option<u64>,
    /// Seconds of processor time in all.
    pub cpu_seconds: u64,
    /// Bytes of a file that it writes.
    pub file: u64,
    /// Files that it has open.
    pub open_files: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch: Duration::from_secs(COMMAND_SECONDS),
            memory: Some(COMMAND_MEMORY_BYTES_MAX),
            cpu_seconds: COMMAND_CPU_SECONDS_MAX,
            file: COMMAND_FILE_BYTES_MAX,
            open_files: COMMAND_OPEN_FILES_MAX,
        }
    }
}

/// A variable that sets no limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// A time limit that is none.
    #[error("{SECONDS} is `{0}`; it is a whole number of seconds from 1 to {COMMAND_SECONDS_MAX}")]
    Seconds(String),
    /// A number of bytes that is none.
    #[error(
        "{MEMORY} is `{0}`; it is a whole number and its unit, such as 16GB or 500MB, or none \
         for no limit"
    )]
    Memory(String),
}

impl Limits {
    /// The default ones with what variables say, looked up by name; one that is empty is not set.
    pub fn from_variables(look: impl Fn(&str) -> Option<String>) -> Result<Self, LimitError> {
        let set = |name| look(name).filter(|text| !text.trim().is_empty());
        let shown = |text: String| text.chars().take(80).collect();
        let mut limits = Self::default();
        if let Some(text) = set(SECONDS) {
            let seconds = text.trim().parse().ok();
            let seconds = seconds.filter(|seconds| (1..=COMMAND_SECONDS_MAX).contains(seconds));
            let seconds = seconds.ok_or_else(|| LimitError::Seconds(shown(text)))?;
            limits.batch = Duration::from_secs(seconds);
        }
        if let Some(text) = set(MEMORY) {
            limits.memory = match text.trim() {
                "none" => None,
                size => Some(bytes(size).ok_or_else(|| LimitError::Memory(shown(text.clone())))?),
            };
        }
        Ok(limits)
    }
}

/// A positive number of bytes, with its unit.
fn bytes(text: &str) -> Option<u64> {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000)];
    let of_unit = |(unit, bytes): &(&str, u64)| {
        let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        number.checked_mul(*bytes).filter(|&bytes| bytes > 0)
    };
    units.iter().find_map(of_unit)
}

/// How a program failed to answer.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No whole line in time.
    #[error("gave no answer within {} s; {SECONDS} may allow more", .0.as_secs_f32())]
    TooSlow(Duration),
    /// A line that does not end.
    #[error("answered with a line of more than {COMMAND_REPLY_BYTES_MAX} bytes")]
    TooLong,
    /// It ended, or closed its output.
    #[error("ended before it answered ({how}){}", quoted(.said))]
    Ended {
        /// Its exit status, in words.
        how: String,
        /// The end of what it wrote to stderr.
        said: String,
    },
    /// Output before a question.
    #[error("wrote to stdout before it was asked: {0}")]
    Unasked(String),
    /// The system failed.
    #[error("cannot be spoken to: {0}")]
    Io(#[from] io::Error),
}

fn quoted(text: &str) -> String {
    match text.is_empty() {
        true => String::new(),
        false => format!("; it said: {text}"),
    }
}

/// A running program with its pipes. Dropping it kills it and everything it started.
#[derive(Debug)]
pub struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
    /// `None` once it was closed.
    errors: Option<ChildStderr>,
    /// Read from its stdout and not yet used.
    heard: Vec<u8>,
    /// The end of what it wrote to stderr.
    said: Vec<u8>,
}

impl Program {
    /// Starts `path` in `folder`, in a process group of its own, with nothing in its environment
    /// but `PATH`. On Linux the limits hold from before its first question.
    pub fn start(path: &Path, folder: &Path, limits: &Limits) -> io::Result<Self> {
        let mut command = std::process::Command::new(path);
        command
            .current_dir(folder)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let group = |child: &Child| pid(child).map(Leftover::Group);
        let mut child = leftover::make(|| command.spawn(), group)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(errors)) = pipes else {
            return Err(io::Error::other("it has no pipes"));
        };
        // From here on dropping the program ends the process.
        let program = Self {
            child,
            input: Some(input),
            output,
            errors: Some(errors),
            heard: Vec::new(),
            said: Vec::new(),
        };
        if let (Some(input), Some(errors)) = (&program.input, &program.errors) {
            fcntl_setfl(input, OFlags::NONBLOCK)?;
            fcntl_setfl(errors, OFlags::NONBLOCK)?;
        }
        fcntl_setfl(&program.output, OFlags::NONBLOCK)?;
        restrict(pid(&program.child), limits)?;
        Ok(program)
    }

    /// Writes `line` and reads one line, both within `time`. After a fault there is nothing more
    /// to ask.
    pub fn ask(&mut self, line: &[u8], time: Duration) -> Result<Vec<u8>, Fault> {
        let deadline = Instant::now() + time;
        self.hear()?;
        if !self.heard.is_empty() {
            return Err(Fault::Unasked(readable(&self.heard)));
        }
        let mut rest = line;
        loop {
            if let Some(end) = self.heard.iter().position(|&byte| byte == b'\n') {
                let after = self.heard.split_off(end + 1);
                return Ok(std::mem::replace(&mut self.heard, after));
            }
            if self.heard.len() > COMMAND_REPLY_BYTES_MAX {
                return Err(Fault::TooLong);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.wait(!rest.is_empty(), left)? {
                return Err(Fault::TooSlow(time));
            }
            rest = self.write(rest)?;
            self.listen()?;
            if self.hear()? && !self.heard.contains(&b'\n') {
                return Err(self.ended());
            }
        }
    }

    /// Waits until something can be read, or written if `writing`; false when `left` passed.
    fn wait(&self, writing: bool, left: Duration) -> io::Result<bool> {
        let mut pipes = vec![PollFd::new(&self.output, PollFlags::IN)];
        if let Some(errors) = &self.errors {
            pipes.push(PollFd::from_borrowed_fd(errors.as_fd(), PollFlags::IN));
        }
        if let Some(input) = self.input.as_ref().filter(|_| writing) {
            pipes.push(PollFd::from_borrowed_fd(input.as_fd(), PollFlags::OUT));
        }
        wait_for(&mut pipes, left)
    }

    /// Writes what the pipe takes of `line` and returns the rest; empty when nobody reads it.
    fn write<'a>(&mut self, line: &'a [u8]) -> io::Result<&'a [u8]> {
        let Some(input) = self.input.as_mut().filter(|_| !line.is_empty()) else {
            return Ok(&[]);
        };
        match input.write(line) {
            Ok(written) => Ok(&line[written..]),
            Err(error) if transient(&error) => Ok(line),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(&[]),
            Err(error) => Err(error),
        }
    }

    /// Reads what is there of its stdout, up to the limit; true when it is closed.
    fn hear(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        while self.heard.len() <= COMMAND_REPLY_BYTES_MAX {
            match self.output.read(&mut buffer) {
                Ok(0) => return Ok(true),
                Ok(count) => self.heard.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if transient(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Reads some of its stderr and keeps the end.
    fn listen(&mut self) -> io::Result<()> {
        let Some(errors) = &mut self.errors else {
            return Ok(());
        };
        let mut buffer = [0; 4096];
        match errors.read(&mut buffer) {
            Ok(0) => self.errors = None,
            Ok(count) => {
                self.said.extend_from_slice(&buffer[..count]);
                let old = self.said.len().saturating_sub(COMMAND_STDERR_BYTES_KEPT);
                self.said.drain(..old);
            }
            Err(error) if transient(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Its output is closed: how it ended, after a moment for it to do so.
    fn ended(&mut self) -> Fault {
        let _ = self.listen();
        let how = self.exit(Duration::from_millis(500));
        let how = how.unwrap_or_else(|| "it closed its stdout".to_owned());
        let said = readable(&self.said);
        Fault::Ended { how, said }
    }

    /// How it exits, if it does within `time`. It stays a zombie until it is dropped, so that
    /// its number is not given to another process before its group is killed.
    fn exit(&self, time: Duration) -> Option<String> {
        let deadline = Instant::now() + time;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        loop {
            let status = waitid(WaitId::Pid(pid(&self.child)?), options);
            let status = status.ok().flatten();
            if let Some(status) = status {
                return Some(match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => format!("exit status {code}"),
                    (_, Some(signal)) => format!("killed by signal {signal}"),
                    _ => "stopped".to_owned(),
                });
            }
            if Instant::now() >= deadline {
                return None;
            }
            let _ = wait_for(&mut [], Duration::from_millis(5));
        }
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

impl Drop for Program {
    /// Closes its stdin, gives it a moment to end by itself, then kills the whole group.
    fn drop(&mut self) {
        drop(self.input.take());
        self.exit(Duration::from_millis(200));
        if let Some(group) = pid(&self.child) {
            let _ = kill_process_group(group, Signal::KILL);
            leftover::gone(&Leftover::Group(group));
        }
        let _ = self.child.wait();
    }
}

/// Polls until one of `pipes` is ready; false when `time` passed or a signal came first.
fn wait_for(pipes: &mut [PollFd], time: Duration) -> io::Result<bool> {
    let timeout = Timespec {
        tv_sec: time.as_secs() as i64,
        tv_nsec: time.subsec_nanos().into(),
    };
    match poll(pipes, Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Bytes of a program as one line that a terminal can show: at most 200 characters, the last.
pub(super) fn readable(bytes: &[u8]) -> String {
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(bytes);
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let text: Vec<char> = text.trim().chars().map(plain).collect();
    text[text.len().saturating_sub(SHOWN)..].iter().collect()
}

#[cfg(target_os = "linux")]
fn restrict(pid: Option<Pid>, limits: &Limits) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, prlimit};
    let all = [
        (Resource::As, limits.memory),
        (Resource::Cpu, Some(limits.cpu_seconds)),
        (Resource::Fsize, Some(limits.file)),
        (Resource::Nofile, Some(limits.open_files)),
        (Resource::Core, Some(0)),
    ];
    for (resource, limit) in all {
        let Some(limit) = limit else { continue };
        let now = rustix::process::getrlimit(resource);
        // A limit may be lowered and never raised.
        let limit = Some(now.maximum.map_or(limit, |maximum| maximum.min(limit)));
        let limit = Rlimit {
            current: limit,
            maximum: limit,
        };
        match prlimit(pid, resource, limit) {
            // It has ended already; the first question will say so.
            Ok(_) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn restrict(_pid: Option<Pid>, _limits: &Limits) -> io::Result<()> {
    Ok(())
}
