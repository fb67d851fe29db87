//! Prompt sets: text, CSV, JSON lines.
//!
//! ```text
//! *.csv            a column `prompt` or `prompts`, maybe one `category` (DrawBench, PartiPrompts)
//! *.jsonl, *.json  one object a line with those keys, or `tag` for the category (GenEval)
//! else             one prompt a line (T2I-CompBench)
//! ```

use crate::error::StudyError;
use crate::limits::{PROMPT_CHARS_MAX, PROMPTS_BYTES_MAX};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// One line of a prompt set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompt {
    /// What is asked.
    pub text: String,
    /// What kind of prompt it is.
    pub category: Option<String>,
    /// The whole object of a JSON line, which a scorer may want back.
    pub object: Option<Map<String, Value>>,
}

/// Reads a prompt set of bounded size. Blank lines are skipped.
pub fn read(path: &Path) -> Result<Vec<Prompt>, StudyError> {
    let text = read_text(path, PROMPTS_BYTES_MAX)?;
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    let prompts = match extension.to_ascii_lowercase().as_str() {
        "csv" => csv(&text),
        "jsonl" | "json" => json_lines(&text),
        _ => lines(&text),
    };
    let prompts = prompts.map_err(|fault| StudyError::Prompts {
        path: path.to_owned(),
        line: fault.line,
        column: fault.column,
        problem: fault.problem,
    })?;
    match prompts.is_empty() {
        false => Ok(prompts),
        true => Err(unreadable(path, "it holds no prompt".into())),
    }
}

/// A text file of at most `limit` bytes.
pub fn read_text(path: &Path, limit: u64) -> Result<String, StudyError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    read.map_err(|error| unreadable(path, error.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(unreadable(path, format!("more than {limit} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        unreadable(path, format!("it is no UTF-8 text at byte {at}"))
    })
}

fn unreadable(path: &Path, problem: String) -> StudyError {
    StudyError::Unreadable {
        path: path.to_owned(),
        problem,
    }
}

/// What is wrong with a line.
struct Fault {
    line: u64,
    column: usize,
    problem: String,
}

impl Fault {
    fn new(line: u64, column: usize, problem: impl ToString) -> Self {
        let problem = problem.to_string();
        Self {
            line,
            column,
            problem,
        }
    }
}

/// A prompt without the blanks around it, if it is one.
fn prompt(text: &str, line: u64, column: usize) -> Result<String, Fault> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err(Fault::new(line, column, "the prompt is empty")),
        1..=PROMPT_CHARS_MAX => Ok(text.to_owned()),
        long => {
            let problem = format!("a prompt of {long} characters; at most {PROMPT_CHARS_MAX}");
            Err(Fault::new(line, column, problem))
        }
    }
}

fn numbered(text: &str) -> impl Iterator<Item = (u64, &str)> {
    let lines = text.lines().zip(1..).map(|(line, number)| (number, line));
    lines.filter(|(_, line)| !line.trim().is_empty())
}

fn lines(text: &str) -> Result<Vec<Prompt>, Fault> {
    let read = |(number, line): (u64, &str)| {
        Ok(Prompt {
            text: prompt(line, number, 1)?,
            ..Prompt::default()
        })
    };
    numbered(text).map(read).collect()
}

fn json_lines(text: &str) -> Result<Vec<Prompt>, Fault> {
    let read = |(number, line): (u64, &str)| {
        let object: Map<String, Value> = serde_json::from_str(line)
            .map_err(|error| Fault::new(number, error.column().max(1), error))?;
        let word = |key: &str| object.get(key).map(|value| value.as_str());
        let text = match word("prompt") {
            Some(Some(text)) => prompt(text, number, 1)?,
            Some(None) => return Err(Fault::new(number, 1, "`prompt` is no text")),
            None => return Err(Fault::new(number, 1, "there is no key `prompt`")),
        };
        let category = word("category").or(word("tag")).flatten();
        Ok(Prompt {
            text,
            category: category.map(str::to_owned),
            object: Some(object),
        })
    };
    numbered(text).map(read).collect()
}

