//! The small language of the scenes model, mirroring T2I-CompBench: colour, shape, texture,
//! spatial relations, numeracy and their combinations.
//!
//! ```text
//! prompt   := group | group ("," | "and") group ... | group relation group
//! group    := count? (size | texture | colour)* shape
//! count    := a | an | one | two | three | four        size    := small | large
//! relation := left of | right of | above | below       texture := striped | solid
//! ```
//! Words may come in any of a few common forms (`big`, `stripy`, `on the left of`, plurals).

use crate::models::names::{SHOWN, nearest};
use std::fmt;

/// Objects in one scene, at most.
pub const OBJECTS_MAX: usize = 4;
/// Groups in one scene, at most.
pub const GROUPS_MAX: usize = 3;
/// Length of [`Scene::tokens`].
pub const TOKENS: usize = 20;
/// Number of different tokens; 0 is padding.
pub const VOCABULARY: usize = 28;
/// Bytes of a prompt, at most.
pub const PROMPT_BYTES_MAX: usize = 4096;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $(#[doc = $word] $variant),+ }

        impl $name {
            /// Every value, in token order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in its canonical form.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

words! {
    /// Colour of an object.
    Colour {
        Red = "red", Green = "green", Blue = "blue", Yellow = "yellow", Purple = "purple",
        Orange = "orange", White = "white", Black = "black",
    }
}
words! {
    /// Outline of an object.
    Shape {
        Circle = "circle", Square = "square", Triangle = "triangle", Star = "star",
        Cross = "cross", Ring = "ring",
    }
}
words! {
    /// Size of an object beside one without a size word.
    Size { Small = "small", Large = "large" }
}
words! {
    /// Filling of an object.
    Texture { Striped = "striped", Solid = "solid" }
}
words! {
    /// Where the first group lies, seen from the second.
    Relation { Left = "left of", Right = "right of", Above = "above", Below = "below" }
}

/// Objects that share a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// How many, 1 to 4.
    pub count: usize,
    /// Size, if named.
    pub size: Option<Size>,
    /// Texture, if named; unnamed is solid.
    pub texture: Option<Texture>,
    /// Colour, if named.
    pub colour: Option<Colour>,
    /// Outline.
    pub shape: Shape,
}

/// What a prompt asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scene {
    /// One to three groups of together at most four objects.
    pub groups: Vec<Group>,
    /// How the first of exactly two groups lies to the second, if named.
    pub relation: Option<Relation>,
}

/// Why a prompt is not a scene.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrammarError {
    /// A word outside the grammar.
    #[error("the scenes model does not know the word \"{word}\"; nearest known: {nearest}")]
    UnknownWord {
        /// The word.
        word: String,
        /// Up to three known words, nearest first.
        nearest: String,
    },
    /// Known words in an order that says nothing.
    #[error(
        "cannot read \"{prompt}\": {problem}; write for example \"two red circles and a blue \
         square\" or \"a striped star left of a large green ring\""
    )]
    Form {
        /// The prompt.
        prompt: String,
        /// What is wrong with it.
        problem: String,
    },
}

const COUNTS: [&str; 4] = ["a", "two", "three", "four"];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Word {
    Count(usize),
    Size(Size),
    Texture(Texture),
    Colour(Colour),
    Shape(Shape),
    Relation(Relation),
    And,
    Filler,
}

/// Every word that a prompt may hold, with its meaning.
fn lexicon() -> Vec<(String, Word)> {
    let mut words: Vec<(String, Word)> = Vec::new();
    for &shape in Shape::ALL {
        let plural = if shape == Shape::Cross {
            "crosses".into()
        } else {
            format!("{}s", shape.word())
        };
        words.push((shape.word().into(), Word::Shape(shape)));
        words.push((plural, Word::Shape(shape)));
    }
    words.extend(
        Colour::ALL
            .iter()
            .map(|&c| (c.word().into(), Word::Colour(c))),
    );
    let others = [
        ("a", Word::Count(1)),
        ("an", Word::Count(1)),
        ("one", Word::Count(1)),
        ("two", Word::Count(2)),
        ("three", Word::Count(3)),
        ("four", Word::Count(4)),
        ("1", Word::Count(1)),
        ("2", Word::Count(2)),
        ("3", Word::Count(3)),
        ("4", Word::Count(4)),
        ("small", Word::Size(Size::Small)),
        ("little", Word::Size(Size::Small)),
        ("large", Word::Size(Size::Large)),
        ("big", Word::Size(Size::Large)),
        ("striped", Word::Texture(Texture::Striped)),
        ("stripy", Word::Texture(Texture::Striped)),
        ("solid", Word::Texture(Texture::Solid)),
        ("plain", Word::Texture(Texture::Solid)),
        ("left", Word::Relation(Relation::Left)),
        ("right", Word::Relation(Relation::Right)),
        ("above", Word::Relation(Relation::Above)),
        ("below", Word::Relation(Relation::Below)),
        ("under", Word::Relation(Relation::Below)),
        ("and", Word::And),
        (",", Word::And),
        ("of", Word::Filler),
        ("to", Word::Filler),
        ("on", Word::Filler),
        ("the", Word::Filler),
    ];
    words.extend(others.into_iter().map(|(w, m)| (w.to_string(), m)));
    words
}

