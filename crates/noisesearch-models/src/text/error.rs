//! What is wrong with the files of a tokenizer.

/// A tokenizer that cannot be used: which file, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// None of the files that describe a vocabulary.
    #[error("its folder has neither {wanted} nor tokenizer.json; fetch it again")]
    NoVocabulary {
        /// The usual files.
        wanted: &'static str,
    },
    /// Not the JSON that the format wants.
    #[error("{file} is not what this program reads: {source}")]
    Json {
        /// Name of the file.
        file: &'static str,
        /// What the parser says, with the line.
        source: serde_json::Error,
    },
    /// Not text, or not the format.
    #[error("{file} is damaged: {fault}; fetch it again")]
    Damaged {
        /// Name of the file.
        file: &'static str,
        /// What is wrong.
        fault: &'static str,
    },
    /// A token that something else refers to is not in the vocabulary.
    #[error("the vocabulary lacks `{token}`, {wanted_by}")]
    NoToken {
        /// The token.
        token: String,
        /// What refers to it.
        wanted_by: &'static str,
    },
    /// A tokenizer of another kind.
    #[error("the {what} is {found}; this program reads {supported}")]
    Unsupported {
        /// A setting.
        what: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        supported: &'static str,
    },
}
