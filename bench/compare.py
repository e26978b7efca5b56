#!/usr/bin/env python3
"""Quern and its peers on the same model, the same threads and tokens, in turns within one run.

Each measurement is a process of its own, so that memory is counted apart and nothing is warm from another. A figure is
the median of the rounds; a ratio is the median of each round's ratio. What a peer cannot do, or fails to do, is left out
by name. The result is one JSON file for this kind of machine, of which report.py makes documentation.

Usage: compare.py QUERN_BINARY MODEL_DIR [--out FOLDER] [--llama FOLDER --gguf FILE] [--threads N] [--rounds N]
                  [--minutes N]"""
import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib import metadata

import engines
import figures
import http_load
import report

# What a process measures: one sequence behind prompts, several together, one behind ever more tokens.
ALONE = ["--prompt", "512", "--depth", f"{http_load.PROMPT_TOKENS},512,2048", "--batch", "1", "--generate", "64",
         "--seconds", "8"]
TOGETHER = ["--prompt", "32", "--depth", "64", "--batch", ",".join(map(str, figures.BATCHES)), "--generate", "24",
            "--seconds", "10"]
DEEP = ["--prompt", "32", "--batch", "1", "--generate", "32", "--seconds", "10"]
DEEP_BEYOND = 64  # positions of the context that DEEP needs behind its depths
SCALING = ["--prompt", "512", "--depth", "64", "--batch", "1,8", "--generate", "32", "--seconds", "10"]


def model_config(folder: str) -> dict:
    with open(os.path.join(folder, "genai_config.json"), encoding="utf-8") as file:
        return json.load(file)["model"]


def measure_alone(engine: engines.Engine, _folder: str, _round: int) -> dict:
    return engine.run(ALONE + engine.alone)


def measure_together(engine: engines.Engine, _folder: str, _round: int) -> dict:
    return engine.run(TOGETHER)


def measure_http(engine: engines.Engine, folder: str, number: int) -> dict:
    return http_load.measure(engine.server, model_config(folder)["vocab_size"], f"round {number}")


def measure_deep(engine: engines.Engine, folder: str, _round: int) -> dict:
    room = model_config(folder)["context_length"] - DEEP_BEYOND
    depths = ",".join(str(depth) for depth in figures.DEPTHS if depth <= room)
    return engine.run(DEEP + ["--depth", depths] + engine.deep)


IN_ROUNDS = {"alone": measure_alone, "together": measure_together, "http": measure_http}
ONCE = {"deep": measure_deep}


def measure_each(kinds: dict, every: list[engines.Engine], folder: str, number: int, found: figures.Found) -> None:
    for kind, measure in kinds.items():
        for engine in every:
            if kind in engine.missing:
                continue
            print(f"round {number}: {kind}, {engine.name}", file=sys.stderr)
            try:
                found[kind].setdefault(engine.name, []).append(measure(engine, folder, number))
            except (RuntimeError, ValueError, KeyError, OSError) as error:
                engine.missing[kind] = " ".join(str(error).split())
                found[kind].pop(engine.name, None)


def measure(every: list[engines.Engine], options: argparse.Namespace) -> tuple[figures.Found, int]:
    """What is measured once, then rounds until the time is up; and how many there were."""
    start = time.monotonic()
    found: figures.Found = {kind: {} for kind in [*ONCE, *IN_ROUNDS]}
    measure_each(ONCE, every, options.folder, 0, found)
    number = 0
    longest = 0.0
    while number < options.rounds and time.monotonic() + longest < start + 60 * options.minutes:
        begin = time.monotonic()
        number += 1
        measure_each(IN_ROUNDS, every, options.folder, number, found)
        longest = max(longest, time.monotonic() - begin)
    return found, number


def measure_scaling(options: argparse.Namespace) -> list[dict]:
    """Quern on 1, 2, 4, ... threads, as far as there are so many, and on all."""
    counts = [1 << i for i in range(options.threads.bit_length()) if 1 << i < options.threads] + [options.threads]
    found = []
    for count in counts:
        print(f"scaling: {count} threads", file=sys.stderr)
        quern = engines.quern(argparse.Namespace(**{**vars(options), "threads": count}))
        found.append(figures.scaling(count, quern.run(SCALING)))
    return found


