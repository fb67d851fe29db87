//! What can be measured of answers: one number each, or one of a whole set of them.

use std::fmt;
use std::str::FromStr;

/// A measure by its name in study files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Mean score of a verifier.
    Score(String),
    /// Share of answers that pass by a verifier that can tell, 0 to 1.
    Pass(String),
    /// Rank correlation of a verifier's scores of the same candidates in the number formats of the
    /// search and of the answer, -1 to 1.
    Rank(String),
    /// Of the set of answers.
    Set(SetMeasure),
}

/// A measure of a set of pictures against the training pictures' features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetMeasure {
    /// Fréchet distance of features; lower is better.
    Fid,
    /// Inception score, 1 to the number of classes.
    Is,
    /// Share of answers that look like training pictures.
    Precision,
    /// Share of training pictures that look like answers.
    Recall,
}

impl FromStr for Measure {
    type Err = std::convert::Infallible;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(match name {
            "fid" => Self::Set(SetMeasure::Fid),
            "is" => Self::Set(SetMeasure::Is),
            "precision" => Self::Set(SetMeasure::Precision),
            "recall" => Self::Set(SetMeasure::Recall),
            other => match other.split_once(':') {
                Some(("pass", verifier)) => Self::Pass(verifier.to_owned()),
                Some(("rank", verifier)) => Self::Rank(verifier.to_owned()),
                _ => Self::Score(other.to_owned()),
            },
        })
    }
}

impl Measure {
    /// The measure of this name; whether its verifier exists is asked elsewhere.
    pub fn named(name: &str) -> Self {
        let Ok(measure) = name.parse();
        measure
    }

    /// The verifier it reads, if it reads one.
    pub fn verifier(&self) -> Option<&str> {
        match self {
            Self::Score(verifier) | Self::Pass(verifier) | Self::Rank(verifier) => Some(verifier),
            Self::Set(_) => None,
        }
    }

    /// Whether a lower value is the better one.
    pub fn falls(&self) -> bool {
        *self == Self::Set(SetMeasure::Fid)
    }

    /// The smallest and the largest value that it can have.
    pub fn range(&self) -> (f64, f64) {
        match self {
            Self::Score(_) => (f64::NEG_INFINITY, f64::INFINITY),
            Self::Rank(_) => (-1.0, 1.0),
            Self::Set(SetMeasure::Fid) => (0.0, f64::INFINITY),
            Self::Set(SetMeasure::Is) => (1.0, f64::INFINITY),
            Self::Pass(_) | Self::Set(SetMeasure::Precision | SetMeasure::Recall) => (0.0, 1.0),
        }
    }

    /// By what a value is multiplied for show: 100 for shares, in percent.
    pub fn scale(&self) -> f64 {
        match self {
            Self::Pass(_) => 100.0,
            _ => 1.0,
        }
    }

    /// The unit shown after a value.
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Pass(_) => " %",
            _ => "",
        }
    }

    /// Heading of an axis or a column.
    pub fn title(&self) -> String {
        match self {
            Self::Score(verifier) => format!("{verifier} score"),
            Self::Pass(verifier) => format!("passes {verifier}, %"),
            Self::Rank(verifier) => format!("{verifier}, rank correlation of formats"),
            Self::Set(SetMeasure::Fid) => "FID (lower is better)".into(),
            Self::Set(SetMeasure::Is) => "Inception score".into(),
            Self::Set(SetMeasure::Precision) => "precision".into(),
            Self::Set(SetMeasure::Recall) => "recall".into(),
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Score(verifier) => f.write_str(verifier),
            Self::Pass(verifier) => write!(f, "pass:{verifier}"),
            Self::Rank(verifier) => write!(f, "rank:{verifier}"),
            Self::Set(SetMeasure::Fid) => f.write_str("fid"),
            Self::Set(SetMeasure::Is) => f.write_str("is"),
            Self::Set(SetMeasure::Precision) => f.write_str("precision"),
            Self::Set(SetMeasure::Recall) => f.write_str("recall"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in [
            "clip",
            "pass:grader",
            "rank:clip",
            "fid",
            "is",
            "precision",
            "recall",
        ] {
            assert_eq!(Measure::named(name).to_string(), name);
        }
        assert_eq!(Measure::named("pass:grader").verifier(), Some("grader"));
        assert!(Measure::named("fid").falls() && !Measure::named("is").falls());
    }
}
