"""How a peer is measured: as `quern bench` measures itself, with the same options, tokens and JSON.

A peer is a class with the methods of Peer below; its module calls main(). So each measurement is a process of its own,
and its memory is counted apart."""
import argparse
import json
import time
from collections.abc import Callable, Sequence
from typing import Protocol

WARMUP_STEPS = 2
PROMPT_REPEATS = 5
PROMPT_CHUNK = 512  # tokens of one append, as in quern bench


class Peer(Protocol):
    """`sequences` independent sequences, which start empty and have room for `positions` tokens each."""

    vocabulary: int

    def rewind(self, sequences: int, positions: int) -> None:
        """Forgets everything; from now on there are so many sequences."""

    def append(self, tokens: Sequence[int]) -> None:
        """Runs these tokens of a prompt, the same for each sequence."""

    def step(self, tokens: Sequence[int]) -> None:
        """Decodes one token for each sequence: the given one, or the most likely one where the peer insists."""


def status_bytes(name: str) -> int:
    """A line of /proc/self/status: "VmRSS" is resident now, "VmHWM" at most so far."""
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    return 0


def parse_options() -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return [int(item) for item in text.split(",")]

    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--prompt", type=int, required=True)
    parser.add_argument("--generate", type=int, required=True)
    parser.add_argument("--depth", type=numbers, required=True)
    parser.add_argument("--batch", type=numbers, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="of each measurement, after which it is cut short")
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds after which no further depth is run up to")
    return parser.parse_args()


def tokens_from(start: int, count: int, vocabulary: int) -> list[int]:
    """The tokens of `quern bench`: any do; a different one each time, as text has."""
    return [(i * 7919 + 2) % vocabulary for i in range(start, start + count)]


def measure_prefill(peer: Peer, options: argparse.Namespace) -> float:
    """Whole prompts: one to warm up, then 1 to 5, as the time allows, of which the fastest counts."""
    begin = time.perf_counter()
    best = float("inf")
    for i in range(PROMPT_REPEATS + 1):
        if i >= 2 and time.perf_counter() - begin > options.seconds:
            break
        peer.rewind(1, options.prompt + 1)
        start = time.perf_counter()
        peer.append(tokens_from(0, options.prompt, peer.vocabulary))
        if i > 0:
            best = min(best, time.perf_counter() - start)
    return options.prompt / best


def append_in_time(peer: Peer, position: int, end: int, deadline: float) -> bool:
    """Runs the tokens of positions up to `end`; false if the deadline came before."""
    for at in range(position, end, PROMPT_CHUNK):
        if time.perf_counter() > deadline:
            return False
        peer.append(tokens_from(at, min(PROMPT_CHUNK, end - at), peer.vocabulary))
    return True


def measure_decode(peer: Peer, batch: int, options: argparse.Namespace) -> list[dict]:
    deadline = time.perf_counter() + options.limit
    longest = max(options.depth) + WARMUP_STEPS + options.generate
    found = []
    position = longest + 1
    for depth in options.depth:
        if position > depth:
            peer.rewind(batch, longest)
            position = 0
        if not append_in_time(peer, position, depth, deadline):
            break
        position = depth
        steps = 0
        start = time.perf_counter()
        for i in range(WARMUP_STEPS + options.generate):
            if i == WARMUP_STEPS:
                start = time.perf_counter()
            peer.step(tokens_from(i, batch, peer.vocabulary))
            position += 1
            if i >= WARMUP_STEPS:
                steps += 1
                if time.perf_counter() - start > options.seconds:
                    break
        seconds = time.perf_counter() - start
        found.append({
            "batch": batch,
            "depth": depth,
            "tokens": steps * batch,
            "tokens_per_second": steps * batch / seconds,
            "resident_bytes": status_bytes("VmRSS"),
        })
    return found


def main(open_peer: Callable[[argparse.Namespace], Peer]) -> None:
    """open_peer imports nothing slow before it is called: loading is measured without the interpreter's own time."""
    options = parse_options()
    start = time.perf_counter()
    peer = open_peer(options)
    load_seconds = time.perf_counter() - start
    prefill = measure_prefill(peer, options)
    decode = [found for batch in options.batch for found in measure_decode(peer, batch, options)]
    print(json.dumps({
        "load_seconds": load_seconds,
        "prefill_tokens_per_second": prefill,
        "decode": decode,
        "resident_bytes_peak": status_bytes("VmHWM"),
    }))