fn csv(text: &str) -> Result<Vec<Prompt>, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let fault = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        Fault::new(line, 1, error)
    };
    let header = reader.headers().map_err(fault)?.clone();
    let column = |names: &[&str]| {
        let is = |field: &str| names.iter().any(|n| field.trim().eq_ignore_ascii_case(n));
        header.iter().position(is)
    };
    let Some(at) = column(&["prompt", "prompts"]) else {
        let found: Vec<&str> = header.iter().take(20).collect();
        let problem = format!("no column is called `prompt`, only: {}", found.join(", "));
        return Err(Fault::new(1, 1, problem));
    };
    let category = column(&["category"]);
    let read = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record.map_err(fault)?;
        let line = record.position().map_or(1, csv::Position::line);
        let field = |at: usize| record.get(at).unwrap_or_default();
        let kind = category.map(|at| field(at).trim().to_owned());
        Ok(Prompt {
            text: prompt(field(at), line, at + 1)?,
            category: kind.filter(|kind| !kind.is_empty()),
            object: None,
        })
    };
    reader.records().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(prompts: Result<Vec<Prompt>, Fault>) -> Vec<(String, Option<String>)> {
        let prompts = prompts.unwrap_or_else(|fault| panic!("{}", fault.problem));
        prompts.into_iter().map(|p| (p.text, p.category)).collect()
    }

    fn at<T>(result: Result<T, Fault>) -> (u64, usize, String) {
        let fault = result.err().unwrap();
        (fault.line, fault.column, fault.problem)
    }

    #[test]
    fn three_forms_say_the_same() {
        let some = |word: &str| Some(word.to_owned());
        let two = |a: Option<String>, b: Option<String>| {
            vec![
                ("a red, \"big\" cat".to_owned(), a),
                ("Zwölf Boxkämpfer".to_owned(), b),
            ]
        };
        let plain = "a red, \"big\" cat\n\n  Zwölf Boxkämpfer \r\n";
        assert_eq!(texts(lines(plain)), two(None, None));
        let csv_text = "\u{feff}Category,Prompts\ncolour,\"a red, \"\"big\"\" cat\"\n\
                        ,Zwölf Boxkämpfer\n";
        assert_eq!(texts(csv(csv_text)), two(some("colour"), None));
        let json = "{\"tag\": \"colour\", \"prompt\": \"a red, \\\"big\\\" cat\", \"n\": 1}\n\
                    {\"prompt\": \"Zwölf Boxkämpfer\", \"category\": \"x\", \"tag\": \"y\"}\n";
        assert_eq!(texts(json_lines(json)), two(some("colour"), some("x")));
        assert_eq!(
            json_lines(json).ok().unwrap()[0].object.as_ref().unwrap()["n"],
            1
        );
    }

    #[test]
    fn faults_name_line_and_column() {
        let long = "x".repeat(PROMPT_CHARS_MAX + 1);
        let (line, column, _) = at(lines(&format!("good\n{long}")));
        assert_eq!((line, column), (2, 1));
        let (line, column, problem) = at(csv("prompt,category\na,b\n\"  \",c\n"));
        assert_eq!(
            (line, column, problem.as_str()),
            (3, 1, "the prompt is empty")
        );
        assert_eq!(at(csv("category,prompt\na,b\nc\n")).0, 3);
        let (line, _, problem) = at(csv("text,tag\na,b\n"));
        assert!(
            line == 1 && problem.contains("`prompt`, only: text, tag"),
            "{problem}"
        );
        let (line, column, _) = at(json_lines("{\"prompt\": \"a\"}\n{\"prompt\": \"a\",}\n"));
        assert_eq!((line, column), (2, 16));
        assert_eq!(at(json_lines("\n\n{\"text\": \"a\"}")).0, 3);
        assert_eq!(at(json_lines("{\"prompt\": 7}")).2, "`prompt` is no text");
        assert_eq!(at(json_lines("[1]")).0, 1);
    }
}
