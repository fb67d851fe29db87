//! Bad input on every flag and file. What was tried and what it said is `docs/bad-input.md`,
//! which this test writes anew with NOISESEARCH_BLESS=1 and otherwise compares.

use crate::common::{Ended, Scratch};
use crate::{bad_pictures, bad_studies};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fmt::Write;
use std::fs;
use std::path::Path;

const DOC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/bad-input.md");
const HEAD: &str = "# Bad input, and what it says

What was tried on every flag and file, the exit code and the message on stderr. Written by
`crates/noisesearch-cli/tests/it/bad_input.rs`, which runs the real binary on each row and fails
when this page is not what it says. No row may panic, hang, or leave a run directory behind.

Exit codes: 1 usage, 2 failed, 3 stopped and resumable, 4 journal damaged, 5 input refused.
";

/// Flags of `generate` beside a good class.
const FLAGS: &[&[&str]] = &[
    &["--model", "glyphs-huge"],
    &["--model", ""],
    &["--model", "scenes"],
    &["--class", "A"],
    &["--model", "./absent"],
    &["--model", "../.."],
    &["--weights", "vae"],
    &["--weights", "=x"],
    &["--weights", "beauty=x"],
    &["--vae", "absent"],
    &["--width", "512"],
    &["--height", "0"],
    &["--height", "1e3"],
    &["--device", "gpu"],
    &["--device", "cuda:0"],
    &["--dtype", "f64"],
    &["--search", "genetic"],
    &["--budget", "0evals"],
    &["--budget", "5nfe"],
    &["--budget", "64"],
    &["--budget", "-3evals"],
    &["--budget", "1.5evals"],
    &["--budget", "99999999999999999999nfe"],
    &["--budget", "0s"],
    &["--budget", "infs"],
    &["--budget", "fast"],
    &["--until", "classifier"],
    &["--until", "classifier=high"],
    &["--until", "classifier=nan"],
    &["--until", "beauty=1"],
    &["--until", "=1"],
    &["--verifier", "beauty"],
    &["--verifier", "clip"],
    &["--verifier", "classifier", "--verifier", "classifier"],
    &["--verifier", ""],
    &["--verifier", "cmd:./none"],
    &["--verifier", "cmd:"],
    &["--goal", "best"],
    &["--goal", "preference"],
    &["--goal", "overall", "--verifier", "classifier"],
    &["--watch", "beauty"],
    &["--verifier", "classifier", "--watch", "classifier"],
    &["--objective", "beauty"],
    &["--objective", "rank("],
    &["--objective", "1e999*classifier"],
    &["--objective", ""],
    &[
        "--verifier",
        "classifier",
        "--watch",
        "self",
        "--objective",
        "self",
    ],
    &[
        "--verifier",
        "classifier",
        "--verifier",
        "self",
        "--objective",
        "self",
    ],
    &["--steps", "0"],
    &["--steps", "-1"],
    &["--steps", "1001"],
    &["--steps", "70000"],
    &["--steps", "many"],
    &["--steps", "2.5"],
    &["--search-steps", "0"],
    &["--search-steps", "1001"],
    &["--search-dtype", "f64"],
    &["--search-dtype", "bf16", "--search", "first-order"],
    &["--guidance", "-1"],
    &["--guidance", "101"],
    &["--guidance", "nan"],
    &["--guidance", "inf"],
    &["--guidance", "strong"],
    &["--solver", "rk45"],
    &["--solver", ""],
    &["--seed", "-1"],
    &["--seed", "9223372036854775808"],
    &["--seed", "0x10"],
    &["--batch", "0"],
    &["--batch", "257"],
    &["--batch", "-4"],
    &["--cache", "256"],
    &["--cache", "-1MB"],
    &["--cache", "1.5GB"],
    &["--count", "0"],
    &["--count", "65"],
    &["--out", "a-file"],
    &["--out", "a-file/below"],
    &["--out", ""],
    &["--config", "absent.toml"],
    &["--colour", "red"],
    &["--steps"],
    &["--steps", "2", "--steps", "3"],
    &["extra", "words"],
];

