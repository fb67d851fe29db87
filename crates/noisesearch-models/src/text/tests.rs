//! Token ids of the reference, and files that are not what they should be.

use super::*;
use serde::Deserialize;
use std::collections::HashMap;

macro_rules! golden {
    ($name:literal) => {
        include_bytes!(concat!("../../../../parity/goldens/", $name))
    };
}

#[derive(Deserialize)]
struct ClipGolden {
    texts: Vec<String>,
    small: Vec<Vec<u32>>,
    openai: Vec<Vec<u32>>,
    openai_zero: Vec<Vec<u32>>,
    open_clip: Vec<Vec<u32>>,
}

#[derive(Deserialize)]
struct T5Golden {
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
}

fn clip_golden() -> ClipGolden {
    serde_json::from_slice(golden!("clip-tokens.json")).unwrap()
}

fn same_tokens(tokenizer: &ClipTokenizer, texts: &[String], want: &[Vec<u32>]) {
    assert_eq!(texts.len(), want.len());
    for (text, want) in texts.iter().zip(want) {
        assert_eq!(&tokenizer.encode(text), want, "{text:?}");
    }
}

fn clip_files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("vocab.json", golden!("clip-tokenizer/vocab.json").to_vec()),
        ("merges.txt", golden!("clip-tokenizer/merges.txt").to_vec()),
        (
            "tokenizer_config.json",
            golden!("clip-tokenizer/tokenizer_config.json").to_vec(),
        ),
        (
            "special_tokens_map.json",
            golden!("clip-tokenizer/special_tokens_map.json").to_vec(),
        ),
    ]
}

/// The files of the small vocabulary with one replaced.
fn with(name: &'static str, content: &[u8]) -> Result<ClipTokenizer, TextError> {
    let mut files = clip_files();
    files.push((name, content.to_vec()));
    ClipTokenizer::from_files(&Files::new(files))
}

#[test]
fn golden_tokens_of_clip_from_a_folder() {
    let golden = clip_golden();
    let tokenizer = ClipTokenizer::from_files(&Files::new(clip_files())).unwrap();
    same_tokens(&tokenizer, &golden.texts, &golden.small);
}

#[test]
fn golden_tokens_of_clip_from_one_file() {
    let golden = clip_golden();
    let vocab: serde_json::Value =
        serde_json::from_slice(golden!("clip-tokenizer/vocab.json")).unwrap();
    let merges = str::from_utf8(golden!("clip-tokenizer/merges.txt")).unwrap();
    let lines: Vec<&str> = merges.lines().skip(1).collect();
    let pairs: Vec<_> = lines.iter().map(|l| l.split_once(' ').unwrap()).collect();
    for merges in [serde_json::json!(lines), serde_json::json!(pairs)] {
        let whole = serde_json::json!({"model": {"vocab": vocab, "merges": merges}});
        let files = Files::new([("tokenizer.json", whole.to_string().into_bytes())]);
        let tokenizer = ClipTokenizer::from_files(&files).unwrap();
        same_tokens(&tokenizer, &golden.texts, &golden.small);
    }
}

/// What transformers 5 writes beside a token's text, and what earlier versions wrote. Once only the
/// text was read, so that a start in capitals was letters, and a learned word was several.
#[test]
fn added_tokens_are_read_where_they_are_described() {
    let described = |text: &str, normalized: bool| {
        let mut token = serde_json::json!({"content": text, "special": true});
        token["normalized"] = normalized.into();
        token
    };
    let tokens = [
        (728, described("<|startoftext|>", true)),
        (729, described("<|endoftext|>", false)),
        (730, described("<toy>", false)),
    ];
    let names = serde_json::json!({
        "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>",
    });
    let mut decoder = names.clone();
    let by_id = tokens.clone().map(|(id, token)| (id.to_string(), token));
    decoder["added_tokens_decoder"] = by_id.into_iter().collect();
    let mut files = clip_files();
    files.truncate(2);
    files.push(("tokenizer_config.json", decoder.to_string().into_bytes()));
    let earlier = ClipTokenizer::from_files(&Files::new(files)).unwrap();
    let list = tokens.map(|(id, mut token)| {
        token["id"] = id.into();
        token
    });
    let vocab: serde_json::Value =
        serde_json::from_slice(golden!("clip-tokenizer/vocab.json")).unwrap();
    let merges = str::from_utf8(golden!("clip-tokenizer/merges.txt")).unwrap();
    let merges: Vec<&str> = merges.lines().skip(1).collect();
    let model = serde_json::json!({"vocab": vocab, "merges": merges});
    let whole = serde_json::json!({"model": model, "added_tokens": list});
    let now = ClipTokenizer::from_files(&Files::new([
        ("tokenizer.json", whole.to_string().into_bytes()),
        ("tokenizer_config.json", names.to_string().into_bytes()),
    ]));
    // Of transformers 5.24.0.
    let want = [728, 320, 728, 321, 730, 729];
    for tokenizer in [earlier, now.unwrap()] {
        let ids = tokenizer.encode("a <|STARTOFTEXT|> b <toy>");
        assert_eq!(ids[..want.len()], want);
    }
}

