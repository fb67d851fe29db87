//! Byte-pair encoding over bytes (Sennrich et al. 2016, arXiv 1508.07909).
//!
//! A word starts as one token a byte. Of all adjoining pairs, the one that was learned first, and
//! of these the leftmost, becomes one token, until no pair was learned. Vocabularies write a byte
//! as a printable character; the last token of a word ends in `</w>`.

use super::TextError;
use super::special::id;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// What a vocabulary writes behind the last token of a word.
pub(super) const END_OF_WORD: &str = "</w>";

/// Ids are below this; the largest published vocabulary has half a million tokens.
const ID_LIMIT: u32 = 1 << 24;

/// The id of a symbol that was merged into its left neighbour; no vocabulary has it.
const MERGED: u32 = u32::MAX;

/// A learned vocabulary.
#[derive(Debug)]
pub(super) struct Bpe {
    /// Token of each byte within a word.
    within: [u32; 256],
    /// Token of each byte at the end of a word.
    last: [u32; 256],
    /// How early a pair was learned, and the token that it becomes.
    merges: HashMap<(u32, u32), (u32, u32)>,
}

impl Bpe {
    /// A vocabulary and its merges in the order of learning; bytes that it lacks are `unknown`.
    pub(super) fn new<'a>(
        vocabulary: &HashMap<String, u32>,
        merges: impl IntoIterator<Item = (&'a str, &'a str)>,
        unknown: u32,
    ) -> Result<Self, TextError> {
        if let Some((token, id)) = vocabulary.iter().find(|(_, id)| **id >= ID_LIMIT) {
            return Err(TextError::Unsupported {
                what: "vocabulary",
                found: format!("one with `{token}` as number {id}"),
                supported: "numbers below 16777216",
            });
        }
        let token = |name: String| vocabulary.get(&name).copied().unwrap_or(unknown);
        let letters = byte_letters();
        let mut ranked = HashMap::new();
        for (rank, (left, right)) in (0..).zip(merges) {
            let of = |name| id(vocabulary, name, "which a merge needs");
            let pair = (of(left)?, of(right)?);
            ranked.insert(pair, (rank, of(&format!("{left}{right}"))?));
        }
        Ok(Self {
            within: letters.map(|c| token(c.to_string())),
            last: letters.map(|c| token(format!("{c}{END_OF_WORD}"))),
            merges: ranked,
        })
    }

    /// A vocabulary numbered like OpenAI's: bytes, bytes at the end of a word, then one token a
    /// merge. `merges`: the numbers of its two parts, 16 bits each, little-endian.
    pub(super) fn numbered(merges: &[u8]) -> Self {
        let mut order: Vec<usize> = (0..256).collect();
        order.sort_by_key(|&byte| byte_letters()[byte]);
        let mut within = [0; 256];
        for (number, byte) in (0..).zip(order) {
            within[byte] = number;
        }
        let pairs = merges.chunks_exact(4).zip(0..);
        let half = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]));
        let merge =
            |(b, rank): (&[u8], u32)| ((half(b[0], b[1]), half(b[2], b[3])), (rank, 512 + rank));
        Self {
            within,
            last: within.map(|number| 256 + number),
            merges: pairs.map(merge).collect(),
        }
    }

    /// Appends the tokens of a word.
    pub(super) fn encode(&self, word: &str, tokens: &mut Vec<u32>) {
        let mut symbols = Symbols::new(word.bytes().map(|b| self.within[usize::from(b)]));
        if let (Some(id), Some(byte)) = (symbols.ids.last_mut(), word.bytes().last()) {
            *id = self.last[usize::from(byte)];
        }
        let learned = |symbols: &Symbols, at: usize| {
            let (rank, token) = self.merges.get(&symbols.pair(at)?)?;
            Some((Reverse(*rank), Reverse(at), *token))
        };
        let all = 0..symbols.ids.len();
        let mut queue: BinaryHeap<_> = all.filter_map(|at| learned(&symbols, at)).collect();
        while let Some(first) = queue.pop() {
            let (_, Reverse(at), token) = first;
            // A neighbour may have been merged since the pair was queued.
            if learned(&symbols, at) != Some(first) {
                continue;
            }
            symbols.merge(at, token);
            queue.extend(learned(&symbols, at));
            queue.extend(
                symbols
                    .before(at)
                    .and_then(|before| learned(&symbols, before)),
            );
        }
        tokens.extend(symbols.ids.into_iter().filter(|&id| id != MERGED));
    }
}

