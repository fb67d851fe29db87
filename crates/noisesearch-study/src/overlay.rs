//! Published values, drawn beside ours.

use serde::Deserialize;
use std::path::{Path, PathBuf};

/// One published value.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Published {
    /// The arm's name; a name that the study does not have gets a curve of its own.
    pub arm: String,
    /// Cost on the figure's axis; the category in a figure by category; empty in a matrix.
    pub x: String,
    /// Of the figure's measures.
    pub measure: String,
    /// In the figure's unit.
    pub value: f64,
}

/// A file of published values that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// Not there, or not text of this form.
    #[error("published values {path}: {problem}; write CSV with the columns arm,x,measure,value")]
    File {
        /// Where.
        path: PathBuf,
        /// What is wrong, with the line.
        problem: csv::Error,
    },
    /// A number that is none.
    #[error("published values {path}, line {line}: {column} must be a finite number")]
    Number {
        /// Where.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Which.
        column: &'static str,
    },
}

/// Reads a CSV file with the columns `arm,x,measure,value`; lines that begin with # say where the
/// values come from.
pub fn read(path: &Path) -> Result<Vec<Published>, OverlayError> {
    let file = |problem| OverlayError::File {
        path: path.to_owned(),
        problem,
    };
    let reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_path(path);
    let mut values = Vec::new();
    let mut reader = reader.map_err(file)?;
    let headers = reader.headers().map_err(file)?.clone();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(file)? {
        let line = record
            .position()
            .map_or(0, |position| position.line() as usize);
        let value: Published = record.deserialize(Some(&headers)).map_err(file)?;
        if !value.value.is_finite() {
            return Err(OverlayError::Number {
                path: path.to_owned(),
                line,
                column: "value",
            });
        }
        values.push(value);
    }
    Ok(values)
}

impl Published {
    /// The cost as a number, where it is one.
    pub fn cost(&self) -> Option<f64> {
        self.x.parse().ok().filter(|x: &f64| x.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Result<Vec<Published>, OverlayError> {
        let name = format!("overlay-{}-{}.csv", std::process::id(), text.len());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        let read = read(&path);
        std::fs::remove_file(&path).unwrap();
        read
    }

    #[test]
    fn values_are_read_with_their_source_as_a_comment() {
        let values = told("# Table 2\narm,x,measure,value\nrandom, 30 ,clip,0.71\nnone,,clip,-1\n");
        let values = values.unwrap();
        assert_eq!((values[0].cost(), values[0].value), (Some(30.0), 0.71));
        assert_eq!((values[1].cost(), values[1].value), (None, -1.0));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let message = |text| told(text).unwrap_err().to_string();
        let short = message("arm,x,measure,value\na,1,clip\n");
        assert!(
            short.contains("line 2") || short.contains("line: 2"),
            "{short}"
        );
        assert!(message("arm,x,measure\na,1,clip\n").contains("value"));
        let word = message("arm,x,measure,value\na,1,clip,much\n");
        assert!(word.contains("arm,x,measure,value"), "{word}");
        let endless = message("arm,x,measure,value\na,1,clip,inf\n");
        assert!(
            endless.contains("line 2: value must be a finite number"),
            "{endless}"
        );
        let missing = read(Path::new("nowhere.csv")).unwrap_err().to_string();
        assert!(missing.contains("nowhere.csv"), "{missing}");
    }
}