/// Settings of a search.
const SEARCHES: &[&[&str]] = &[
    &["--neighbours", "4"],
    &["--search", "random", "--cosine", "0.9"],
    &["--search", "paths", "--stuck", "keep"],
    &["--search", "zero-order", "--sigma", "0.1"],
    &["--search", "zero-order", "--neighbours", "0"],
    &["--search", "zero-order", "--neighbours", "-1"],
    &["--search", "zero-order", "--cosine", "1"],
    &["--search", "zero-order", "--cosine", "-1.5"],
    &["--search", "zero-order", "--cosine", "nan"],
    &["--search", "zero-order", "--stuck", "sulk"],
    &["--search", "zero-order", "--rounds", "0"],
    &["--search", "paths", "--paths", "0"],
    &["--search", "paths", "--paths", "4294967296"],
    &["--search", "paths", "--noises", "0"],
    &["--search", "paths", "--noises", "4294967295"],
    &["--search", "paths", "--sigma", "0"],
    &["--search", "paths", "--sigma", "1"],
    &["--search", "paths", "--sigma", "nan"],
    &["--search", "paths", "--forward", "0"],
    &["--search", "paths", "--forward", "0.95"],
    &["--search", "paths", "--backward", "0.5"],
    &["--search", "paths", "--first-steps", "0"],
    &["--search", "paths", "--leg-steps", "0"],
    &["--search", "paths", "--budget", "10s"],
    &["--search", "paths", "--budget", "1evals"],
    &["--search", "halving", "--factor", "1"],
    &["--search", "halving", "--starts", "0"],
    &["--search", "halving", "--rungs", "0.5,0.75"],
    &["--search", "halving", "--rungs", "1"],
    &["--search", "halving", "--rungs", ""],
    &["--search", "halving", "--budget", "10s"],
    &["--search", "halving", "--steps", "2"],
    &["--search", "first-order", "--pivots", "0"],
    &["--search", "first-order", "--pivots", "1025"],
    &["--search", "first-order", "--tries", "0"],
    &["--search", "first-order", "--rate", "0"],
    &["--search", "first-order", "--rate", "1.5"],
    &["--search", "first-order", "--rate", "nan"],
    &["--search", "first-order", "--follow", ""],
    &["--search", "first-order", "--follow", "a b"],
    &["--search", "first-order", "--follow", "oracle"],
    &["--search", "first-order", "--verifier", "self"],
    &["--search", "first-order", "--model", "scenes"],
    &["--search", "random", "--rate", "0.1"],
];

/// Whole command lines.
const COMMANDS: &[&[&str]] = &[
    &[],
    &["improve"],
    &["generate"],
    &["generate", "a red circle", "--class", "Q"],
    &["generate", ""],
    &["generate", "   "],
    &["generate", "two red circels and a blue square"],
    &["generate", "a photo of a cat"],
    &["generate", "five red circles"],
    &[
        "generate",
        "a circle and a square and a star and a ring and a cross",
    ],
    &["generate", "red"],
    &["generate", "a red circle left of"],
    &["generate", "a red\ncircle \u{7}"],
    &["generate", "ein roter Kreis 🔴"],
    &["generate", "<script>alert(1)</script>"],
    &["generate", "a red circle", "--model", "glyphs-small"],
    &["generate", "--class", "Ä"],
    &["generate", "--class", ""],
    &["generate", "--class", "QQ"],
    &["resume"],
    &["resume", "absent"],
    &["resume", "a-file"],
    &["resume", "folder"],
    &["resume", ""],
    &["verify", "absent"],
    &["verify", "folder", "--most"],
    &["report", "folder"],
    &["models", "scenes"],
    &["completions", "dos"],
];

