//! Purpose presets: which verifiers and which objective serve a purpose, from what there is.
//!
//! From the findings of Ma et al. 2025 (arXiv 2501.09732, section 4, tables 1 and 2): the mean rank
//! over an aesthetic score, CLIPScore and ImageReward pleases a neutral judge most; ImageReward
//! follows prompts best in every category of T2I-CompBench, CLIPScore comes after it; an aesthetic
//! score alone looks best and forgets the prompt. For classes the logit of a classifier is both
//! what looks right and what was asked.

use std::fmt;
use std::str::FromStr;

/// What a search is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Good in every way.
    Overall,
    /// What was asked for, whatever it looks like.
    Prompt,
    /// What people prefer of several pictures of a prompt.
    Preference,
    /// A beautiful picture, whatever it shows.
    Looks,
}

/// Who judges, and how they are weighed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Verifiers to optimise.
    pub verifiers: Vec<String>,
    /// The objective over them, as [`noisesearch_core::objective::Objective::parse`] reads it.
    pub objective: String,
}

/// No such goal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown goal `{0}`; known: overall, prompt, preference, looks")]
pub struct UnknownGoal(String);

/// Judges of one quality, the best first; one of them is taken.
type Quality = &'static [&'static str];

const PROMPT: Quality = &[
    "clipscore",
    "clip",
    "dinov2-class",
    "clip-class",
    "classifier",
];
const PREFERENCE: Quality = &["imagereward", "pickscore", "hpsv2"];
const LOOKS: Quality = &["aesthetic", "looks"];
/// ImageReward also follows prompts better than CLIPScore.
const FAITHFUL: Quality = &["imagereward"];

impl Goal {
    /// Every goal.
    pub const ALL: [Self; 4] = [Self::Overall, Self::Prompt, Self::Preference, Self::Looks];

    /// The word typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overall => "overall",
            Self::Prompt => "prompt",
            Self::Preference => "preference",
            Self::Looks => "looks",
        }
    }

    /// The choice for this goal among verifiers that are `available`; `None` when none serves it.
    pub fn choose(self, available: &[&str]) -> Option<Choice> {
        let best = |quality: Quality| quality.iter().find(|name| available.contains(name));
        let chosen: Vec<&str> = match self {
            Self::Overall => [LOOKS, PROMPT, PREFERENCE]
                .into_iter()
                .filter_map(best)
                .copied()
                .collect(),
            Self::Prompt => best(FAITHFUL)
                .or(best(PROMPT))
                .into_iter()
                .copied()
                .collect(),
            Self::Preference => best(PREFERENCE).into_iter().copied().collect(),
            Self::Looks => best(LOOKS).into_iter().copied().collect(),
        };
        let objective = match chosen.as_slice() {
            [] => return None,
            [only] => (*only).to_owned(),
            several => format!("rank({})", several.join(",")),
        };
        Some(Choice {
            verifiers: chosen.into_iter().map(str::to_owned).collect(),
            objective,
        })
    }

    /// Verifiers that serve this goal, the best first.
    pub fn wanted(self) -> Vec<&'static str> {
        let qualities: &[Quality] = match self {
            Self::Overall => &[LOOKS, PROMPT, PREFERENCE],
            Self::Prompt => &[FAITHFUL, PROMPT],
            Self::Preference => &[PREFERENCE],
            Self::Looks => &[LOOKS],
        };
        qualities.concat()
    }
}

impl FromStr for Goal {
    type Err = UnknownGoal;
    fn from_str(text: &str) -> Result<Self, UnknownGoal> {
        let found = Self::ALL.into_iter().find(|goal| goal.name() == text);
        found.ok_or_else(|| UnknownGoal(text.chars().take(80).collect()))
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use noisesearch_core::objective::Objective;

    const PUBLISHED: [&str; 6] = [
        "hpsv2",
        "pickscore",
        "imagereward",
        "clipscore",
        "aesthetic",
        "clip-self",
    ];

    fn objective(goal: Goal, available: &[&str]) -> String {
        let choice = goal.choose(available).unwrap();
        // What is chosen is there, and the objective reads all of it.
        let read = Objective::parse(&choice.objective, &choice.verifiers).unwrap();
        assert_eq!(read.verifiers().len(), choice.verifiers.len());
        for name in &choice.verifiers {
            assert!(available.contains(&name.as_str()) && goal.wanted().contains(&name.as_str()));
        }
        choice.objective
    }

    #[test]
    fn the_papers_choices_where_everything_is_there() {
        let chosen = Goal::ALL.map(|goal| objective(goal, &PUBLISHED));
        let overall = "rank(aesthetic,clipscore,imagereward)";
        assert_eq!(chosen, [overall, "imagereward", "imagereward", "aesthetic"]);
    }

    #[test]
    fn what_is_not_there_is_replaced() {
        let some = ["hpsv2", "pickscore", "clipscore"];
        assert_eq!(objective(Goal::Overall, &some), "rank(clipscore,pickscore)");
        assert_eq!(objective(Goal::Prompt, &some), "clipscore");
        assert_eq!(objective(Goal::Preference, &some), "pickscore");
        assert_eq!(Goal::Looks.choose(&some), None);
        assert_eq!(Goal::Overall.choose(&["clip-self"]), None);
    }

    #[test]
    fn the_lab_has_its_own() {
        let scenes = ["grader", "clip", "looks"];
        assert_eq!(objective(Goal::Overall, &scenes), "rank(looks,clip)");
        assert_eq!(objective(Goal::Prompt, &scenes), "clip");
        assert_eq!(
            objective(Goal::Prompt, &["oracle", "classifier"]),
            "classifier"
        );
        assert_eq!(Goal::Preference.choose(&scenes), None);
    }

    #[test]
    fn goals_are_words() {
        for goal in Goal::ALL {
            assert_eq!(goal.to_string().parse::<Goal>().unwrap(), goal);
        }
        let error = "best".parse::<Goal>().unwrap_err().to_string();
        assert!(error.contains("overall, prompt"), "{error}");
    }
}
