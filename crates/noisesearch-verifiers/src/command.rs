//! `cmd:PROGRAM`: a verifier of your own, in any language.
//!
//! The program is started once and spoken to by lines of JSON, a question on its stdin and an
//! answer on its stdout:
//!
//! ```text
//! {"id": 1, "prompt": "a red cross", "images": ["/tmp/../1-0.png", "/tmp/../1-1.png"]}
//! {"id": 1, "scores": [0.7, 0.2]}
//! ```
//!
//! A class-conditional task has `class` instead of `prompt`. The images are PNG files that are
//! removed after the answer; the program runs in their folder. Higher is better. Whatever it does
//! instead of answering ends it and is an error that says what happened.

mod folder;
mod leftover;
mod program;

pub use leftover::exit_at_once;
pub use program::{Fault, LimitError, Limits, MEMORY, SECONDS};

use crate::picture::{Picture, PictureError};
use crate::verifier::{Samples, Verifier, VerifierId};
use candle_core::Result;
use folder::Folder;
use noisesearch_models::task::Task;
use program::{Program, readable};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What names such a verifier: `cmd:` and a path.
pub const PREFIX: &str = "cmd:";
/// Version of the question, the answer and the PNG files.
const VERSION: u32 = 1;

/// Why a program gives no scores.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// No file, or none that can be read.
    #[error("verifier program {}: {source}", path.display())]
    Unreadable {
        /// The path given.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not a file, or not executable.
    #[error("{} is not an executable file; `chmod +x` makes it one", path.display())]
    NotExecutable {
        /// The path given.
        path: PathBuf,
    },
    /// A limit that is none.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The system does not start it.
    #[error(
        "cannot start {}: {source}; a script begins with a line like `#!/usr/bin/env python3`",
        path.display()
    )]
    Start {
        /// The path given.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The images cannot be handed over.
    #[error("cannot hand images to {}: {source}", path.display())]
    Folder {
        /// The program.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An image that is no PNG.
    #[error("cannot hand images to a program: {0}")]
    Picture(#[from] PictureError),
    /// The question is no JSON.
    #[error("cannot ask a program: {0}")]
    Question(#[from] serde_json::Error),
    /// It did not answer.
    #[error("{} {source}", path.display())]
    Silent {
        /// The program.
        path: PathBuf,
        /// What it did instead.
        source: Fault,
    },
    /// Its answer cannot be read.
    #[error(
        "{} answered `{line}`, which is not {{\"id\":{id},\"scores\":[..]}}: {problem}",
        path.display()
    )]
    Reply {
        /// The program.
        path: PathBuf,
        /// Number of the question.
        id: u64,
        /// What it answered.
        line: String,
        /// Why that cannot be read.
        problem: serde_json::Error,
    },
    /// An answer to another question.
    #[error("{} answered question {found} when asked question {id}", path.display())]
    Id {
        /// The program.
        path: PathBuf,
        /// Number of the question.
        id: u64,
        /// Number in the answer.
        found: u64,
    },
    /// More or fewer scores than images.
    #[error("{} gave {found} scores for {images} images", path.display())]
    Count {
        /// The program.
        path: PathBuf,
        /// Images shown to it.
        images: usize,
        /// Scores in its answer.
        found: usize,
    },
    /// It was ended by an earlier error.
    #[error("{} was ended before: {reason}", path.display())]
    Stopped {
        /// The program.
        path: PathBuf,
        /// The earlier error.
        reason: String,
    },
}

/// A running program that scores images.
#[derive(Debug)]
pub struct Command {
    id: VerifierId,
    path: PathBuf,
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// The program goes before its folder.
    Running {
        program: Program,
        folder: Folder,
        questions: u64,
    },
    Stopped(String),
}

#[derive(Serialize)]
struct Question<'a> {
    id: u64,
    #[serde(flatten)]
    task: &'a Task,
    images: &'a [PathBuf],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    id: u64,
    scores: Vec<f64>,
}

