#!/usr/bin/env python3
"""The vocabulary of CLIP as the program carries it, for checkpoints that come without a tokenizer
-> crates/noisesearch-models/src/text/clip_merges.bin.

From `bpe_simple_vocab_16e6.txt.gz` of open_clip_torch 3.3.0 (MIT, first published with OpenAI's
CLIP, MIT). Tokens are numbered: 256 bytes, 256 bytes at the end of a word, then one token a merge;
the file holds the numbers of each merge's two parts, 16 bits each, little-endian.
"""
import gzip
import os

import numpy as np
import open_clip

TARGET = "../crates/noisesearch-models/src/text/clip_merges.bin"
MERGES = 49152 - 256 - 2


def letters():
    """The 256 characters that stand for bytes, in the order of the vocabulary."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = 256 - len(printable)
    return [chr(c) for c in printable] + [chr(256 + i) for i in range(others)]


def merges():
    """The pairs of OpenAI's vocabulary in the order of learning."""
    path = os.path.join(os.path.dirname(open_clip.__file__), "bpe_simple_vocab_16e6.txt.gz")
    lines = gzip.open(path).read().decode().split("\n")
    return [tuple(line.split()) for line in lines[1:MERGES + 1]]


def vocabulary(pairs):
    """Tokens and their numbers, special tokens last."""
    tokens = letters() + [letter + "</w>" for letter in letters()]
    tokens += ["".join(pair) for pair in pairs] + ["<|startoftext|>", "<|endoftext|>"]
    assert len(set(tokens)) == len(tokens) == 49408
    return {token: number for number, token in enumerate(tokens)}


def main():
    pairs = merges()
    numbers = vocabulary(pairs)
    parts = np.array([[numbers[left], numbers[right]] for left, right in pairs], dtype="<u2")
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), TARGET)
    parts.tofile(path)
    print(path, os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
