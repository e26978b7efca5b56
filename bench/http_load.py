"""A server under load: clients that each send one streaming completion after another, and what they saw.

A server speaks OpenAI's POST /v1/completions with prompts of token ids. No two prompts share more than the token that
begins a text, so that no server gains from having seen one before."""
import http.client
import json
import os
import random
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

PROMPT_TOKENS = 128
NEW_TOKENS = 64
CLIENTS = 8
REQUESTS_EACH = 2
ALONE_REQUESTS = 2  # of one client while nobody else asks
READY_SECONDS = 120  # after which a server that does not answer is given up
REPLY_SECONDS = 120
BEGIN_OF_TEXT = 2


@dataclass
class Server:
    command: list[str]  # to which the port is added
    port_option: str  # with "{}" for the number
    ready: str  # the path that answers 200 once the model is loaded
    request: dict = field(default_factory=dict)  # parameters that only this server knows
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class Reply:
    sent: float
    arrivals: list[float]  # of events with text: a token each, but for those that end within a character


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_ready(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def running(server: Server) -> Iterator[tuple[int, int, float]]:
    """Yields the server's port, its process id, and the seconds until it answered that it is ready."""
    port = free_port()
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = subprocess.Popen(server.command + server.port_option.format(port).split(), stdout=log, stderr=log,
                                   env={**os.environ, **server.environment})
        try:
            while not is_ready(port, server.ready):
                if process.poll() is not None or time.perf_counter() - start > READY_SECONDS:
                    log.seek(0)
                    said = log.read().decode(errors="replace").split("\n")
                    raise RuntimeError(f"{os.path.basename(server.command[0])} does not serve: {' '.join(said[-3:])}")
                time.sleep(0.005)
            yield port, process.pid, time.perf_counter() - start
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def ask(port: int, prompt: list[int], parameters: dict) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REPLY_SECONDS)
    body = json.dumps({"prompt": prompt, "max_tokens": NEW_TOKENS, "temperature": 0, "ignore_eos": True,
                       "stream": True, "stream_options": {"include_usage": True}, **parameters})
    reply = Reply(time.perf_counter(), [])
    connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        raise RuntimeError(f"status {response.status}: {response.read()[:300].decode(errors='replace')}")
    events = []
    for line in response:
        if line.startswith(b"data: {"):
            reply.arrivals.append(time.perf_counter())
            events.append(line)
    connection.close()
    chunks = [json.loads(event[len(b"data: "):]) for event in events]  # parsed afterwards, to disturb nobody
    has_text = [any(choice.get("text") for choice in chunk.get("choices", [])) for chunk in chunks]
    reply.arrivals = [at for at, text in zip(reply.arrivals, has_text) if text]
    usage = next((chunk["usage"] for chunk in reversed(chunks) if chunk.get("usage")), {})
    counts = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
    if counts != (PROMPT_TOKENS, NEW_TOKENS) or not reply.arrivals:
        raise RuntimeError(f"tokens of the prompt and the reply were {counts}, not {(PROMPT_TOKENS, NEW_TOKENS)}, with "
                           f"{len(reply.arrivals)} events that had text")
    return reply


def make_prompt(vocabulary: int, name: str) -> list[int]:
    """Of tokens beyond the first quarter, where special ones and bytes are."""
    choose = random.Random(name)
    return [BEGIN_OF_TEXT] + [choose.randrange(vocabulary // 4, vocabulary) for _ in range(PROMPT_TOKENS - 1)]


def run_clients(port: int, parameters: dict, prompts: list[list[list[int]]]) -> tuple[list[Reply], float]:
    """A client for each list of prompts. All replies, and the seconds from the first request to the last token."""
    replies: list[Reply] = []
    failures: list[Exception] = []

    def work(own: list[list[int]]) -> None:
        try:
            for prompt in own:
                replies.append(ask(port, prompt, parameters))
        except (OSError, RuntimeError, ValueError, http.client.HTTPException) as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(own,)) for own in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(f"a client failed: {failures[0]}")
    return replies, max(r.arrivals[-1] for r in replies) - min(r.sent for r in replies)


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def summary(replies: list[Reply], seconds: float) -> dict:
    first = [reply.arrivals[0] - reply.sent for reply in replies]
    gaps = [b - a for reply in replies for a, b in zip(reply.arrivals, reply.arrivals[1:])]
    return {
        "tokens_per_second": NEW_TOKENS * len(replies) / seconds,
        "first_token_seconds": {"p50": percentile(first, 50), "p99": percentile(first, 99)},
        "between_tokens_seconds": {"p50": percentile(gaps, 50), "p99": percentile(gaps, 99)},
        "decode_tokens_per_second": len(gaps) / sum(gaps),  # of one client, its first token aside
    }


def resident_peak(process: int) -> int:
    with open(f"/proc/{process}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def measure(server: Server, vocabulary: int, name: str) -> dict:
    """One start of the server: one client alone, then all clients. `name` varies the prompts from run to run."""
    def prompts(clients: int, requests: int) -> list[list[list[int]]]:
        return [[make_prompt(vocabulary, f"{name} {clients} {client} {number}") for number in range(requests)]
                for client in range(clients)]

    with running(server) as (port, process, ready_seconds):
        run_clients(port, server.request, [[make_prompt(vocabulary, f"{name} warm-up")]])
        alone = summary(*run_clients(port, server.request, prompts(1, ALONE_REQUESTS)))
        all_prompts = prompts(CLIENTS, REQUESTS_EACH)
        cpu = time.process_time()
        replies, seconds = run_clients(port, server.request, all_prompts)
        cpu = time.process_time() - cpu
        return {
            "ready_seconds": ready_seconds,
            "alone": alone,
            "together": summary(replies, seconds),
            "clients_processor_share": cpu / seconds,  # of one core, which the server does not have
            "resident_bytes_peak": resident_peak(process),
        }
