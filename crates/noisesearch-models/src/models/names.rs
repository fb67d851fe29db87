//! Names that were mistyped.

/// Letters of a name that are looked at and shown.
pub(crate) const SHOWN: usize = 40;

/// Up to three of `known`, those nearest to `name` first, separated by commas.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let short: String = name.chars().take(SHOWN).collect();
    let mut near: Vec<(usize, &str)> = known.map(|k| (distance(&short, k), k)).collect();
    near.sort_unstable();
    let nearest: Vec<&str> = near.iter().take(3).map(|&(_, known)| known).collect();
    nearest.join(", ")
}

/// Levenshtein distance between two short words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &cb) in b.iter().enumerate() {
            let next = (diagonal + usize::from(ca != cb))
                .min(row[j] + 1)
                .min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_changes() {
        for (a, b, want) in [("", "ab", 2), ("kitten", "sitting", 3), ("same", "same", 0)] {
            assert_eq!(distance(a, b), want, "{a} {b}");
        }
        let known = ["square", "circle", "star", "ring"];
        assert_eq!(nearest("sqare", known.into_iter()), "square, star, circle");
    }
}
