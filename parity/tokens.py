"""Golden token ids of CLIP and T5, and the small vocabularies that they are of.

    python parity/tokens.py

Writes goldens/clip-tokens.json, goldens/t5-tokens.json, goldens/added-tokens.json and the folders goldens/clip-tokenizer and
goldens/t5-tokenizer. The vocabularies are trained here, on parity/texts.py: published ones cannot
be committed, but for CLIP's own, which the program carries (parity/clip_vocabulary.py).
"""
import json
import os
import shutil
import tempfile

import open_clip
import sentencepiece
import tokenizers
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer, T5Tokenizer

import clip_vocabulary
import texts
from reference import GOLDENS

START, END = "<|startoftext|>", "<|endoftext|>"
ORIGIN = (f"transformers {transformers.__version__}, tokenizers {tokenizers.__version__}, "
          f"open_clip_torch {open_clip.__version__}, "
          f"sentencepiece {sentencepiece.__version__}, parity/tokens.py")


def save(folder, name, content):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False))


def write(name, **golden):
    """Writes goldens/NAME.json, one list of ids a line."""
    path = os.path.join(GOLDENS, name + ".json")
    with open(path, "w", encoding="utf-8") as file:
        rows = []
        for key, value in golden.items():
            if isinstance(value, list):
                lines = ",\n".join("  " + json.dumps(one, ensure_ascii=False) for one in value)
                rows.append(f"{json.dumps(key)}: [\n{lines}\n]")
            else:
                rows.append(f"{json.dumps(key)}: {json.dumps(value)}")
        file.write("{\n" + ",\n".join(rows) + "\n}\n")
    print(path, os.path.getsize(path), "bytes")


def clip_folder(folder, vocabulary, merges, pad):
    """A tokenizer's folder as Stable Diffusion (pad: the end) and SDXL's second (`!`) have it."""
    save(folder, "vocab.json", vocabulary)
    save(folder, "merges.txt", "#version: 0.2\n" + "\n".join(" ".join(m) for m in merges) + "\n")
    token = lambda name: {"content": name, "lstrip": False, "normalized": True, "rstrip": False,
                          "single_word": False}
    named = {"bos_token": token(START), "eos_token": token(END), "unk_token": token(END),
             "pad_token": pad}
    save(folder, "special_tokens_map.json", named)
    save(folder, "tokenizer_config.json",
         {**{key: {"__type": "AddedToken", **value} if isinstance(value, dict) else value
             for key, value in named.items()},
          "do_lower_case": True, "errors": "replace", "model_max_length": 77,
          "tokenizer_class": "CLIPTokenizer", "add_prefix_space": False})


def small_bpe():
    """A vocabulary of 700 tokens, of which 512 are bytes."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters = clip_vocabulary.letters()
    trainer = trainers.BpeTrainer(vocab_size=700, end_of_word_suffix="</w>", show_progress=False,
                                  initial_alphabet=letters)
    tokenizer.train_from_iterator([" ".join(texts.words(2000)).lower()], trainer)
    merges = [tuple(m) for m in json.loads(tokenizer.to_str())["model"]["merges"]]
    merges = [(left, right) for left, right in merges if "Ġ" not in left + right]
    tokens = letters + [letter + "</w>" for letter in letters]
    tokens += [left + right for left, right in merges] + [START, END]
    assert len(set(tokens)) == len(tokens)
    return {token: number for number, token in enumerate(tokens)}, merges


def clip_ids(folder):
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    ids = tokenizer(texts.PROMPTS, padding="max_length", max_length=77, truncation=True).input_ids
    assert all(len(one) == 77 for one in ids)
    return ids


def clip():
    folder = os.path.join(GOLDENS, "clip-tokenizer")
    # Training breaks ties at random: what is there is kept.
    if not os.path.exists(os.path.join(folder, "vocab.json")):
        clip_folder(folder, *small_bpe(), END)
    small = clip_ids(folder)
    pairs = clip_vocabulary.merges()
    published = {}
    for name, pad in (("openai", END), ("openai_zero", "!")):
        with tempfile.TemporaryDirectory() as folder:
            clip_folder(folder, clip_vocabulary.vocabulary(pairs), pairs, pad)
            published[name] = clip_ids(folder)
    published["open_clip"] = open_clip.tokenizer.SimpleTokenizer()(texts.PROMPTS).tolist()
    write("clip-tokens", origin=ORIGIN, texts=texts.PROMPTS, small=small, **published)


def small_unigram(folder):
    """A model of some 350 pieces with T5's settings."""
    os.makedirs(folder, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(texts.words(2000)))
        file.flush()
        sentencepiece.SentencePieceTrainer.train(
            input=file.name, model_prefix=os.path.join(folder, "spiece"), vocab_size=500, hard_vocab_limit=False,
            model_type="unigram", normalization_rule_name="nmt_nfkc", pad_id=0, eos_id=1,
            unk_id=2, bos_id=-1, character_coverage=0.999, num_threads=1, minloglevel=2)
    os.remove(os.path.join(folder, "spiece.vocab"))


def t5():
    folder = os.path.join(GOLDENS, "t5-tokenizer")
    if not os.path.exists(os.path.join(folder, "spiece.model")):
        small_unigram(folder)
    model = sentencepiece.SentencePieceProcessor(os.path.join(folder, "spiece.model"))
    tokenizer = T5Tokenizer.from_pretrained(folder)
    ids = tokenizer(texts.PROMPTS).input_ids
    for text, one in zip(texts.PROMPTS, ids):
        # SentencePiece itself knows no special tokens and takes U+0085 for a letter.
        assert one == model.encode(text) + [1] or "<extra_id_0>" in text or "\x85" in text, text
    write("t5-tokens", origin=ORIGIN, texts=texts.PROMPTS, ids=ids)


def added():
    """Folders of early versions of transformers: further tokens in added_tokens.json."""
    text = "a <extra_id_0> b <extra_id_99> <toy> c <TOY> Ink ink x<toy>y"
    clip = {"<toy>": 730, "Ink": 731}
    first = sentencepiece.SentencePieceProcessor(
        os.path.join(GOLDENS, "t5-tokenizer", "spiece.model")).vocab_size()
    # PixArt's has all hundred of these; the model's own ids count.
    t5 = {f"<extra_id_{i}>": first + 99 - i for i in range(100)} | {"<toy>": first + 100}
    golden = {}
    for name, kind, ids in (("clip", CLIPTokenizer, clip), ("t5", T5Tokenizer, t5)):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(os.path.join(GOLDENS, name + "-tokenizer"), folder, dirs_exist_ok=True)
            save(folder, "added_tokens.json", ids)
            golden[name] = [ids, kind.from_pretrained(folder)(text).input_ids]
    save(GOLDENS, "added-tokens.json", {"origin": ORIGIN, "text": text, **golden})


if __name__ == "__main__":
    clip()
    t5()
    added()