/// The tokens of a word that is being encoded, a linked list.
struct Symbols {
    ids: Vec<u32>,
    /// Where the left neighbour is; undefined for the first.
    left: Vec<usize>,
    /// Where the right neighbour is; the length for the last.
    right: Vec<usize>,
}

impl Symbols {
    fn new(ids: impl Iterator<Item = u32>) -> Self {
        let ids: Vec<u32> = ids.collect();
        Self {
            left: (0..ids.len()).map(|at| at.saturating_sub(1)).collect(),
            right: (1..=ids.len()).collect(),
            ids,
        }
    }

    /// The token at a place and its right neighbour.
    fn pair(&self, at: usize) -> Option<(u32, u32)> {
        let left = self.ids[at];
        let right = *self.ids.get(self.right[at])?;
        (left != MERGED).then_some((left, right))
    }

    /// The place of the left neighbour.
    fn before(&self, at: usize) -> Option<usize> {
        (at > 0).then(|| self.left[at])
    }

    /// Makes `token` of a pair.
    fn merge(&mut self, at: usize, token: u32) {
        let gone = self.right[at];
        self.ids[at] = token;
        self.ids[gone] = MERGED;
        self.right[at] = self.right[gone];
        if let Some(left) = self.left.get_mut(self.right[at]) {
            *left = at;
        }
    }
}

/// The character that vocabularies write for each byte: printable bytes of Latin-1 as they are,
/// the others in order from U+0100.
pub(super) fn byte_letters() -> [char; 256] {
    let mut others = '\u{100}'..;
    std::array::from_fn(|byte| match byte {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte as u8),
        // Invariant: 68 characters of an endless range.
        _ => others.next().expect("enough characters"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Merges all occurrences of the first learned pair at once, as the paper writes it.
    fn plainly(bpe: &Bpe, word: &str) -> Vec<u32> {
        let mut ids: Vec<u32> = word.bytes().map(|b| bpe.within[usize::from(b)]).collect();
        *ids.last_mut().unwrap() = bpe.last[usize::from(word.bytes().last().unwrap())];
        let learned = |ids: &[u32]| {
            let pairs = ids.windows(2).filter_map(|w| bpe.merges.get(&(w[0], w[1])));
            pairs.min().copied()
        };
        while let Some(first) = learned(&ids) {
            let mut next = Vec::new();
            let mut at = 0;
            while at < ids.len() {
                let pair = (at + 1 < ids.len()).then(|| (ids[at], ids[at + 1]));
                if pair.and_then(|p| bpe.merges.get(&p)) == Some(&first) {
                    next.push(first.1);
                    at += 2;
                } else {
                    next.push(ids[at]);
                    at += 1;
                }
            }
            ids = next;
        }
        ids
    }

    #[test]
    fn a_queue_of_merges_gives_what_merging_all_at_once_gives() {
        let (a, b) = (b'a' as u32 - 33, b'b' as u32 - 33);
        let merges = [
            (a, a),
            (512, a),
            (b, 512),
            (512, 512),
            (b, 256 + a),
            (a, b),
            (517, 517),
        ];
        let bytes: Vec<u8> = merges
            .iter()
            .flat_map(|&(l, r)| [(l as u16).to_le_bytes(), (r as u16).to_le_bytes()].concat())
            .collect();
        let bpe = Bpe::numbered(&bytes);
        for seed in 0u32..3000 {
            let bits = seed.wrapping_mul(0x9E37_79B9);
            let letter = |i: u32| if bits >> i & 1 == 1 { 'a' } else { 'b' };
            let word: String = (0..1 + seed % 20).map(letter).collect();
            let mut tokens = Vec::new();
            bpe.encode(&word, &mut tokens);
            assert_eq!(tokens, plainly(&bpe, &word), "{word}");
        }
    }

    #[test]
    fn vocabularies_with_holes_are_refused() {
        let vocabulary = |tokens: &[(&str, u32)]| -> HashMap<String, u32> {
            tokens.iter().map(|&(t, i)| (t.to_owned(), i)).collect()
        };
        let holes = vocabulary(&[("a", 0), ("b", 1)]);
        let error = Bpe::new(&holes, [("a", "b")], 0).unwrap_err();
        assert!(matches!(error, TextError::NoToken { token, .. } if token == "ab"));
        let error = Bpe::new(&vocabulary(&[("a", u32::MAX)]), [], 0).unwrap_err();
        assert!(matches!(error, TextError::Unsupported { .. }));
        let mut tokens = Vec::new();
        Bpe::new(&holes, [], 7).unwrap().encode("abc", &mut tokens);
        assert_eq!(tokens, [0, 1, 7]);
    }
}
