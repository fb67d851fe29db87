//! Tokens that text may name, such as `</s>`: they are found before anything else is done to it.

use super::TextError;
use super::files::{ADDED, Files, NAMING};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};

/// Special tokens, each of which is looked for at every place of a text.
pub(super) const SPECIALS_MAX: usize = 10_000;

/// Special tokens and their ids, longest name first.
#[derive(Debug, Default)]
pub(super) struct Specials(Vec<(String, u32)>);

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Text between special tokens.
    Text(&'a str),
    /// A special token.
    Token(u32),
}

impl Specials {
    /// Of any names and ids.
    pub(super) fn new(mut tokens: Vec<(String, u32)>) -> Self {
        tokens.retain(|(name, _)| !name.is_empty());
        tokens.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        Self(tokens)
    }

    /// A text cut at the names of special tokens, the leftmost and longest first.
    pub(super) fn split<'a>(&self, text: &'a str) -> Vec<Part<'a>> {
        let (mut parts, mut begin, mut at) = (Vec::new(), 0, 0);
        while let Some(next) = text[at..].chars().next() {
            let named = |(name, _): &&(String, u32)| text[at..].starts_with(name.as_str());
            let Some((name, id)) = self.0.iter().find(named) else {
                at += next.len_utf8();
                continue;
            };
            if begin < at {
                parts.push(Part::Text(&text[begin..at]));
            }
            parts.push(Part::Token(*id));
            at += name.len();
            begin = at;
        }
        if begin < at {
            parts.push(Part::Text(&text[begin..]));
        }
        parts
    }
}

/// The names of special tokens in `tokenizer_config.json` and `special_tokens_map.json`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Names {
    bos_token: Option<Name>,
    eos_token: Option<Name>,
    pad_token: Option<Name>,
    /// Tokens `<extra_id_N>` after the vocabulary of T5.
    pub(super) extra_ids: Option<u32>,
    /// By their ids the tokens that a text may name.
    #[serde(default, rename = "added_tokens_decoder")]
    pub(super) added: BTreeMap<u32, Name>,
}

/// How a special token is named.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Name {
    /// Its text.
    Plain(String),
    /// Its text, and whether it is looked for only when a text is clean.
    Described {
        content: String,
        #[serde(default)]
        normalized: bool,
    },
}

impl Name {
    /// The token's text.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Plain(text) | Self::Described { content: text, .. } => text,
        }
    }

    /// Whether the token is looked for only when a text is clean.
    pub(super) fn normalized(&self) -> bool {
        matches!(self, Self::Described { normalized, .. } if *normalized)
    }
}

impl Names {
    /// What the files of a folder say; the first that names a token counts.
    pub(super) fn read(files: &Files) -> Result<Self, TextError> {
        let mut names = Self::default();
        for name in NAMING {
            let Some(more) = files.json::<Self>(name)? else {
                continue;
            };
            names.bos_token = names.bos_token.or(more.bos_token);
            names.eos_token = names.eos_token.or(more.eos_token);
            names.pad_token = names.pad_token.or(more.pad_token);
            names.extra_ids = names.extra_ids.or(more.extra_ids);
            names.added.extend(more.added);
        }
        if names.added.is_empty()
            && let Some(ids) = files.json(ADDED)?
        {
            names.added = names.described(ids);
        }
        Ok(names)
    }

    /// Tokens of which a folder says only their ids: looked for when a text is clean, but for
    /// those that are described elsewhere.
    fn described(&self, ids: BTreeMap<String, u32>) -> BTreeMap<u32, Name> {
        let elsewhere = [&self.bos_token, &self.eos_token, &self.pad_token];
        let describe = |(content, id): (String, u32)| {
            let mut known = elsewhere.into_iter().flatten();
            let known = known.find(|name| name.text() == content);
            let normalized = known.is_none_or(Name::normalized);
            (
                id,
                Name::Described {
                    content,
                    normalized,
                },
            )
        };
        ids.into_iter().map(describe).collect()
    }

    /// Names of the start, the end and the padding of a text.
    pub(super) fn or(self, start: &str, end: &str, pad: &str) -> [Name; 3] {
        let usual = |text: &str| Name::Plain(text.to_owned());
        [
            self.bos_token.unwrap_or_else(|| usual(start)),
            self.eos_token.unwrap_or_else(|| usual(end)),
            self.pad_token.unwrap_or_else(|| usual(pad)),
        ]
    }
}

/// Refuses more special tokens than are looked for.
pub(super) fn check_count(count: usize) -> Result<(), TextError> {
    match count > SPECIALS_MAX {
        true => Err(TextError::Unsupported {
            what: "number of special tokens",
            found: count.to_string(),
            supported: "at most 10000",
        }),
        false => Ok(()),
    }
}

/// The id of a token in a vocabulary.
pub(super) fn id(
    vocabulary: &HashMap<String, u32>,
    token: &str,
    wanted_by: &'static str,
) -> Result<u32, TextError> {
    let found = vocabulary.get(token).copied();
    found.ok_or_else(|| TextError::NoToken {
        token: token.to_owned(),
        wanted_by,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_the_leftmost_and_longest_name() {
        let tokens = [("</s>", 1), ("<e1>", 2), ("<e1>!", 3), ("", 4)];
        let specials = Specials::new(tokens.map(|(n, i)| (n.to_owned(), i)).into());
        let parts = specials.split("é</s><e1>! x<e1>");
        let want = [
            Part::Text("é"),
            Part::Token(1),
            Part::Token(3),
            Part::Text(" x"),
            Part::Token(2),
        ];
        assert_eq!(parts, want);
        assert_eq!(specials.split(""), []);
    }
}