/// Folders of early versions of transformers, as PixArt's tokenizer is published.
#[test]
fn golden_tokens_of_folders_with_added_tokens() {
    #[derive(Deserialize)]
    struct Golden {
        text: String,
        clip: (serde_json::Value, Vec<u32>),
        t5: (serde_json::Value, Vec<u32>),
    }
    let golden: Golden = serde_json::from_slice(golden!("added-tokens.json")).unwrap();
    let (added, want) = golden.clip;
    let clip = with("added_tokens.json", added.to_string().as_bytes()).unwrap();
    assert_eq!(clip.encode(&golden.text)[..want.len()], want);
    let (added, want) = golden.t5;
    let t5 = T5Tokenizer::from_files(&Files::new([
        (
            "spiece.model",
            golden!("t5-tokenizer/spiece.model").to_vec(),
        ),
        ("added_tokens.json", added.to_string().into_bytes()),
    ]));
    assert_eq!(t5.unwrap().encode(&golden.text, want.len()).0, want);
    let error = with("added_tokens.json", b"[1]").unwrap_err().to_string();
    assert!(error.contains("added_tokens.json"), "{error}");
    let padding = br#"{"pad_token": "[PAD]"}"#.to_vec();
    let mut files = clip_files();
    files.push(("tokenizer_config.json", padding));
    files.push(("added_tokens.json", br#"{"[PAD]": 730}"#.to_vec()));
    let padded = ClipTokenizer::from_files(&Files::new(files)).unwrap();
    assert_eq!(padded.encode("a")[76], 730);
}

#[test]
fn golden_tokens_of_openai_vocabulary() {
    let golden = clip_golden();
    same_tokens(
        &ClipTokenizer::openai(Padding::End),
        &golden.texts,
        &golden.openai,
    );
}

/// The vocabulary of OpenAI's CLIP as `vocab.json` and `merges.txt` have it.
fn openai_files() -> [(&'static str, Vec<u8>); 2] {
    let mut letters = bpe::byte_letters();
    letters.sort();
    // Printable bytes come before the others in the vocabulary, and in Unicode too.
    let mut tokens: Vec<String> = letters.iter().map(char::to_string).collect();
    tokens.extend(letters.iter().map(|c| format!("{c}{}", bpe::END_OF_WORD)));
    let mut lines = String::from("#version: 0.2\n");
    for merge in clip_tokenizer::MERGES.chunks_exact(4) {
        let part = |low, high| &tokens[usize::from(u16::from_le_bytes([low, high]))];
        let (left, right) = (part(merge[0], merge[1]), part(merge[2], merge[3]));
        lines.push_str(&format!("{left} {right}\n"));
        tokens.push(format!("{left}{right}"));
    }
    tokens.extend(["<|startoftext|>", "<|endoftext|>"].map(str::to_owned));
    let numbers: HashMap<String, usize> = tokens.into_iter().zip(0..).collect();
    let vocabulary = serde_json::to_vec(&numbers).unwrap();
    [
        ("vocab.json", vocabulary),
        ("merges.txt", lines.into_bytes()),
    ]
}

/// The second tokenizer of SDXL pads with `!`, which thereby becomes a special token.
#[test]
fn golden_tokens_of_a_folder_that_pads_with_another_token() {
    let golden = clip_golden();
    let [vocabulary, merges] = openai_files();
    let described = |text| serde_json::json!({"content": text, "normalized": true});
    let config = serde_json::json!({
        "bos_token": described("<|startoftext|>"), "eos_token": described("<|endoftext|>"),
        "pad_token": "!",
    });
    let config = ("tokenizer_config.json", config.to_string().into_bytes());
    let tokenizer = ClipTokenizer::from_files(&Files::new([vocabulary, merges, config])).unwrap();
    same_tokens(&tokenizer, &golden.texts, &golden.openai_zero);
}

#[test]
fn golden_tokens_of_open_clip() {
    let golden = clip_golden();
    same_tokens(
        &ClipTokenizer::openai(Padding::Zero),
        &golden.texts,
        &golden.open_clip,
    );
}

#[test]
fn damaged_clip_files_are_errors_that_name_them() {
    let message = |name, content: &[u8]| with(name, content).unwrap_err().to_string();
    for (name, content, part) in [
        ("vocab.json", &b"{\"a\": -1}"[..], "vocab.json"),
        ("vocab.json", b"{}", "lacks `<|startoftext|>`"),
        ("merges.txt", b"#version: 0.2\na b c\n", "lacks `b c`"),
        ("merges.txt", b"ab\n", "merges.txt is damaged"),
        ("merges.txt", b"\xFF", "merges.txt is damaged"),
        ("tokenizer_config.json", b"[", "tokenizer_config.json"),
        (
            "tokenizer_config.json",
            br#"{"added_tokens_decoder": {"a": "b"}}"#,
            "tokenizer_config.json",
        ),
        (
            "tokenizer_config.json",
            br#"{"pad_token": "<none>"}"#,
            "`<none>`",
        ),
    ] {
        let message = message(name, content);
        assert!(message.contains(part), "{message}");
    }
    let error = ClipTokenizer::from_files(&Files::default()).unwrap_err();
    assert!(matches!(error, TextError::NoVocabulary { .. }));
}

fn t5() -> T5Tokenizer {
    let model = golden!("t5-tokenizer/spiece.model").to_vec();
    T5Tokenizer::from_files(&Files::new([("spiece.model", model)])).unwrap()
}

fn golden_t5(tokenizer: &T5Tokenizer) {
    let golden: T5Golden = serde_json::from_slice(golden!("t5-tokens.json")).unwrap();
    assert_eq!(golden.texts.len(), golden.ids.len());
    for (text, want) in golden.texts.iter().zip(&golden.ids) {
        let (got, real) = tokenizer.encode(text, want.len() + 5);
        assert_eq!(got[..real], want[..], "{text:?}");
        assert_eq!(got[real..], [0; 5], "{text:?}");
    }
}

#[test]
fn golden_tokens_of_t5_from_a_model() {
    golden_t5(&t5());
}

#[test]
fn golden_tokens_of_t5_from_one_file() {
    let bytes = golden!("t5-tokenizer/spiece.model");
    let model = sentencepiece::SentencePiece::parse(bytes).unwrap();
    let mut vocab: Vec<_> = model
        .pieces
        .iter()
        .map(|p| (p.text.clone(), p.score))
        .collect();
    let mut added: Vec<_> = (0..3).map(|id| (id, vocab[id].0.clone())).collect();
    for i in (0..100).rev() {
        added.push((vocab.len(), format!("<extra_id_{i}>")));
        vocab.push((format!("<extra_id_{i}>"), 0.0));
    }
    let token = |(id, content): &(usize, String)| serde_json::json!({"id": id, "content": content});
    let rules = serde_json::json!({
        "type": "Precompiled", "precompiled_charsmap": base64(&model.charsmap),
    });
    for normalizer in [
        rules.clone(),
        serde_json::json!({"normalizers": [{}, rules]}),
    ] {
        let whole = serde_json::json!({
            "model": {"unk_id": 2, "vocab": vocab},
            "normalizer": normalizer,
            "added_tokens": added.iter().map(token).collect::<Vec<_>>(),
        });
        let files = Files::new([("tokenizer.json", whole.to_string().into_bytes())]);
        golden_t5(&T5Tokenizer::from_files(&files).unwrap());
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let bits = (0..3).fold(0usize, |n, i| {
            n << 8 | usize::from(*group.get(i).unwrap_or(&0))
        });
        let digit = |i: usize| match i <= group.len() {
            true => char::from(DIGITS[bits >> (18 - 6 * i) & 63]),
            false => '=',
        };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

#[test]
fn long_texts_of_t5_keep_the_end() {
    let tokenizer = t5();
    let (all, real) = tokenizer.encode("a photo of a cat on a mat", 100);
    let (cut, cut_real) = tokenizer.encode("a photo of a cat on a mat", 5);
    assert!(real > 5);
    assert_eq!((cut.len(), cut_real), (5, 5));
    assert_eq!(cut[..4], all[..4]);
    assert_eq!(cut[4], 1);
    assert_eq!(tokenizer.encode("a", 0), (vec![], 0));
}

/// Every prefix of a model and every single changed byte near its start is an error or a model
/// that encodes; nothing panics.
#[test]
fn damaged_models_do_no_harm() {
    let model = golden!("t5-tokenizer/spiece.model");
    let open = |bytes: Vec<u8>| {
        let opened = T5Tokenizer::from_files(&Files::new([("spiece.model", bytes)]));
        opened.map(|t| t.encode("é Ａ</s> 日x", 9).0.len())
    };
    let trainer = model.len() - 243_000;
    for cut in (0..trainer).step_by(97) {
        assert!(!matches!(open(model[..cut].to_vec()), Ok(n) if n != 9));
    }
    for at in (0..trainer + 3000).step_by(61) {
        let mut changed = model.to_vec();
        changed[at] ^= 0x55;
        assert!(!matches!(open(changed), Ok(n) if n != 9));
    }
    assert!(open(vec![]).is_err());
}

#[test]
fn too_many_special_tokens_are_refused() {
    let config = br#"{"extra_ids": 4000000000}"#.to_vec();
    let model = golden!("t5-tokenizer/spiece.model").to_vec();
    let files = Files::new([("spiece.model", model), ("tokenizer_config.json", config)]);
    let error = T5Tokenizer::from_files(&files).unwrap_err().to_string();
    assert!(
        error.contains("number of special tokens is 10003"),
        "{error}"
    );
}