impl Command {
    /// Starts the program at `path` with the limits that variables set, looked up by name.
    pub fn from_variables(
        path: &Path,
        look: impl Fn(&str) -> Option<String>,
    ) -> std::result::Result<Self, CommandError> {
        Self::start(path, Limits::from_variables(look)?)
    }

    /// Starts the program at `path`, which becomes part of the run's fingerprint by its content.
    pub fn start(path: &Path, limits: Limits) -> std::result::Result<Self, CommandError> {
        let given = || path.to_owned();
        let unreadable = |source| CommandError::Unreadable {
            path: given(),
            source,
        };
        let full = path.canonicalize().map_err(unreadable)?;
        let kind = full.metadata().map_err(unreadable)?;
        if !kind.is_file() || kind.permissions().mode() & 0o111 == 0 {
            return Err(CommandError::NotExecutable { path: given() });
        }
        let mut content = blake3::Hasher::new();
        let file = std::fs::File::open(&full).map_err(unreadable)?;
        content.update_reader(file).map_err(unreadable)?;
        let folder = Folder::new().map_err(|source| CommandError::Folder {
            path: given(),
            source,
        })?;
        let program = Program::start(&full, folder.path(), &limits);
        let program = program.map_err(|source| CommandError::Start {
            path: given(),
            source,
        })?;
        Ok(Self {
            id: VerifierId {
                name: format!("{PREFIX}{}", path.display()),
                weights: content.finalize().to_hex().to_string(),
                version: VERSION,
            },
            path: given(),
            limits,
            state: Mutex::new(State::Running {
                program,
                folder,
                questions: 0,
            }),
        })
    }

    /// Scores of `pictures`, in their order. The first error ends the program.
    pub fn judge(
        &self,
        task: &Task,
        pictures: &[Picture],
    ) -> std::result::Result<Vec<f64>, CommandError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let scores = match &mut *state {
            State::Stopped(reason) => {
                return Err(CommandError::Stopped {
                    path: self.path.clone(),
                    reason: reason.clone(),
                });
            }
            State::Running {
                program,
                folder,
                questions,
            } => {
                *questions += 1;
                self.ask(program, folder, *questions, (task, pictures))
            }
        };
        if let Err(error) = &scores {
            *state = State::Stopped(error.to_string());
        }
        scores
    }

    fn ask(
        &self,
        program: &mut Program,
        folder: &Folder,
        id: u64,
        (task, pictures): (&Task, &[Picture]),
    ) -> std::result::Result<Vec<f64>, CommandError> {
        let path = || self.path.clone();
        let mut images = Vec::with_capacity(pictures.len());
        for (row, picture) in pictures.iter().enumerate() {
            let written = folder.write(&format!("{id}-{row}.png"), &picture.to_png(&[])?);
            images.push(written.map_err(|source| CommandError::Folder {
                path: path(),
                source,
            })?);
        }
        let mut question = serde_json::to_vec(&Question {
            id,
            task,
            images: &images,
        })?;
        question.push(b'\n');
        let line = program.ask(&question, self.limits.batch);
        let line = line.map_err(|source| CommandError::Silent {
            path: path(),
            source,
        })?;
        images.iter().for_each(|image| folder.remove(image));
        let answer: Answer =
            serde_json::from_slice(&line).map_err(|problem| CommandError::Reply {
                path: path(),
                id,
                line: readable(&line),
                problem,
            })?;
        if answer.id != id {
            return Err(CommandError::Id {
                path: path(),
                id,
                found: answer.id,
            });
        }
        if answer.scores.len() != pictures.len() {
            return Err(CommandError::Count {
                path: path(),
                images: pictures.len(),
                found: answer.scores.len(),
            });
        }
        Ok(answer.scores)
    }
}

impl Verifier for Command {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn score(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let pictures = Picture::from_images(samples.images)?;
        self.judge(task, &pictures)
            .map_err(candle_core::Error::wrap)
    }
}