/// Name and content of config files.
const CONFIGS: &[(&str, &str)] = &[
    ("nothing in it", ""),
    ("an unknown key", "class = \"Q\"\ncolour = \"red\"\n"),
    ("an unknown table", "class = \"Q\"\n[server]\nport = 80\n"),
    (
        "an unknown search",
        "class = \"Q\"\n[search]\nmethod = \"genetic\"\n",
    ),
    (
        "an unknown setting",
        "class = \"Q\"\n[search]\nmethod = \"paths\"\nwidth = 3\n",
    ),
    (
        "a setting of another search",
        "class = \"Q\"\n[search]\nmethod = \"random\"\ncosine = 0.9\n",
    ),
    ("a wrong type", "class = \"Q\"\nsteps = \"ten\"\n"),
    (
        "a number too large",
        "class = \"Q\"\nsteps = 99999999999999999999\n",
    ),
    ("no number", "class = \"Q\"\nguidance = nan\n"),
    ("a bad budget", "class = \"Q\"\nbudget = \"64\"\n"),
    ("a budget that is a number", "class = \"Q\"\nbudget = 64\n"),
    ("a key twice", "class = \"Q\"\nclass = \"R\"\n"),
    ("both tasks", "class = \"Q\"\nprompt = \"a red circle\"\n"),
    ("no verifier", "class = \"Q\"\nverifiers = []\n"),
    ("no TOML", "{\"class\": \"Q\"}\n"),
];

