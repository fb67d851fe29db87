//! A secret that cannot be printed.

use std::fmt;

/// The key of a chat endpoint. No `Debug`, `Display` or serialisation shows it.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// Takes a key; `None` if it is empty or has characters that an HTTP header cannot carry.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    /// The value of the `Authorization` header; the only way out.
    pub(super) fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden key)")
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden key)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_shown() {
        let key = Key::new(" sk-1234\n").unwrap();
        assert_eq!(key.authorization(), "Bearer sk-1234");
        assert_eq!(format!("{key} {key:?} {key:#?}").matches("1234").count(), 0);
        for wrong in ["", " ", "a b", "a\nb", "a\r\nX-Y: z", "k\u{e9}y"] {
            assert!(Key::new(wrong).is_none(), "{wrong:?}");
        }
    }
}
