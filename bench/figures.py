"""From measurements to the figures that are kept: rows of tables, points of plots, sentences."""
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import http_load

BATCHES = [1, 2, 4, 8, 16]
DEPTHS = [16, 1024, 2048, 4096, 8192, 16384, 32000]
DEPTH_TICKS = [0, 8000, 16000, 24000, 32000]

# By kind of measurement and engine: one entry a round. An engine that failed has none.
Found = dict[str, dict[str, list[dict]]]


def decoding(found: dict, batch: int, depth: int) -> dict:
    return next(d for d in found["decode"] if (d["batch"], d["depth"]) == (batch, depth))


def decode_speed(found: dict, batch: int, depth: int) -> float:
    return decoding(found, batch, depth)["tokens_per_second"]


@dataclass
class Row:
    name: str
    kind: str
    read: Callable[[dict], float]
    digits: int = 1


ROWS = [
    Row("prompt of 512, tokens/s", "alone", lambda found: found["prefill_tokens_per_second"], 0),
    Row("decode behind 512, tokens/s", "alone", lambda found: decode_speed(found, 1, 512)),
    Row("decode behind 2048, tokens/s", "alone", lambda found: decode_speed(found, 1, 2048)),
    Row("8 sequences together, tokens/s", "together", lambda found: decode_speed(found, 8, 64), 0),
    Row("16 sequences together, tokens/s", "together", lambda found: decode_speed(found, 16, 64), 0),
    Row("resident at most, MB", "alone", lambda found: found["resident_bytes_peak"] / 1e6, 0),
    Row("loading, s", "alone", lambda found: found["load_seconds"], 2),
]
HTTP_ROWS = [
    Row("all clients, tokens/s", "http", lambda found: found["together"]["tokens_per_second"]),
    Row("first token, median, ms", "http", lambda found: 1e3 * found["together"]["first_token_seconds"]["p50"], 0),
    Row("first token, 99 of 100, ms", "http", lambda found: 1e3 * found["together"]["first_token_seconds"]["p99"], 0),
    Row("between tokens, median, ms", "http", lambda found: 1e3 * found["together"]["between_tokens_seconds"]["p50"]),
    Row("between tokens, 99 of 100, ms", "http",
        lambda found: 1e3 * found["together"]["between_tokens_seconds"]["p99"]),
    Row("one client alone, tokens/s", "http", lambda found: found["alone"]["decode_tokens_per_second"]),
    Row("resident at most, MB", "http", lambda found: found["resident_bytes_peak"] / 1e6, 0),
    Row("ready after the start, s", "http", lambda found: found["ready_seconds"], 2),
]
HTTP_TITLE = (f"Over HTTP, {http_load.CLIENTS} streaming clients: each sends {http_load.REQUESTS_EACH} requests one after "
              f"another, of {http_load.PROMPT_TOKENS} tokens that no other request has, and gets the {http_load.NEW_TOKENS} "
              "tokens that are most likely:")


def table(rows: list[Row], found: Found) -> list[dict]:
    """A row has the engines that did its measurement, and is left out where Quern did not."""
    out = []
    for row in rows:
        read = {name: [row.read(one) for one in rounds] for name, rounds in found[row.kind].items()}
        if "Quern" not in read:
            continue
        ratios = {name: statistics.median(a / b for a, b in zip(read["Quern"], values))
                  for name, values in read.items() if name != "Quern"}
        out.append({"name": row.name, "digits": row.digits,
                    "values": {name: round(statistics.median(values), row.digits) for name, values in read.items()},
                    "ratios": {name: round(ratio, 2) for name, ratio in ratios.items()}})
    return out


def tables(found: Found) -> list[dict]:
    both = [{"title": "", "rows": table(ROWS, found)}, {"title": HTTP_TITLE, "rows": table(HTTP_ROWS, found)}]
    return [one for one in both if one["rows"]]


def curves(found: Found, kind: str, x: str, y: str, unit: float) -> dict[str, list]:
    """Points (x, median of y) of each engine, from the fields of its decodings."""
    out = {}
    for name, rounds in found[kind].items():
        points: dict[float, list[float]] = {}
        for one in rounds:
            for decoded in one["decode"]:
                points.setdefault(decoded[x], []).append(decoded[y] / unit)
        out[name] = [[place, round(statistics.median(values), 2)] for place, values in points.items()]
    return out


def plots(found: Found) -> list[dict]:
    every = [
        {"name": "depth", "title": "Decoding one sequence at a depth", "x": "positions before the token",
         "y": "tokens/s", "x_ticks": DEPTH_TICKS, "doubling": False,
         "curves": curves(found, "deep", "depth", "tokens_per_second", 1)},
        {"name": "concurrency", "title": "Decoding several sequences together", "x": "sequences", "y": "tokens/s",
         "x_ticks": BATCHES, "doubling": True,
         "curves": curves(found, "together", "batch", "tokens_per_second", 1)},
        {"name": "resident", "title": "Resident memory with one sequence of a depth", "x": "positions", "y": "MB",
         "x_ticks": DEPTH_TICKS, "doubling": False, "curves": curves(found, "deep", "depth", "resident_bytes", 1e6)},
    ]
    return [plot for plot in every if plot["curves"]]


def scaling(threads: int, found: dict) -> dict:
    return {"threads": threads,
            "read_bytes_per_second": found["read_bytes_per_second"],
            "prefill_tokens_per_second": found["prefill_tokens_per_second"],
            "one_tokens_per_second": decode_speed(found, 1, 64),
            "eight_tokens_per_second": decode_speed(found, 8, 64)}


def middle(rounds: list[dict], read: Callable[[dict], float]) -> float:
    return statistics.median(read(one) for one in rounds)


def remarks(found: Found) -> list[str]:
    """Sentences below the tables, each a paragraph."""
    alone = found["alone"]["Quern"]
    share = middle(alone, lambda one: decoding(one, 1, 512)["share_of_read_bandwidth"])
    memory = middle(alone, lambda one: one["read_bytes_per_second"]) / 1e9
    out = [f"Reading the packed weights and doing nothing with them reached {memory:.1f} GB/s on the same threads; "
           f"decoding behind 512 tokens read at {100 * share:.0f} % of that."]
    if "Quern" in found["http"]:
        bare = middle(alone, lambda one: decode_speed(one, 1, http_load.PROMPT_TOKENS))
        served = middle(found["http"]["Quern"], lambda one: one["alone"]["decode_tokens_per_second"])
        clients = middle(found["http"]["Quern"], lambda one: one["clients_processor_share"])
        lost = 100 * (1 - served / bare)
        went = f"{lost:.1f} % went" if lost > 0 else "no more than differs from run to run went"
        out.append(
            f"A client alone got {served:.1f} tokens/s from the server while it decoded, `quern bench` behind as many "
            f"tokens {bare:.1f}: {went} to sampling, the loop thread and the client. The "
            f"{http_load.CLIENTS} clients together took {100 * clients:.0f} % of one core.")
    return out