/// What was done to a run directory, and how.
type Damage = (&'static str, fn(&Path));

/// What a person did to a finished run.
const RUNS: &[Damage] = &[
    ("no run.toml", |run| {
        fs::remove_file(run.join("run.toml")).unwrap()
    }),
    ("no journal", |run| {
        fs::remove_file(run.join("journal.jsonl")).unwrap()
    }),
    ("an empty journal", |run| {
        fs::write(run.join("journal.jsonl"), "").unwrap()
    }),
    ("a journal that is text", |run| {
        fs::write(run.join("journal.jsonl"), "hello\n").unwrap()
    }),
    ("a bit of the first line flipped", |run| flip(run, 40)),
    ("a bit of the second line flipped", |run| {
        let bytes = fs::read(run.join("journal.jsonl")).unwrap();
        let second = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        flip(run, second + 30);
    }),
    ("the second line removed", |run| {
        let text = fs::read_to_string(run.join("journal.jsonl")).unwrap();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let kept = [&lines[..1], &lines[2..]].concat().concat();
        fs::write(run.join("journal.jsonl"), kept).unwrap();
    }),
    ("a journal that is a directory", |run| {
        fs::remove_file(run.join("journal.jsonl")).unwrap();
        fs::create_dir(run.join("journal.jsonl")).unwrap();
    }),
    ("a journal that is a pipe", |run| {
        let path = run.join("journal.jsonl");
        fs::remove_file(&path).unwrap();
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }),
    ("a journal that is a link", |run| {
        fs::rename(run.join("journal.jsonl"), run.join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", run.join("journal.jsonl")).unwrap();
    }),
    ("another seed in run.toml", |run| {
        let text = fs::read_to_string(run.join("run.toml")).unwrap();
        fs::write(run.join("run.toml"), text.replace("seed = 7", "seed = 8")).unwrap();
    }),
    ("an unknown key in run.toml", |run| {
        let text = fs::read_to_string(run.join("run.toml")).unwrap();
        fs::write(run.join("run.toml"), format!("colour = 1\n{text}")).unwrap();
    }),
    ("run.toml cut in half", |run| {
        let text = fs::read_to_string(run.join("run.toml")).unwrap();
        fs::write(run.join("run.toml"), &text[..text.len() / 2]).unwrap();
    }),
];

fn flip(run: &Path, at: usize) {
    let path = run.join("journal.jsonl");
    let mut bytes = fs::read(&path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// A page in the making.
pub struct Page(String);

impl Page {
    pub fn section(&mut self, title: &str, tried: &str) {
        write!(
            self.0,
            "\n## {title}\n\n| {tried} | exit | it says |\n|---|---|---|\n"
        )
        .unwrap();
    }

    pub fn row(&mut self, tried: &str, ended: &Ended) {
        let code = ended
            .code
            .unwrap_or_else(|| panic!("{tried}: ended by a signal"));
        assert!(
            (1..=5).contains(&code),
            "{tried}: exit {code}\n{}{}",
            ended.out,
            ended.err
        );
        assert!(!ended.err.contains("panicked"), "{tried}: {}", ended.err);
        assert!(ended.out.is_empty(), "{tried}: on stdout: {}", ended.out);
        let said = said(&ended.err).unwrap_or_else(|| panic!("{tried}: no error: {}", ended.err));
        writeln!(self.0, "| {tried} | {code} | {said} |").unwrap();
    }
}

/// The error itself, on one line: without the usage that may follow it.
fn said(err: &str) -> Option<String> {
    let begin = err.find("error: ").map_or(0, |at| at + 7);
    let message = err[begin..].split("\n\n").next()?;
    let lines: Vec<&str> = message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    (!lines.is_empty()).then(|| lines.join(" ").replace('|', "\\|").replace('<', "&lt;"))
}

/// What was typed, as code.
pub fn typed(args: &[&str]) -> String {
    let word = |arg: &&str| {
        let plain = |c: char| c.is_alphanumeric() || "-_=./*".contains(c);
        if !arg.is_empty() && arg.chars().all(plain) {
            (*arg).to_owned()
        } else {
            format!("{arg:?}")
        }
    };
    let words: Vec<String> = args.iter().map(word).collect();
    if words.is_empty() {
        return "nothing".to_owned();
    }
    format!("`{}`", words.join(" "))
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copied(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn configs(scratch: &Scratch, page: &mut Page) {
    page.section("Config files", "a config with");
    let mut row = |what: &str, content: &[u8]| {
        scratch.write("my.toml", content);
        page.row(what, &scratch.run(&["generate", "--config", "my.toml"]));
    };
    for (what, content) in CONFIGS {
        row(what, content.as_bytes());
    }
    row("bytes that are no UTF-8", b"class = \"\xff\"\n");
    row("two megabytes", &b"# long\n".repeat(300_000));
    row(
        "100000 open brackets",
        format!("x = {}", "[".repeat(100_000)).as_bytes(),
    );
    for name in ["folder", "/dev/zero"] {
        page.row(
            &format!("the name `{name}`"),
            &scratch.run(&["generate", "--config", name]),
        );
    }
}

fn runs(scratch: &Scratch, page: &mut Page) {
    page.section("Run directories", "a run with");
    let made = scratch.generate(&["--budget", "4evals", "--batch", "1", "--out", "made"]);
    let made = scratch.path(made["run"].as_str().unwrap());
    for (what, change) in RUNS {
        let run = scratch.path("run");
        drop(fs::remove_dir_all(&run));
        copied(&made, &run);
        change(&run);
        page.row(what, &scratch.run(&["resume", "run"]));
        let mut others = [&["verify", "run"][..], &["report", "run"]].into_iter();
        assert!(
            others.all(|args| !scratch.run(args).err.contains("panicked")),
            "{what}"
        );
    }
}

#[test]
fn the_page_says_what_the_program_says() {
    let scratch = Scratch::new("bad-input");
    scratch.write("a-file", "not a directory");
    fs::create_dir(scratch.path("folder")).unwrap();
    let mut page = Page(HEAD.to_owned());
    page.section("Commands, prompts and classes", "typed after `noisesearch`");
    for args in COMMANDS {
        page.row(&typed(args), &scratch.run(args));
    }
    let long = "red ".repeat(1200) + "circle";
    page.row(
        "`generate` with a prompt of 4806 bytes",
        &scratch.run(&["generate", &long]),
    );
    page.row(
        "`generate` with a prompt of 80006 bytes",
        &scratch.run(&["generate", &("red ".repeat(20_000) + "circle")]),
    );
    for (title, rows) in [("Flags of generate", FLAGS), ("Searches", SEARCHES)] {
        page.section(title, "typed after `generate --class Q`");
        for more in rows {
            let args = [&["generate", "--class", "Q"], *more].concat();
            page.row(&typed(more), &scratch.run(&args));
        }
    }
    configs(&scratch, &mut page);
    assert!(
        scratch.runs("runs").is_empty(),
        "a refused input left a run behind"
    );
    runs(&scratch, &mut page);
    bad_pictures::rows(&scratch, &mut page);
    bad_studies::rows(&scratch, &mut page);
    if std::env::var_os("NOISESEARCH_BLESS").is_some() {
        fs::write(DOC, &page.0).unwrap();
    }
    let committed = fs::read_to_string(DOC).unwrap_or_default();
    for (line, (page, committed)) in page.0.lines().zip(committed.lines()).enumerate() {
        assert_eq!(
            page,
            committed,
            "line {}; NOISESEARCH_BLESS=1 writes it anew",
            line + 1
        );
    }
    assert_eq!(page.0.lines().count(), committed.lines().count());
}
