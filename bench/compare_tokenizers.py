#!/usr/bin/env python3
"""Quern's tokenizer and Hugging Face's on the same files and texts, one thread each, in turns within one run; writes Markdown.

Speeds are per second of processor time, so that other programs matter little; each measurement is a process of its own.
The table gives the median of the rounds, a ratio is the median of each round's ratio. Ids that differ end the run.

Usage: compare_tokenizers.py QUERN_BENCH_TOKENIZER [NAME=TOKENIZER_JSON ...]     (without files: those of the source tree)"""
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
ROUNDS = 3
REQUEST_BYTES = 8192  # as quern-bench-tokenizer cuts the text
SECONDS = 0.5
TEXT_BYTES = 1_000_000
OWN = {"demo": "config/demo/tokenizer.json", "byte-level": "tests/tokenizers/bytelevel/tokenizer.json",
       "metaspace": "tests/tokenizers/metaspace/tokenizer.json"}


def source_text() -> str:
    """Prose and code: this source tree."""
    names = subprocess.run(["git", "ls-files", "*.md", "*.[ch]", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    text = "".join(open(os.path.join(ROOT, name), encoding="utf-8").read() for name in sorted(names.stdout.split()))
    return (text * (TEXT_BYTES // len(text) + 1))[:TEXT_BYTES]


def scripts_text() -> str:
    """Many scripts, emoji and white space: the texts of the reference cases, in any order."""
    with open(os.path.join(ROOT, "tests/tokenizers/bytelevel/cases.json"), encoding="utf-8") as file:
        texts = [case["text"] for case in json.load(file)["encode"]]
    choose = random.Random(1)
    made = []
    while sum(map(len, made)) < TEXT_BYTES // 2:
        made.extend(choose.sample(texts, len(texts)))
    return "".join(made)


def requests(text: str) -> list[str]:
    data = text.encode()
    cut = [0]
    while cut[-1] < len(data):
        end = min(cut[-1] + REQUEST_BYTES, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end += 1
        cut.append(end)
    return [data[begin:end].decode() for begin, end in zip(cut, cut[1:])]


def timed(action) -> tuple[float, object]:
    """Processor seconds of one call, and its last result: called until SECONDS have passed."""
    rounds, begin = 0, time.process_time()
    while rounds == 0 or time.process_time() - begin < SECONDS:
        result = action()
        rounds += 1
    return (time.process_time() - begin) / rounds, result


def measure_huggingface(path: str, text_path: str) -> None:
    from tokenizers import Tokenizer
    with open(text_path, encoding="utf-8", newline="") as file:
        text = file.read()
    parts = requests(text)
    begin = time.process_time()
    tokenizer = Tokenizer.from_file(path)
    loaded = time.process_time() - begin
    seconds, ids = timed(lambda: [i for part in parts for i in tokenizer.encode(part, add_special_tokens=False).ids])
    decoding, _ = timed(lambda: tokenizer.decode(ids, skip_special_tokens=False))
    checksum = 0
    for i in ids:
        checksum = (checksum * 31 + i) & 0xFFFFFFFF
    print(json.dumps({"load_seconds": loaded, "encode_megabytes_per_second": len(text.encode()) / seconds / 1e6,
                      "decode_tokens_per_second": len(ids) / decoding, "tokens": len(ids), "checksum": checksum}))


def measure(command: list[str]) -> dict:
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if run.returncode != 0:
        sys.exit(f"{' '.join(command)}: {run.stderr.strip()[-400:]}")
    return json.loads(run.stdout.strip().splitlines()[-1])


def compare(quern: str, name: str, path: str, text_name: str, text_path: str) -> str:
    rounds = []
    for _ in range(ROUNDS):
        ours = measure([quern, path, text_path])
        theirs = measure([sys.executable, __file__, "--huggingface", path, text_path])
        if (ours["tokens"], ours["checksum"]) != (theirs["tokens"], theirs["checksum"]):
            sys.exit(f"{name}: {ours['tokens']} tokens of the {text_name}, {theirs['tokens']} expected, or others")
        rounds.append((ours, theirs))
    cells = [name, text_name]
    for key, scale, digits in (("encode_megabytes_per_second", 1, 1), ("decode_tokens_per_second", 1e-6, 1)):
        pairs = [(ours[key], theirs[key]) for ours, theirs in rounds]
        cells += [f"{statistics.median(side) * scale:.{digits}f}" for side in zip(*pairs)]
        cells.append(f"{statistics.median(ours / theirs for ours, theirs in pairs):.1f}")
    cells += [f"{statistics.median(side['load_seconds'] for side in sides):.2f}" for sides in zip(*rounds)]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    if sys.argv[1:2] == ["--huggingface"]:
        return measure_huggingface(*sys.argv[2:])
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    files = dict(argument.split("=", 1) for argument in sys.argv[2:]) or {n: os.path.join(ROOT, p) for n, p in OWN.items()}
    print("| tokenizer | text | encode, MB/s | Hugging Face | ratio | decode, M tokens/s | Hugging Face | ratio | load, s | Hugging Face |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for text_name, text in (("prose and code", source_text()), ("many scripts", scripts_text())):
            text_path = os.path.join(folder, "text")
            with open(text_path, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            for name, path in files.items():
                print(compare(sys.argv[1], name, path, text_name, text_path), flush=True)
    return None


if __name__ == "__main__":
    main()