def measure_kernels(options: argparse.Namespace) -> list[str]:
    """What quern-bench-kernels prints, if it lies beside quern."""
    program = os.path.join(os.path.dirname(options.quern), "quern-bench-kernels")
    if not os.path.exists(program):
        return []
    print("kernels", file=sys.stderr)
    run = subprocess.run([program, str(options.threads)], capture_output=True, text=True, check=True)
    return run.stdout.splitlines()


def processor() -> tuple[str, str]:
    """The name, and a short mark for file names: virtual machines call all kinds of processors by one name."""
    fields = {}
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name", platform.machine())
    if "cpu family" not in fields or "model" not in fields:
        return name, ""
    return f"{name}, family {fields['cpu family']} model {fields['model']}", f"-{fields['cpu family']}-{fields['model']}"


def versions(llama: str) -> str:
    try:
        genai = metadata.version("onnxruntime-genai")
    except metadata.PackageNotFoundError:
        genai = "?"
    try:
        with open(os.path.join(llama, "llama_cpp", "__init__.py"), encoding="utf-8") as file:
            bindings = next(line.split('"')[1] for line in file if line.startswith("__version__"))
    except (OSError, StopIteration, IndexError):
        bindings = "?"
    return f"onnxruntime-genai {genai}; llama.cpp as llama-cpp-python {bindings} ships its source."


def left_out(every: list[engines.Engine]) -> list[str]:
    kinds: dict[tuple[str, str], list[str]] = {}
    for engine in every:
        for kind, reason in engine.missing.items():
            kinds.setdefault((engine.name, reason.rstrip(".")), []).append(f"`{kind}`")
    return [f"{name} is left out of {', '.join(some)}: {reason}." for (name, reason), some in kinds.items()]


def result(options: argparse.Namespace) -> dict:
    kernel_lines = measure_kernels(options)  # the quickest first: what fails should fail early
    every = [make(options) for make in (engines.quern, engines.genai, engines.llama)]
    found, rounds = measure(every, options)
    if not found["alone"].get("Quern"):
        sys.exit(f"Quern itself was not measured: {every[0].missing.get('alone', 'no round began in time')}")
    quern = found["alone"]["Quern"]
    return {
        "machine": processor()[0],
        "kernels": quern[0]["kernels"],
        "threads": options.threads,
        "rounds": rounds,
        "model": os.path.basename(os.path.abspath(options.folder)),
        "versions": versions(options.llama),
        "tables": figures.tables(found),
        "remarks": figures.remarks(found) + left_out(every),
        "stages": figures.decoding(quern[0], 1, 512)["stages"],
        "step_bytes": figures.decoding(quern[0], 1, 512)["bytes_per_token"],
        "barrier_seconds": min(one["barrier_seconds"] for one in quern),
        "scaling": measure_scaling(options),
        "kernel_lines": kernel_lines,
        "plots": figures.plots(found),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("quern")
    parser.add_argument("folder")
    parser.add_argument("--out", help="folder for the result's file; without it, tables on standard output")
    parser.add_argument("--llama", default="", help="folder with llama.cpp's bindings and build/bin")
    parser.add_argument("--gguf", default="", help="the model for llama.cpp")
    parser.add_argument("--cache-dir", default="build/bench/cache", help="for Quern's pack file")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=18, help="no round begins that would probably end later")
    options = parser.parse_args()
    measured = result(options)
    if options.out:
        os.makedirs(options.out, exist_ok=True)
        with open(os.path.join(options.out, f"{measured['kernels']}{processor()[1]}.json"), "w", encoding="utf-8") as file:
            json.dump(measured, file, indent=1, ensure_ascii=False)
            file.write("\n")
    else:
        print("\n".join(report.section(measured)))


if __name__ == "__main__":
    main()
