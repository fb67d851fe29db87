//! What a study file must say before anything is run: names that claims and figures use exist.

use crate::file::StudyFile;
use crate::measure::Measure;
use std::collections::BTreeSet;

/// A point of an arm, by their places from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The arm's place in the file.
    pub arm: usize,
    /// The point's place in the arm.
    pub point: usize,
}

/// A study file that asks for what it does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// No arms at all.
    #[error("the study has no arm; write at least one [[arm]] with a name and points")]
    NoArm,
    /// An arm without points.
    #[error("arm `{0}` has no points; write for example points = [{{ budget = \"8evals\" }}]")]
    NoPoint(String),
    /// Two arms of one name.
    #[error("two arms are called `{0}`; give each its own name")]
    TwoArms(String),
    /// A name that selectors cannot tell apart.
    #[error("arm `{0}` has an @ in its name, which stands before the point in a selector")]
    ArmName(String),
    /// Not of a selector's form.
    #[error("{whose}: `{selector}` is no selector; write ARM@POINT, for example random@-1")]
    Selector {
        /// The claim that has it.
        whose: String,
        /// As written.
        selector: String,
    },
    /// An arm that is not there.
    #[error("{whose}: there is no arm `{arm}`; the arms are: {known}")]
    Arm {
        /// The claim or figure that names it.
        whose: String,
        /// As written.
        arm: String,
        /// All arms.
        known: String,
    },
    /// A point that is not there.
    #[error(
        "{whose}: arm `{arm}` has no point {point}; it has {count}, 0 to {last} or -{count} to -1"
    )]
    Point {
        /// The claim that names it.
        whose: String,
        /// The arm.
        arm: String,
        /// As written.
        point: i64,
        /// How many there are.
        count: usize,
        /// The last one.
        last: usize,
    },
    /// A verifier that no arm asks.
    #[error(
        "{whose}: `{verifier}` is no measure and no verifier of this study; name it under \
         `watch`, or use one of: {known}, pass:VERIFIER, rank:VERIFIER, \
         fid, is, precision, recall"
    )]
    Measure {
        /// The claim or figure that names it.
        whose: String,
        /// As written.
        verifier: String,
        /// The verifiers that the study names.
        known: String,
    },
    /// A verifier of a set.
    #[error(
        "verifier `{0}` judges a picture among those that were accepted before it, and cells of a \
         study accept none; leave it out, write choose = \"fid\" in an arm for answers chosen by \
         it, and name the measure fid in a claim or figure to compare sets of answers"
    )]
    OfSet(String),
    /// A claim over nothing, or with a weight that is no number.
    #[error("{0}: the contrast must hold finite weights for one selector or more")]
    Contrast(String),
    /// A figure without a measure.
    #[error("figure `{0}` has no measure; name at least one")]
    NoMeasure(String),
    /// A name that is no file's stem.
    #[error("figure `{0}`: use letters, digits, - and _ only, and every name once")]
    FigureName(String),
}

/// Verifiers that judge a picture among accepted ones.
const OF_SETS: [&str; 2] = ["fid", "oracle-fid"];

/// Checks everything that reports rely on.
pub fn check(file: &StudyFile) -> Result<(), CheckError> {
    if file.arms.is_empty() {
        return Err(CheckError::NoArm);
    }
    for (index, arm) in file.arms.iter().enumerate() {
        if arm.points.is_empty() {
            return Err(CheckError::NoPoint(arm.name.clone()));
        }
        if arm.name.is_empty() || arm.name.contains('@') {
            return Err(CheckError::ArmName(arm.name.clone()));
        }
        if file.arms[..index]
            .iter()
            .any(|other| other.name == arm.name)
        {
            return Err(CheckError::TwoArms(arm.name.clone()));
        }
    }
    let judges = verifiers(file);
    if let Some(name) = OF_SETS.iter().find(|name| judges.contains(*name)) {
        return Err(CheckError::OfSet((*name).to_owned()));
    }
    for claim in &file.claims {
        let whose = format!("claim \"{}\"", claim.says);
        measure(file, &whose, &claim.measure)?;
        for (selector, weight) in &claim.contrast {
            if !weight.is_finite() {
                return Err(CheckError::Contrast(whose));
            }
            place(file, &whose, selector)?;
        }
        if claim.contrast.is_empty() {
            return Err(CheckError::Contrast(whose));
        }
    }
    figures(file)
}

