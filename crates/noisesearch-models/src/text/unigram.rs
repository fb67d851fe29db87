//! Unigram language model of subwords (Kudo 2018, arXiv 1804.10959): of all ways to write a text as
//! pieces, the one with the largest sum of log probabilities, found by Viterbi's algorithm.

use super::TextError;
use std::collections::HashMap;

/// An unknown character costs this much more than the rarest piece.
const UNKNOWN_PENALTY: f64 = 10.0;

/// Bytes of a piece; published ones have at most 16 characters.
const PIECE_BYTES_MAX: usize = 512;

/// Pieces and their log probabilities.
#[derive(Debug)]
pub(super) struct Unigram {
    pieces: HashMap<String, (u32, f64)>,
    longest: usize,
    unknown: u32,
    unknown_score: f64,
}

/// The best way to write the text up to a place.
#[derive(Clone, Copy)]
struct Best {
    score: f64,
    /// Where its last piece starts.
    start: usize,
    /// That piece.
    id: u32,
}

impl Unigram {
    /// Of pieces with ids and scores, `unknown` for anything that they cannot write. `file` is
    /// named in errors.
    pub(super) fn new(
        file: &'static str,
        pieces: Vec<(String, u32, f64)>,
        unknown: u32,
    ) -> Result<Self, TextError> {
        let damaged = |fault| TextError::Damaged { file, fault };
        let (mut longest, mut lowest) = (0, f64::INFINITY);
        for (piece, _, score) in &pieces {
            if piece.len() > PIECE_BYTES_MAX {
                return Err(damaged("a piece is longer than 512 bytes"));
            }
            if !score.is_finite() {
                return Err(damaged("a piece has no finite score"));
            }
            longest = longest.max(piece.len());
            lowest = score.min(lowest);
        }
        if pieces.is_empty() {
            return Err(damaged("it has no pieces"));
        }
        let pieces = pieces.into_iter();
        Ok(Self {
            pieces: pieces
                .map(|(piece, id, score)| (piece, (id, score)))
                .collect(),
            longest,
            unknown,
            unknown_score: lowest - UNKNOWN_PENALTY,
        })
    }

    /// Appends the ids of a text's pieces; neighbouring unknown characters are one.
    pub(super) fn encode(&self, text: &str, tokens: &mut Vec<u32>) {
        let best = self.best(text);
        let (mut ids, mut end) = (Vec::new(), text.len());
        // Every character boundary is reached, if only by unknown characters.
        while let Some(Best { start, id, .. }) = best[end] {
            if id != self.unknown || ids.last() != Some(&id) {
                ids.push(id);
            }
            end = start;
        }
        tokens.extend(ids.into_iter().rev());
    }

    /// For every end of a character, the best way to get there.
    fn best(&self, text: &str) -> Vec<Option<Best>> {
        let mut best: Vec<Option<Best>> = vec![None; text.len() + 1];
        for (start, first) in text.char_indices() {
            let before = best[start].map_or(0.0, |best| best.score);
            let mut offer = |end: usize, id, score: f64| {
                let score = before + score;
                if best[end].is_none_or(|old| score > old.score) {
                    best[end] = Some(Best { score, start, id });
                }
            };
            let single = start + first.len_utf8();
            let mut known = false;
            let furthest = text.len().min(start + self.longest);
            for end in (single..=furthest).filter(|&end| text.is_char_boundary(end)) {
                if let Some(&(id, score)) = self.pieces.get(&text[start..end]) {
                    offer(end, id, score);
                    known |= end == single;
                }
            }
            if !known {
                offer(single, self.unknown, self.unknown_score);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Unigram {
        let pieces = ["a", "b", "ab", "abb", "é"]
            .into_iter()
            .zip([-3.0, -4.0, -5.0, -5.5, -2.0]);
        let pieces = pieces.zip(1..).map(|((p, s), i)| (p.to_owned(), i, s));
        Unigram::new("spiece.model", pieces.collect(), 0).unwrap()
    }

    fn encode(text: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        model().encode(text, &mut tokens);
        tokens
    }

    #[test]
    fn the_most_probable_pieces_are_chosen() {
        assert_eq!(encode("abab"), [3, 3]);
        assert_eq!(encode("aabb"), [1, 4]);
        assert!(encode("").is_empty());
    }

    #[test]
    fn neighbouring_unknown_characters_are_one() {
        assert_eq!(encode("日本aé日"), [0, 1, 5, 0]);
    }

    #[test]
    fn an_unknown_character_costs_more_than_the_rarest_piece() {
        let scores = [("xa", -20.0), ("b", -12.0), ("ab", -5.0)];
        let pieces = scores.into_iter().zip(1..);
        let pieces = pieces.map(|((p, s), i)| (p.to_owned(), i, s)).collect();
        let mut tokens = Vec::new();
        let model = Unigram::new("spiece.model", pieces, 0).unwrap();
        model.encode("xab", &mut tokens);
        // -32, against -35 for an unknown `x` and `ab`.
        assert_eq!(tokens, [1, 2]);
    }

    #[test]
    fn scores_and_lengths_are_checked() {
        let fault = |piece: &str, score| {
            let piece = (piece.to_owned(), 0, score);
            Unigram::new("spiece.model", vec![piece], 0).is_err()
        };
        assert!(!fault("a", 1.0));
        assert!(fault("a", f64::NAN));
        assert!(fault(&"a".repeat(513), 1.0));
        assert!(Unigram::new("spiece.model", vec![], 0).is_err());
    }
}
