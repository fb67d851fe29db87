//! One word for all numbers of a study, so that two runs can be compared at a glance.
//!
//! ```text
//! BLAKE3 of results.jsonl with every `seconds` set to 0, its first 16 hexadecimal digits
//! ```

use crate::row::{Cost, Row};

/// Hexadecimal digits that are shown: runs are compared, nobody is kept from forging one.
const DIGITS: usize = 16;

/// The checksum of rows in the order of cells. Measured seconds do not count.
///
/// # Errors
/// When a row cannot be written as JSON.
pub fn checksum(rows: &[Row]) -> Result<String, serde_json::Error> {
    let mut hasher = blake3::Hasher::new();
    for row in rows {
        let cost = Cost {
            seconds: 0.0,
            ..row.cost
        };
        let timeless = Row {
            cost,
            ..row.clone()
        };
        serde_json::to_writer(&mut hasher, &timeless)?;
        hasher.update(b"\n");
    }
    let hex = hasher.finalize().to_hex();
    Ok(hex.chars().take(DIGITS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FILE, file, rows};

    #[test]
    fn only_seconds_do_not_count() {
        let rows = rows(&file(FILE), 3, &|_, _| 0.5);
        let whole = checksum(&rows).unwrap();
        assert_eq!(whole.len(), DIGITS);
        let with = |change: &dyn Fn(&mut Row)| {
            let mut other = rows.clone();
            change(&mut other[4]);
            checksum(&other).unwrap()
        };
        assert_eq!(with(&|row| row.cost.seconds += 0.5), whole);
        assert_ne!(with(&|row| row.cost.search_nfe += 1), whole);
        assert_ne!(with(&|row| row.seed += 1), whole);
        let next = |x: &mut f64| *x = x.next_up();
        assert_ne!(with(&|row| row.scores.values_mut().for_each(next)), whole);
        assert_ne!(checksum(&rows[1..]).unwrap(), whole);
    }
}
