//! Bad pictures, lists and statistics, for the page of bad input.

use crate::bad_input::{Page, typed};
use crate::common::Scratch;
use noisesearch::picture::Picture;
use std::fs;

const ORACLE: [&str; 2] = ["--verifier", "oracle"];

/// What is typed after `score`, beside a class and a verifier.
const SCORED: &[&[&str]] = &[
    &["absent.png"],
    &["empty"],
    &["photos"],
    &["text.png"],
    &["cut.png"],
    &["rgba.png"],
    &["large.png"],
    &["colour.png"],
    &["/dev/null"],
    &["huge.png"],
];

/// Whole command lines.
const COMMANDS: &[&[&str]] = &[
    &["score"],
    &["score", "good.png"],
    &["score", "good.png", "--verifier", "oracle"],
    &["score", "good.png", "--class", "Q", "--verifier", "beauty"],
    &["score", "good.png", "--class", "Q", "--verifier", "self"],
    &[
        "score",
        "good.png",
        "--class",
        "Q",
        "--verifier",
        "cmd:./none",
    ],
    &[
        "score",
        "good.png",
        "--prompt",
        "a cat",
        "--verifier",
        "oracle",
    ],
    &["score", "good.png", "--class", "QQ", "--verifier", "oracle"],
    &[
        "score",
        "good.png",
        "--class",
        "Q",
        "--prompt",
        "a",
        "--verifier",
        "oracle",
    ],
    &[
        "score",
        "good.png",
        "--class",
        "Q",
        "--verifier",
        "oracle",
        "--verifier",
        "oracle",
    ],
    &[
        "score",
        "good.png",
        "--class",
        "Q",
        "--verifier",
        "oracle",
        "--weights",
        "vae=x",
    ],
    &[
        "score",
        "good.png",
        "--verifier",
        "oracle",
        "--prompts",
        "absent.tsv",
    ],
    &[
        "score",
        "good.png",
        "--verifier",
        "oracle",
        "--prompts",
        "lines.tsv",
    ],
    &[
        "score",
        "good.png",
        "--verifier",
        "oracle",
        "--prompts",
        "twice.tsv",
    ],
    &[
        "score",
        "good.png",
        "--verifier",
        "oracle",
        "--prompts",
        "others.tsv",
    ],
    &["fid"],
    &["fid", "good"],
    &["fid", "good", "absent"],
    &["fid", "good", "good"],
    &["fid", "good", "good", "--features", "beauty"],
    &[
        "fid",
        "good",
        "good",
        "--features",
        "glyphs",
        "--weights",
        "inception=x",
    ],
    &["fid", "good", "good", "--weights", "inception=absent"],
    &["fid", "empty", "glyphs"],
    &["fid", "good", "glyphs"],
    &["fid", "mixed", "glyphs"],
    &["fid", "text.png", "glyphs"],
    &["fid", "statistics.npz", "glyphs"],
    &["fid", "absent.npz", "glyphs"],
    &["fid", "one.safetensors", "glyphs"],
    &["fid", "none.safetensors", "glyphs"],
];

fn png(width: usize, height: usize, channels: usize) -> Vec<u8> {
    let pixels = (0..width * height * channels).map(|i| (i * 37 % 256) as u8);
    let picture = Picture {
        width,
        height,
        channels,
        pixels: pixels.collect(),
    };
    picture.to_png(&[]).unwrap()
}

/// A safetensors file of f32 zeros.
fn statistics(header: &str, bytes: usize) -> Vec<u8> {
    let size = (header.len() as u64).to_le_bytes();
    [&size[..], header.as_bytes(), &vec![0; bytes]].concat()
}

fn files(scratch: &Scratch) {
    for folder in ["empty", "photos", "good", "mixed"] {
        fs::create_dir(scratch.path(folder)).unwrap();
    }
    let good = png(32, 32, 1);
    for name in ["good.png", "good/1.png", "mixed/1.png"] {
        scratch.write(name, &good);
    }
    scratch.write("mixed/2.png", png(40, 40, 1));
    scratch.write("photos/a.jpg", "none");
    scratch.write("text.png", "a text\n");
    scratch.write("cut.png", &good[..good.len() / 2]);
    // The header of a picture with transparency, and of one that would not fit in memory.
    for (name, at, byte) in [("rgba.png", 25, 6), ("huge.png", 16, 0x7f)] {
        let mut changed = good.clone();
        changed[at] = byte;
        let sum = crc(&changed[12..29]).to_be_bytes();
        changed[29..33].copy_from_slice(&sum);
        scratch.write(name, changed);
    }
    scratch.write("large.png", png(40, 40, 1));
    scratch.write("colour.png", png(32, 32, 3));
    scratch.write("lines.tsv", "good.png a red circle\n");
    scratch.write("twice.tsv", "good.png\tred\ngood.png\tblue\n");
    scratch.write("others.tsv", "bad.png\tred\n");
    scratch.write("statistics.npz", "PK");
    let one = r#"{"mean":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
        "covariance":{"dtype":"F32","shape":[1,1],"data_offsets":[4,8]}}"#;
    scratch.write("one.safetensors", statistics(one, 8));
    let none = r#"{"weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    scratch.write("none.safetensors", statistics(none, 4));
}

/// The checksum of a PNG chunk.
fn crc(bytes: &[u8]) -> u32 {
    let fold = |sum: u32, byte: &u8| {
        let step = |sum: u32, _| (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg());
        (0..8).fold(sum ^ u32::from(*byte), step)
    };
    !bytes.iter().fold(!0, fold)
}

/// Adds what was tried to the page.
pub fn rows(scratch: &Scratch, page: &mut Page) {
    files(scratch);
    page.section(
        "Pictures",
        "typed after `score --class Q --verifier oracle`",
    );
    for more in SCORED {
        let args = [&["score", "--class", "Q"], &ORACLE[..], *more].concat();
        page.row(&typed(more), &scratch.run(&args));
    }
    page.section("Sets, lists and statistics", "typed after `noisesearch`");
    for args in COMMANDS {
        page.row(&typed(args), &scratch.run(args));
    }
}
