//! A directory of its own for a test, and what studies are made of.

use noisesearch::registry::Registry;
use noisesearch_study::StudyError;
use noisesearch_study::row::Row;
use noisesearch_study::study::{Options, Report, Verdict, run};
use noisesearch_study::watch::{Control, Observer};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

pub const HEAD: &str = "title = \"t\"\nstatement = \"s\"\nsource = \"arXiv 2501.09732\"\n";
pub const TASKS: &str = "[tasks]\nclasses = [\"Q\", \"7\"]\nseeds = 2\nquick = { count = 1 }\n";
pub const BASE: &str = "[base]\nmodel = \"glyphs-small\"\nsolver = \"euler\"\nsteps = 2\n\
                        batch = 4\n\
                        verifiers = [\"classifier\"]\nwatch = [\"oracle\", \"self\"]\n";
pub const RANDOM: &str = "[[arm]]\nname = \"random\"\n\
                          points = [{ budget = \"1evals\" }, { budget = \"2evals\" }, \
                          { budget = \"4evals\" }]\n";
pub const OTHERS: &str = "[[arm]]\nname = \"rank\"\npoints = [{ budget = \"4evals\", \
     verifiers = [\"classifier\", \"self\"] }]\n\
     [[arm]]\nname = \"zero-order\"\n\
     spec = { search = { method = \"zero-order\", neighbours = 2 } }\n\
     points = [{ budget = \"3evals\" }, { budget = \"5evals\" }]\n\
     [[arm]]\nname = \"paths\"\nspec = { steps = 8, search = { method = \"paths\", noises = 2, \
     leg-steps = 1 } }\npoints = [{ budget = \"120nfe\" }]\n\
     [[arm]]\nname = \"final\"\nspec = { search-steps = 2, steps = 4 }\n\
     points = [{ budget = \"4evals\" }]\n\
     [[arm]]\nname = \"ladder\"\nspec = { search-dtype = \"bf16-pair\", count = 3 }\n\
     points = [{ budget = \"4evals\" }]\n\
     [[arm]]\nname = \"until\"\npoints = [{ budget = \"40evals\", until = \"classifier=4\" }]\n";

/// A directory of its own for a test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("study-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str, parts: &[&str]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, parts.concat()).unwrap();
        path
    }

    pub fn options(&self) -> Options {
        Options {
            out: self.0.join("out"),
            quick: false,
            images: false,
            findings: None,
        }
    }

    pub fn go(&self, file: &Path) -> Result<Verdict, StudyError> {
        self.watched(file, &mut (), &AtomicBool::new(false))
    }

    pub fn watched(
        &self,
        file: &Path,
        observer: &mut dyn Observer,
        cancel: &AtomicBool,
    ) -> Result<Verdict, StudyError> {
        let mut control = Control { observer, cancel };
        let files = [file.to_owned()];
        run(&Registry::builtin(), &files, &self.options(), &mut control)
    }

    /// Runs what must succeed.
    pub fn done(&self, file: &Path) -> Report {
        match self.go(file) {
            Ok(Verdict::Done(mut reports)) => reports.pop().unwrap(),
            Ok(Verdict::Cancelled) => panic!("cancelled"),
            Err(error) => panic!("{error}"),
        }
    }

    pub fn refused(&self, file: &Path) -> String {
        let error = self.go(file).err().unwrap().to_string();
        assert!(
            !self.0.join("out").exists(),
            "{error}: something was written"
        );
        error
    }

    /// Rows without measured seconds.
    pub fn rows(&self, name: &str) -> Vec<Row> {
        let path = self.0.join("out").join(name).join("results.jsonl");
        let text = std::fs::read_to_string(path).unwrap();
        let row = |line| {
            let mut row: Row = serde_json::from_str(line).unwrap();
            row.cost.seconds = 0.0;
            row
        };
        text.lines().map(row).collect()
    }

    /// A study of these parts is refused in these words.
    pub fn says(&self, parts: &[&str], words: &[&str]) {
        let error = self.refused(&self.file("bad.toml", parts));
        for word in words {
            assert!(error.contains(word), "{word:?} in {error}");
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
