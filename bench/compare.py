#!/usr/bin/env python3
"""Quern and its peers on the same model, the same threads and tokens, in turns within one run; writes Markdown.

Each measurement is a process of its own, so that memory is counted apart and nothing is warm from another. The tables
give the median of the rounds; a ratio is the median of each round's ratio. A peer that is not there is left out by name.

Usage: compare.py QUERN_BINARY MODEL_DIR [--out FILE] [--llama FOLDER --gguf FILE] [--threads N] [--rounds N]"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = os.path.join(HERE, "peers")

# What one process measures: one sequence behind a long prompt, and several together.
ALONE = ["--prompt", "512", "--depth", "512,2048", "--batch", "1", "--generate", "64", "--seconds", "20"]
TOGETHER = ["--prompt", "32", "--depth", "64", "--batch", "8,16", "--generate", "48", "--seconds", "20"]


@dataclass
class Engine:
    name: str
    command: list[str]  # to which the options above are added
    environment: dict[str, str] = field(default_factory=dict)
    missing: str = ""  # why it is left out

    def measure(self, options: list[str]) -> dict:
        environment = {**os.environ, **self.environment}
        run = subprocess.run(self.command + options, capture_output=True, text=True, env=environment, check=False)
        if run.returncode != 0:
            raise RuntimeError(f"{self.name}: {run.stderr.strip()[-400:]}")
        return json.loads(run.stdout.strip().splitlines()[-1])


def decode_speed(found: dict, batch: int, depth: int) -> float:
    return next(d["tokens_per_second"] for d in found["decode"] if (d["batch"], d["depth"]) == (batch, depth))


@dataclass
class Row:
    name: str
    read: Callable[[dict, dict], float]  # from what ALONE and TOGETHER gave
    digits: int = 1


ROWS = [
    Row("prompt of 512, tokens/s", lambda alone, _: alone["prefill_tokens_per_second"], 0),
    Row("decode behind 512, tokens/s", lambda alone, _: decode_speed(alone, 1, 512)),
    Row("decode behind 2048, tokens/s", lambda alone, _: decode_speed(alone, 1, 2048)),
    Row("8 sequences together, tokens/s", lambda _, together: decode_speed(together, 8, 64), 0),
    Row("16 sequences together, tokens/s", lambda _, together: decode_speed(together, 16, 64), 0),
    Row("resident at most, MB", lambda alone, _: alone["resident_bytes_peak"] / 1e6, 0),
    Row("loading, s", lambda alone, _: alone["load_seconds"], 2),
]


def engines(options: argparse.Namespace) -> list[Engine]:
    threads = ["--threads", str(options.threads)]
    cache = ["--cache-dir", options.cache_dir]
    found = [
        Engine("Quern", [options.quern, "bench", options.folder, "--json", *cache, *threads]),
        Engine("onnxruntime-genai", [sys.executable, os.path.join(PEERS, "genai.py"), options.folder, *threads]),
        Engine("llama.cpp", [sys.executable, os.path.join(PEERS, "llama.py"), options.gguf, *threads],
               {"PYTHONPATH": options.llama, "LLAMA_CPP_LIB_PATH": os.path.join(options.llama, "build", "bin")}),
    ]
    if not os.path.exists(os.path.join(options.llama, "build", "bin")) or not os.path.exists(options.gguf):
        found[2].missing = "not built, or no GGUF file of the model"
    return found


def measure(options: argparse.Namespace) -> tuple[list[Engine], dict[str, list[tuple[dict, dict]]]]:
    every = engines(options)
    rounds: dict[str, list[tuple[dict, dict]]] = {engine.name: [] for engine in every}
    for number in range(options.rounds):
        for engine in every:
            if engine.missing:
                continue
            print(f"round {number + 1} of {options.rounds}: {engine.name}", file=sys.stderr)
            try:
                rounds[engine.name].append((engine.measure(ALONE), engine.measure(TOGETHER)))
            except (RuntimeError, ValueError, StopIteration) as error:
                engine.missing = str(error).replace("\n", " ")
    return every, rounds


def processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


def version(package: str) -> str:
    from importlib import metadata
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "?"


def table(every: list[Engine], rounds: dict[str, list[tuple[dict, dict]]]) -> list[str]:
    ours, peers = every[0], [engine for engine in every[1:] if not engine.missing]
    lines = ["| | " + " | ".join([ours.name] + [f"{peer.name} | ratio" for peer in peers]) + " |",
             "|---|" + "---:|" * (1 + 2 * len(peers))]
    for row in ROWS:
        our = [row.read(*found) for found in rounds[ours.name]]
        cells = [f"{statistics.median(our):.{row.digits}f}"]
        for peer in peers:
            their = [row.read(*found) for found in rounds[peer.name]]
            ratio = statistics.median(a / b for a, b in zip(our, their))
            cells += [f"{statistics.median(their):.{row.digits}f}", f"{ratio:.2f}"]
        lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
    return lines


def report(options: argparse.Namespace) -> str:
    every, rounds = measure(options)
    if every[0].missing:
        sys.exit(every[0].missing)
    alone = [found[0] for found in rounds["Quern"]]
    share = statistics.median(d["share_of_read_bandwidth"] for a in alone for d in a["decode"] if d["depth"] == 512)
    memory = statistics.median(a["read_bytes_per_second"] for a in alone) / 1e9
    lines = ["# Performance", "",
             f"Written by `./run bench`: medians of {options.rounds} rounds in which the engines took turns, "
             f"{options.threads} threads of", f"{processor()} ({alone[0]['kernels']} kernels). Model: "
             f"`{os.path.basename(os.path.abspath(options.folder))}`.",
             f"onnxruntime-genai {version('onnxruntime-genai')}; llama.cpp as llama-cpp-python ships its source.", ""]
    lines += table(every, rounds)
    lines += ["", f"Reading the packed weights and doing nothing with them reached {memory:.1f} GB/s on the same "
              f"threads; decoding behind 512", f"tokens read at {100 * share:.0f} % of that."]
    lines += [f"\n{engine.name} was left out: {engine.missing}." for engine in every if engine.missing]
    with open(os.path.join(HERE, "notes.md"), encoding="utf-8") as notes:
        lines += ["", notes.read().rstrip()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("quern")
    parser.add_argument("folder")
    parser.add_argument("--out", help="file to write; without it, standard output")
    parser.add_argument("--llama", default="", help="folder with llama.cpp's bindings and build/bin")
    parser.add_argument("--gguf", default="", help="the model for llama.cpp")
    parser.add_argument("--cache-dir", default="build/bench/cache", help="for Quern's pack file")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    text = report(options)
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            file.write(text)
    print(text)


if __name__ == "__main__":
    main()