fn unknown(word: &str, lexicon: &[(String, Word)]) -> GrammarError {
    GrammarError::UnknownWord {
        word: word.chars().take(SHOWN).collect(),
        nearest: nearest(word, lexicon.iter().map(|(known, _)| known.as_str())),
    }
}

impl Scene {
    /// Reads a prompt.
    pub fn parse(prompt: &str) -> Result<Self, GrammarError> {
        let form = |problem: &str| GrammarError::Form {
            prompt: prompt.chars().take(120).collect(),
            problem: problem.into(),
        };
        if prompt.len() > PROMPT_BYTES_MAX {
            return Err(form("it is longer than 4096 bytes"));
        }
        let lexicon = lexicon();
        let text = prompt.to_lowercase().replace(',', " , ");
        let mut words = Vec::new();
        for word in text.trim_end().trim_end_matches('.').split_whitespace() {
            match lexicon.iter().find(|(known, _)| known == word) {
                Some((_, Word::Filler)) => {}
                Some((_, meaning)) => words.push(*meaning),
                None => return Err(unknown(word, &lexicon)),
            }
        }
        parse_groups(&words).map_err(|problem| form(&problem))
    }

    /// The prompt in its one canonical wording.
    pub fn caption(&self) -> String {
        let mut text = String::new();
        for (i, group) in self.groups.iter().enumerate() {
            if i > 0 {
                let joint = match self.relation {
                    Some(relation) => format!(" {} ", relation.word()),
                    None if i + 1 < self.groups.len() => ", ".into(),
                    None => " and ".into(),
                };
                text.push_str(&joint);
            }
            text.push_str(&group.to_string());
        }
        text
    }

    /// The prompt as the network reads it: tokens in `1..VOCABULARY`, padded with 0.
    pub fn tokens(&self) -> [u8; TOKENS] {
        const SIZE: usize = 5;
        const TEXTURE: usize = 7;
        const COLOUR: usize = 9;
        const SHAPE: usize = 17;
        const AND: usize = 23;
        const RELATION: usize = 24;
        let mut tokens = Vec::with_capacity(TOKENS);
        for (i, group) in self.groups.iter().enumerate() {
            if i > 0 {
                tokens.push(self.relation.map_or(AND, |r| RELATION + r as usize));
            }
            tokens.push(group.count);
            tokens.extend(group.size.map(|s| SIZE + s as usize));
            tokens.extend(group.texture.map(|t| TEXTURE + t as usize));
            tokens.extend(group.colour.map(|c| COLOUR + c as usize));
            tokens.push(SHAPE + group.shape as usize);
        }
        let mut padded = [0; TOKENS];
        for (slot, token) in padded.iter_mut().zip(tokens) {
            *slot = token as u8;
        }
        padded
    }

    /// Objects in all groups together.
    pub fn objects(&self) -> usize {
        self.groups.iter().map(|g| g.count).sum()
    }
}

fn parse_groups(words: &[Word]) -> Result<Scene, String> {
    let mut scene = Scene {
        groups: Vec::new(),
        relation: None,
    };
    let mut rest = words;
    loop {
        let (group, after) = parse_group(rest)?;
        scene.groups.push(group);
        rest = after;
        match rest.first() {
            None => break,
            Some(Word::Relation(_)) if scene.relation.is_some() => {
                return Err("it names two relations, and one is what the model knows".into());
            }
            Some(Word::Relation(relation)) => scene.relation = Some(*relation),
            Some(_) => {}
        }
        rest = &rest[1..];
        if let (Some(Word::And), Some(Word::And)) = (after.first(), rest.first()) {
            rest = &rest[1..];
        }
    }
    if scene.relation.is_some() && scene.groups.len() != 2 {
        return Err("a relation joins exactly two groups of objects".into());
    }
    if scene.groups.len() > GROUPS_MAX || scene.objects() > OBJECTS_MAX {
        return Err(format!(
            "it asks for {} objects in {} groups; at most {OBJECTS_MAX} in {GROUPS_MAX} fit",
            scene.objects(),
            scene.groups.len()
        ));
    }
    Ok(scene)
}

