#!/usr/bin/env python3
"""Writes a tokenizer of the size of Gemma 3's, so that starting a server costs what it costs with a true one: 262144
tokens, a merge for every way in which a token splits in two, bytes, and words that mean nothing.

Usage: make_tokenizer.py OUT_DIR      (writes tokenizer.json, the same bytes every time)"""
import json
import os
import random
import sys

VOCABULARY = 262144
MERGES = 514906  # as many as Gemma 3 has
SPECIALS = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "[multimodal]"]
UNUSED = 6242
LETTERS = "▁etaoinshrdlcumwfgypbvkjxqz0123456789.,;:!?'\"()-\nETAOINSHRDLCUMWFGYPBVKJXQZ"
LONGEST = 14
SHORT_HEADS = 1500  # words grow from the first tokens, as common pairs do
SHORT_TAILS = 900


def make_words(count: int) -> list[str]:
    choose = random.Random(1)
    words = list(LETTERS)
    known = set(words)
    while len(words) < count:
        head = words[choose.randrange(min(len(words), SHORT_HEADS))]
        tail = words[choose.randrange(min(len(words), SHORT_TAILS))]
        word = head + tail
        if word not in known and len(word) <= LONGEST and "▁" not in tail:
            known.add(word)
            words.append(word)
    return words


def make_merges(words: list[str]) -> list[list[str]]:
    known = set(words)
    merges = []
    for word in words:
        merges += [[word[:i], word[i:]] for i in range(1, len(word)) if word[:i] in known and word[i:] in known]
    return merges[:MERGES]


def make_tokenizer() -> dict:
    plain = SPECIALS + [f"<unused{i}>" for i in range(UNUSED)]
    byte_tokens = [f"<0x{i:02X}>" for i in range(256)]
    words = make_words(VOCABULARY - len(plain) - len(byte_tokens))
    added = [
        {"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": i < 4}
        for i, text in enumerate(plain)
    ]
    bos = {"SpecialToken": {"id": "<bos>", "type_id": 0}}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious",
                          "invert": False},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [bos, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<bos>": {"id": "<bos>", "ids": [SPECIALS.index("<bos>")], "tokens": ["<bos>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
                         {"type": "Fuse"}],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {text: i for i, text in enumerate(plain + byte_tokens + words)},
            "merges": make_merges(words),
        },
    }


def main(out: str) -> None:
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "tokenizer.json"), "w", encoding="utf-8") as file:
        json.dump(make_tokenizer(), file, ensure_ascii=False, indent=2)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
