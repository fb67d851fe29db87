//! Answers that one verifier of a judge has asked for, and the others have not taken yet.

use super::grade::Grade;
use crate::aspect::Aspect;
use crate::limits::LLM_LEFT_MAX;
use std::collections::VecDeque;

/// Of which picture and text, and whether nothing kept may answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Key of the grade, see [`super::Cache::key`].
    pub key: String,
    /// A second look takes no answer of a first one.
    pub afresh: bool,
}

struct Answer {
    about: About,
    grade: Option<Grade>,
    /// The aspects that have it, in the order of [`Aspect::ALL`].
    taken: [bool; Aspect::ALL.len()],
}

/// The newest answers. Each is for every aspect once: one that wants it again wants another.
#[derive(Default)]
pub struct Left(VecDeque<Answer>);

impl Left {
    /// The answer that is left for an aspect, if there is one; `None` in it if it was unreadable.
    pub fn take(&mut self, about: &About, aspect: Aspect) -> Option<Option<Grade>> {
        let mut answers = self.0.iter_mut();
        let answer = answers.find(|answer| answer.about == *about)?;
        let before = std::mem::replace(&mut answer.taken[aspect as usize], true);
        (!before).then(|| answer.grade.clone())
    }

    /// Leaves an answer for the others, in the place of an older one.
    pub fn put(&mut self, about: About, aspect: Aspect, grade: Option<Grade>) {
        self.0.retain(|answer| answer.about != about);
        if self.0.len() == LLM_LEFT_MAX {
            self.0.pop_front();
        }
        let mut taken = [false; Aspect::ALL.len()];
        taken[aspect as usize] = true;
        self.0.push_back(Answer {
            about,
            grade,
            taken,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_for_every_aspect_once() {
        let about = |key: usize, afresh| About {
            key: key.to_string(),
            afresh,
        };
        let grade = |score| Grade {
            scores: [score; Aspect::ALL.len()],
        };
        let mut left = Left::default();
        left.put(about(0, false), Aspect::Overall, Some(grade(1.0)));
        assert_eq!(
            left.take(&about(0, false), Aspect::Overall),
            None,
            "it asked itself"
        );
        assert_eq!(
            left.take(&about(0, true), Aspect::Accuracy),
            None,
            "no second look"
        );
        assert_eq!(
            left.take(&about(1, false), Aspect::Accuracy),
            None,
            "another picture"
        );
        assert_eq!(
            left.take(&about(0, false), Aspect::Accuracy),
            Some(Some(grade(1.0)))
        );
        assert_eq!(left.take(&about(0, false), Aspect::Accuracy), None, "once");
        left.put(about(0, false), Aspect::Accuracy, None);
        assert_eq!(
            left.take(&about(0, false), Aspect::Overall),
            Some(None),
            "the newest"
        );
        assert_eq!(left.0.len(), 1);
        for key in 1..=LLM_LEFT_MAX {
            left.put(about(key, false), Aspect::Accuracy, None);
        }
        assert_eq!(left.0.len(), LLM_LEFT_MAX);
        assert_eq!(
            left.take(&about(0, false), Aspect::Quality),
            None,
            "the oldest goes"
        );
    }
}
