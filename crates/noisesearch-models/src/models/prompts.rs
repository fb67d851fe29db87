//! What the families that take a prompt do alike.

use super::unsupported;
use crate::denoiser::TaskError;
use crate::pipeline::OpenError;
use crate::task::Task;

/// The words of a task.
pub(crate) fn prompt(task: &Task) -> Result<&str, TaskError> {
    match task {
        Task::Prompt(prompt) => Ok(prompt),
        Task::Class(_) => Err(refuse("this model takes a prompt, not a class")),
    }
}

/// A reason not to encode a task.
pub(crate) fn refuse(reason: impl ToString) -> TaskError {
    TaskError {
        message: reason.to_string(),
    }
}

/// Fails unless a text encoder gives as many features as `setting` of the transformer says.
pub(crate) fn check_features(
    encoder: &str,
    found: usize,
    setting: &str,
    wanted: usize,
) -> Result<(), OpenError> {
    if found == wanted {
        return Ok(());
    }
    let want = format!("{setting} {wanted} of transformer/config.json");
    Err(unsupported(
        format!("the width of {encoder}"),
        &found,
        &want,
    ))
}
