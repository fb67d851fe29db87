//! The clean-up of open_clip's tokenizer: what the `ftfy` library mends in a text, the references
//! of HTML, single spaces, lower case.
//!
//! Of `ftfy` this has all but the mending of texts that were decoded in a wrong encoding, which
//! prompts are not, and of the named references of HTML those that prompts may hold.

use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;

/// Named references.
const NAMED: [(&str, char); 6] = [
    ("amp", '&'),
    ("apos", '\''),
    ("gt", '>'),
    ("lt", '<'),
    ("nbsp", '\u{A0}'),
    ("quot", '"'),
];

/// Characters of a reference, between `&` and `;`.
const REFERENCE_MAX: usize = 10;

/// U+0080 to U+009F as Windows has them.
const WINDOWS: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8D}Ž\u{8F}\u{90}‘’“”•–—˜™š›œ\u{9D}žŸ";

/// Letters that stand for several.
const LIGATURES: [(char, &str); 22] = [
    ('Ĳ', "IJ"),
    ('ĳ', "ij"),
    ('ŉ', "'n"),
    ('Ǆ', "DŽ"),
    ('ǅ', "Dž"),
    ('ǆ', "dž"),
    ('Ǉ', "LJ"),
    ('ǈ', "Lj"),
    ('ǉ', "lj"),
    ('Ǌ', "NJ"),
    ('ǋ', "Nj"),
    ('ǌ', "nj"),
    ('Ǳ', "DZ"),
    ('ǲ', "Dz"),
    ('ǳ', "dz"),
    ('ﬀ', "ff"),
    ('ﬁ', "fi"),
    ('ﬂ', "fl"),
    ('ﬃ', "ffi"),
    ('ﬄ', "ffl"),
    ('ﬅ', "ſt"),
    ('ﬆ', "st"),
];

/// A text as open_clip's tokenizer cuts it into words.
pub(super) fn clean(text: &str) -> String {
    let text = match text.contains('<') {
        true => Cow::Borrowed(text),
        false => unescaped(text),
    };
    let mended = text.chars().fold(String::new(), mend);
    let mended: String = mended.nfc().collect();
    let text = unescaped(&mended);
    let text = unescaped(&text);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

/// Appends what a character should have been.
fn mend(mut out: String, c: char) -> String {
    let windows = |c: char| WINDOWS.chars().nth(c as usize - 0x80).unwrap_or(c);
    let c = match c {
        '\u{80}'..='\u{9F}' => windows(c),
        _ => c,
    };
    match c {
        '\u{2BC}' | '\u{2018}'..='\u{201B}' => out.push('\''),
        '\u{201C}'..='\u{201F}' => out.push('"'),
        '\u{3000}' => out.push(' '),
        '\t' | '\n' | '\u{C}' | '\r' => out.push(c),
        '\0'..='\u{1F}' | '\u{7F}' | '\u{206A}'..='\u{206F}' => {}
        '\u{FEFF}' | '\u{FFF9}'..='\u{FFFC}' => {}
        '\u{FF01}'..='\u{FFEF}' => out.extend([c].into_iter().nfkc()),
        _ => match LIGATURES.iter().find(|(ligature, _)| *ligature == c) {
            Some((_, letters)) => out.push_str(letters),
            None => out.push(c),
        },
    }
    out
}

/// A text with the references of HTML replaced once.
fn unescaped(text: &str) -> Cow<'_, str> {
    let Some((before, mut rest)) = text.split_once('&') else {
        return Cow::Borrowed(text);
    };
    let mut out = before.to_owned();
    loop {
        let end = rest
            .char_indices()
            .take(REFERENCE_MAX)
            .find(|(_, c)| *c == ';');
        match end.and_then(|(end, _)| Some((end, referred(&rest[..end])?))) {
            Some((end, c)) => {
                out.push(c);
                rest = &rest[end + 1..];
            }
            None => out.push('&'),
        }
        let Some((before, after)) = rest.split_once('&') else {
            out.push_str(rest);
            return Cow::Owned(out);
        };
        out.push_str(before);
        rest = after;
    }
}

/// What a reference stands for: `amp`, `#38` or `#x26`.
fn referred(name: &str) -> Option<char> {
    let Some(number) = name.strip_prefix('#') else {
        return NAMED.iter().find(|(n, _)| *n == name).map(|(_, c)| *c);
    };
    let code = match number.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => number.parse(),
    };
    char::from_u32(code.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_once_a_pass() {
        assert_eq!(
            unescaped("a &amp;lt; &#x41;&#66; &no; &"),
            "a &lt; AB &no; &"
        );
        assert_eq!(
            unescaped("&#99999999; &#xD800; &;&#;"),
            "&#99999999; &#xD800; &;&#;"
        );
        assert_eq!(clean("&amp;amp;lt;"), "<");
    }
}