fn figures(file: &StudyFile) -> Result<(), CheckError> {
    let mut names = BTreeSet::new();
    for figure in &file.figures {
        let whose = format!("figure `{}`", figure.name);
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let stem = !figure.name.is_empty() && figure.name.chars().all(plain);
        if !stem || !names.insert(&figure.name) {
            return Err(CheckError::FigureName(figure.name.clone()));
        }
        if figure.measures.is_empty() {
            return Err(CheckError::NoMeasure(figure.name.clone()));
        }
        for name in &figure.measures {
            measure(file, &whose, name)?;
        }
        for name in figure.arms.iter().flatten() {
            arm(file, &whose, name)?;
        }
    }
    Ok(())
}

/// Where the selector `ARM@POINT` points; `whose` opens the message.
pub fn place(file: &StudyFile, whose: &str, selector: &str) -> Result<Place, CheckError> {
    let parts = selector.rsplit_once('@');
    let parsed = parts.and_then(|(name, point)| Some((name, point.parse::<i64>().ok()?)));
    let (name, point) = parsed.ok_or_else(|| CheckError::Selector {
        whose: whose.to_owned(),
        selector: selector.to_owned(),
    })?;
    let index = arm(file, whose, name)?;
    let count = file.arms[index].points.len();
    let from_start = if point < 0 {
        point.checked_add(count as i64)
    } else {
        Some(point)
    };
    let found = from_start
        .and_then(|p| usize::try_from(p).ok())
        .filter(|&p| p < count);
    match found {
        Some(point) => Ok(Place { arm: index, point }),
        None => Err(CheckError::Point {
            whose: whose.to_owned(),
            arm: name.to_owned(),
            point,
            count,
            last: count.saturating_sub(1),
        }),
    }
}

/// The place of the arm of this name.
pub fn arm(file: &StudyFile, whose: &str, name: &str) -> Result<usize, CheckError> {
    let found = file.arms.iter().position(|arm| arm.name == name);
    found.ok_or_else(|| CheckError::Arm {
        whose: whose.to_owned(),
        arm: name.to_owned(),
        known: listed(file.arms.iter().map(|arm| arm.name.as_str())),
    })
}

fn measure(file: &StudyFile, whose: &str, name: &str) -> Result<(), CheckError> {
    let measure = Measure::named(name);
    let known = verifiers(file);
    match measure.verifier() {
        Some(verifier) if !known.contains(verifier) => Err(CheckError::Measure {
            whose: whose.to_owned(),
            verifier: verifier.to_owned(),
            known: listed(known.iter().copied()),
        }),
        _ => Ok(()),
    }
}

/// Every measure that its claims and figures name.
pub fn measures(file: &StudyFile) -> impl Iterator<Item = Measure> + '_ {
    let claimed = file.claims.iter().map(|claim| &claim.measure);
    let drawn = file.figures.iter().flat_map(|figure| &figure.measures);
    claimed.chain(drawn).map(|name| Measure::named(name))
}

/// Every verifier that the file names, optimised or watched.
pub fn verifiers(file: &StudyFile) -> BTreeSet<&str> {
    let specs = file
        .arms
        .iter()
        .flat_map(|arm| std::iter::once(&arm.spec).chain(&arm.points));
    std::iter::once(&file.base)
        .chain(specs)
        .flat_map(|spec| spec.verifiers.iter().chain(&spec.watch).flatten())
        .map(String::as_str)
        .collect()
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