fn parse_group(words: &[Word]) -> Result<(Group, &[Word]), String> {
    let (mut count, mut size, mut texture, mut colour) = (None, None, None, None);
    for (i, word) in words.iter().enumerate() {
        let twice = match *word {
            Word::Count(n) => count.replace(n).is_some(),
            Word::Size(s) => size.replace(s).is_some(),
            Word::Texture(t) => texture.replace(t).is_some(),
            Word::Colour(c) => colour.replace(c).is_some(),
            Word::Shape(shape) => {
                let count = count.unwrap_or(1);
                return Ok((
                    Group {
                        count,
                        size,
                        texture,
                        colour,
                        shape,
                    },
                    &words[i + 1..],
                ));
            }
            Word::And | Word::Relation(_) | Word::Filler => break,
        };
        if twice {
            return Err("one object has two counts, sizes, textures or colours".into());
        }
    }
    Err("an object lacks its shape (circle, square, triangle, star, cross, ring)".into())
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            self.size.map(Size::word),
            self.texture.map(Texture::word),
            self.colour.map(Colour::word),
        ];
        let words: Vec<&str> = words
            .into_iter()
            .flatten()
            .chain([self.shape.word()])
            .collect();
        let count = match self.count {
            1 if words[0].starts_with(['a', 'e', 'i', 'o', 'u']) => "an",
            n => COUNTS.get(n.saturating_sub(1)).copied().unwrap_or("many"),
        };
        let plural = match (self.count, self.shape) {
            (1, _) => "",
            (_, Shape::Cross) => "es",
            _ => "s",
        };
        write!(f, "{count} {}{plural}", words.join(" "))
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.caption())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caption(prompt: &str) -> String {
        Scene::parse(prompt).unwrap().caption()
    }

    #[test]
    fn sentence_forms_of_the_lab_are_read() {
        for prompt in [
            "a striped yellow star",
            "an orange ring",
            "two red circles and a blue square",
            "three black stars and a red circle",
            "a large green ring left of a small solid white cross",
            "a red circle, a blue square and a green star",
            "two crosses below a purple triangle",
        ] {
            assert_eq!(caption(prompt), prompt);
        }
    }

    #[test]
    fn other_wordings_become_the_canonical_one() {
        assert_eq!(caption("Big red circle."), "a large red circle");
        assert_eq!(caption("red striped star"), "a striped red star");
        assert_eq!(
            caption("a ring on the left of a star"),
            "a ring left of a star"
        );
        assert_eq!(caption("1 ring, and 2 stars"), "a ring and two stars");
    }

    #[test]
    fn unknown_words_name_the_nearest_known() {
        let error = Scene::parse("a red sqare").unwrap_err();
        assert!(
            error
                .to_string()
                .contains("\"sqare\"; nearest known: square"),
            "{error}"
        );
    }

    #[test]
    fn nonsense_is_refused_with_its_reason() {
        for (prompt, reason) in [
            ("", "lacks its shape"),
            ("red", "lacks its shape"),
            ("a red blue circle", "two counts, sizes"),
            ("four stars and a ring", "5 objects"),
            ("a star above a ring and a cross", "exactly two groups"),
            ("a star above a ring below a cross", "two relations"),
            ("a star and", "lacks its shape"),
        ] {
            let error = Scene::parse(prompt).unwrap_err().to_string();
            assert!(error.contains(reason), "{prompt:?}: {error}");
        }
        assert!(Scene::parse(&"a ".repeat(3000)).is_err());
    }

    #[test]
    fn the_longest_scene_fits_the_tokens() {
        let full =
            "a large striped red ring, a small solid blue star and two large striped red rings";
        let tokens = Scene::parse(full).unwrap().tokens();
        assert_eq!(tokens.iter().filter(|&&t| t > 0).count(), 17);
        assert!(tokens.iter().all(|&t| (t as usize) < VOCABULARY));
    }
}
