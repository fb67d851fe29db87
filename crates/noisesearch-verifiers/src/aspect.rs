//! What a language model grades in a picture.

/// An aspect of a grade (Ma et al. 2025, arXiv 2501.09732, table 7), in the order in which they are
/// asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// Whether it shows what the text asks for.
    Accuracy,
    /// Whether it is more than the most obvious picture.
    Originality,
    /// Whether it is well made.
    Quality,
    /// Whether its parts fit together.
    Consistency,
    /// Whether it has the mood that the text calls for.
    Emotion,
    /// The judgement of the whole.
    Overall,
}

impl Aspect {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Accuracy,
        Self::Originality,
        Self::Quality,
        Self::Consistency,
        Self::Emotion,
        Self::Overall,
    ];

    /// Its name in question and answer.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Originality => "originality",
            Self::Quality => "quality",
            Self::Consistency => "consistency",
            Self::Emotion => "emotion",
            Self::Overall => "overall",
        }
    }

    /// The name of the verifier whose score it is.
    pub fn verifier(self) -> String {
        match self {
            Self::Overall => "llm".to_owned(),
            aspect => format!("llm-{}", aspect.name()),
        }
    }
}
