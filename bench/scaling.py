"""How a decode step of one sequence would scale with threads, on paper, from what was measured on a few."""
import math

ITEM_OUTPUTS = 64  # of a matrix: what a thread takes at once (engine/executor_ops.c)
# Outputs, inputs, and how often: query, key and value; attention's output; gate and up; down; the head.
MATRICES = {"gemma3-1b-shape": [(1536, 1152, 26), (1152, 1024, 26), (6912, 2 * 1152, 26), (1152, 6912, 26),
                                (262144, 1152, 1)]}
THREADS = [2, 4, 8, 16, 32, 64]
MATRIX_STAGES = ("linear", "gated linear")


def split_efficiency(model: str, threads: int) -> float:
    """How much of the threads' time the matrices use, where the last items of a matrix leave some without one."""
    used = whole = 0.0
    for outputs, inputs, times in MATRICES[model]:
        items = math.ceil(outputs / ITEM_OUTPUTS)
        used += outputs * inputs * times
        whole += outputs * inputs * times * threads * math.ceil(items / threads) / items
    return used / whole


def step_seconds(result: dict, threads: int) -> float:
    """The matrices split over the threads; the rest as long as it was; barriers longer with each thread that arrives."""
    stages = result["stages"]
    matrices = sum(stage["seconds"] * stage["working_share"] * result["threads"] for stage in stages
                   if stage["name"] in MATRIX_STAGES)
    rest = sum(stage["seconds"] for stage in stages if stage["name"] not in MATRIX_STAGES)
    barriers = sum(stage["stages"] for stage in stages) * result["barrier_seconds"]
    return matrices / threads / split_efficiency(result["model"], threads) + rest + \
        barriers * (threads / result["threads"] - 1)


def table(result: dict) -> list[str]:
    if not result.get("stages") or result["model"] not in MATRICES:
        return []
    lines = ["| threads | matrices split to | a step, ms | tokens/s | reads, GB/s |", "|---:|---:|---:|---:|---:|"]
    for threads in THREADS:
        seconds = step_seconds(result, threads)
        lines.append(f"| {threads} | {100 * split_efficiency(result['model'], threads):.0f} % | {1e3 * seconds:.1f} | "
                     f"{1 / seconds:.0f} | {result['step_bytes'] / seconds / 1e9:.0f} |")
    return lines
