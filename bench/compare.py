#!/usr/bin/env python3
"""Quern and onnxruntime-genai on the same model folder, the same threads, in turns within one run.

Each measurement is a process of its own, so that memory is counted apart and nothing is warm from the other. The table
gives the median of the rounds, and of each round's ratio.

Usage: compare.py QUERN_BINARY MODEL_DIR [--threads N] [--prompt N] [--generate N] [--rounds N]"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time


def measure_quern(options):
    command = [options.quern, "bench", options.folder, "--json", "--threads", str(options.threads)]
    command += ["--prompt", str(options.prompt), "--depth", str(options.prompt), "--generate", str(options.generate)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {
        "load s": found["load_seconds"],
        "prefill tokens/s": found["prefill_tokens_per_second"],
        "decode tokens/s": found["decode"][0]["tokens_per_second"],
        "resident MB, peak": found["resident_bytes_peak"] / 1e6,
        "share of read bandwidth": found["decode"][0]["share_of_read_bandwidth"],
    }


def measure_genai(options):
    """In a process of its own: this script again, with --genai."""
    command = [sys.executable, os.path.abspath(__file__), options.quern, options.folder, "--genai"]
    for name in ("threads", "prompt", "generate"):
        command += [f"--{name}", str(getattr(options, name))]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(found.strip().splitlines()[-1])


def peak_resident_mb():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def genai_prompt(genai, model, options, tokens):
    """A generator that holds the prompt, and the seconds that took."""
    parameters = genai.GeneratorParams(model)
    length = options.prompt + options.generate + 2
    parameters.set_search_options(do_sample=False, max_length=length, min_length=length)
    generator = genai.Generator(model, parameters)
    start = time.perf_counter()
    generator.append_tokens(tokens)
    return generator, time.perf_counter() - start


def run_genai(options):
    import numpy
    import onnxruntime_genai as genai

    genai.disable_telemetry_events()
    start = time.perf_counter()
    config = genai.Config(options.folder)
    session = {"intra_op_num_threads": options.threads}
    config.overlay(json.dumps({"model": {"decoder": {"session_options": session}}}))
    model = genai.Model(config)
    load = time.perf_counter() - start
    with open(os.path.join(options.folder, "genai_config.json")) as file:
        vocabulary = json.load(file)["model"]["vocab_size"]
    tokens = ((numpy.arange(options.prompt, dtype=numpy.int64) * 7919 + 2) % vocabulary).astype(numpy.int32)
    genai_prompt(genai, model, options, tokens)  # warms up
    prompts = []
    for _ in range(3):
        generator, seconds = genai_prompt(genai, model, options, tokens)
        prompts.append(seconds)
    generator.generate_next_token()  # samples from the prompt's logits; each later one computes
    start = time.perf_counter()
    for _ in range(options.generate):
        generator.generate_next_token()
    decode = time.perf_counter() - start
    print(json.dumps({
        "load s": load,
        "prefill tokens/s": options.prompt / min(prompts),
        "decode tokens/s": options.generate / decode,
        "resident MB, peak": peak_resident_mb(),
    }))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("quern")
    parser.add_argument("folder")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--genai", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.genai:
        return run_genai(options)
    ours, theirs = [], []
    for _ in range(options.rounds):
        ours.append(measure_quern(options))
        theirs.append(measure_genai(options))
    print(f"{options.folder}: {options.threads} threads, prompt {options.prompt}, {options.generate} tokens decoded, "
          f"median of {options.rounds} rounds\n")
    print(f"| {'':24} | {'quern':>10} | {'onnxruntime-genai':>17} | {'ratio':>6} |")
    print(f"|{'-' * 26}|{'-' * 11}:|{'-' * 18}:|{'-' * 7}:|")
    for name in ours[0]:
        our = statistics.median(round_[name] for round_ in ours)
        if name not in theirs[0]:
            print(f"| {name:24} | {our:10.2f} | {'':17} | {'':6} |")
            continue
        their = statistics.median(round_[name] for round_ in theirs)
        ratio = statistics.median(a[name] / b[name] for a, b in zip(ours, theirs))
        print(f"| {name:24} | {our:10.2f} | {their:17.2f} | {ratio:6.2f} |")
    return None


if __name__ == "__main__":
    main()
