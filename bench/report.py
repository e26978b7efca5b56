#!/usr/bin/env python3
"""Writes docs/performance.md and its plots from what compare.py measured on every machine, bench/results/*.json, and
from bench/notes.md, which says what the numbers mean.

Usage: report.py      (in any folder)"""
import json
import os
import textwrap
from glob import glob

import scaling
from svg_plot import line_plot

HERE = os.path.dirname(os.path.abspath(__file__))
DOCS = os.path.join(os.path.dirname(HERE), "docs")
PLOTS = "performance"  # folder within docs/
COLUMNS = 120

HEAD = """# Performance

Written by `./run bench`, which measures the engines in turns on one machine, the same model, threads and tokens:
medians of the rounds. A ratio is Quern's figure over the peer's, the median of each round's ratio; of times and memory
less is better. There is a section for each kind of machine on which it was run."""

STAGES_HEAD = """Where a decode step of one sequence goes (`quern bench --stages`). All threads pass the stages together; in
those that work row by row, one row keeps one thread at work.

| | stages | µs of a step | share | threads at work |
|---|---:|---:|---:|---:|"""

SCALING_HEAD = """Quern on so many threads:

| threads | reading, GB/s | prompt of 512, tokens/s | one sequence, tokens/s | 8 together, tokens/s |
|---:|---:|---:|---:|---:|"""

PAPER_HEAD = ("On paper, one sequence on more threads, if each of them multiplies as fast as here and the memory gives what "
              "they read; see below:")


def table(rows: list[dict], peers: list[str]) -> list[str]:
    """Each row has the values of the engines that did this measurement."""
    lines = ["| | Quern | " + " | ".join(f"{peer} | ratio" for peer in peers) + " |",
             "|---|---:|" + "---:|---:|" * len(peers)]
    for row in rows:
        cells = [f"{row['values']['Quern']:.{row['digits']}f}"]
        for peer in peers:
            present = peer in row["values"]
            cells += [f"{row['values'][peer]:.{row['digits']}f}", f"{row['ratios'][peer]:.2f}"] if present else ["–", "–"]
        lines.append(f"| {row['name']} | " + " | ".join(cells) + " |")
    return lines


def peers_of(rows: list[dict]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row["values"] if name != "Quern"))


def tables(result: dict) -> list[str]:
    lines = []
    for part in result["tables"]:
        lines += ["", textwrap.fill(part["title"], COLUMNS), ""] if part["title"] else [""]
        lines += table(part["rows"], peers_of(part["rows"]))
    return lines


def stages(result: dict) -> list[str]:
    found = result.get("stages")
    if not found:
        return []
    whole = sum(stage["seconds"] for stage in found)
    lines = ["", STAGES_HEAD]
    for stage in found:
        lines.append(f"| {stage['name']} | {stage['stages']} | {1e6 * stage['seconds']:.0f} | "
                     f"{100 * stage['seconds'] / whole:.1f} % | {100 * stage['working_share']:.0f} % |")
    barriers = sum(stage["stages"] for stage in found)
    cost = result["barrier_seconds"]
    text = (f"Each of the {barriers} stages ends with a barrier. Where all threads arrive together it takes "
            f"{1e6 * cost:.2f} µs, {1e6 * cost * barriers:.0f} µs of a step: {100 * cost * barriers / whole:.1f} %.")
    return lines + ["", textwrap.fill(text, COLUMNS)]


def threads(result: dict) -> list[str]:
    found = result.get("scaling")
    if not found:
        return []
    lines = ["", SCALING_HEAD]
    for one in found:
        lines.append(f"| {one['threads']} | {one['read_bytes_per_second'] / 1e9:.1f} | {one['prefill_tokens_per_second']:.0f} | "
                     f"{one['one_tokens_per_second']:.1f} | {one['eight_tokens_per_second']:.0f} |")
    paper = scaling.table(result)
    return lines + (["", textwrap.fill(PAPER_HEAD, COLUMNS), "", *paper] if paper else [])


def kernels(result: dict) -> list[str]:
    found = result.get("kernel_lines")
    return ["", "`quern-bench-kernels`:", "", *("    " + line for line in found)] if found else []


def plots(result: dict) -> list[str]:
    lines = []
    for plot in result.get("plots", []):
        os.makedirs(os.path.join(DOCS, PLOTS), exist_ok=True)
        file = f"{PLOTS}/{result['mark']}-{plot['name']}.svg"
        curves = {name: [tuple(point) for point in points] for name, points in plot["curves"].items()}
        with open(os.path.join(DOCS, file), "w", encoding="utf-8") as out:
            out.write(line_plot(plot["title"], plot["x"], plot["y"], curves, plot["x_ticks"], plot["doubling"]))
        lines += ["", f"{plot['title']}:", "", f"![{plot['title']}]({file})"]
    return lines


def section(result: dict) -> list[str]:
    lines = ["", f"## {result['machine']}, {result['kernels']} kernels", "",
             f"Threads: {result['threads']}. Rounds: {result['rounds']}. Model: `{result['model']}`. {result['versions']}"]
    lines += tables(result)
    for remark in result["remarks"]:
        lines += ["", textwrap.fill(remark, COLUMNS)]
    return lines + stages(result) + threads(result) + kernels(result)


def report(results: list[dict]) -> str:
    lines = [HEAD]
    for result in results:
        lines += section(result) + plots(result)
    with open(os.path.join(HERE, "notes.md"), encoding="utf-8") as notes:
        lines += ["", notes.read().rstrip()]
    return "\n".join(lines) + "\n"


def main() -> None:
    results = []
    for path in sorted(glob(os.path.join(HERE, "results", "*.json"))):
        with open(path, encoding="utf-8") as file:
            results.append({**json.load(file), "mark": os.path.splitext(os.path.basename(path))[0]})
    with open(os.path.join(DOCS, "performance.md"), "w", encoding="utf-8") as out:
        out.write(report(results))


if __name__ == "__main__":
    main()
