"""What is compared: how each engine is run, alone in a process and as a server."""
import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field

import http_load

PEERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers")
DEEP_SECONDS = 50  # after which a peer stops at the depth that it has reached
PROCESS_SECONDS = 400  # after which a measurement is given up
CLIENT_POSITIONS = 512  # room of each of the server's clients


@dataclass
class Engine:
    name: str
    command: list[str]  # takes the options of `quern bench`, and prints one JSON object
    environment: dict[str, str] = field(default_factory=dict)
    alone: list[str] = field(default_factory=list)  # further options, by measurement
    deep: list[str] = field(default_factory=list)
    server: http_load.Server | None = None
    missing: dict[str, str] = field(default_factory=dict)  # by measurement: why it is left out

    def run(self, options: list[str]) -> dict:
        environment = {**os.environ, **self.environment}
        try:
            run = subprocess.run(self.command + options, capture_output=True, text=True, env=environment, check=False,
                                 timeout=PROCESS_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"it took more than {PROCESS_SECONDS} s") from error
        if run.returncode != 0:
            raise RuntimeError(run.stderr.strip()[-300:] or f"it ended with status {run.returncode}")
        return json.loads(run.stdout.strip().splitlines()[-1])


def quern(options: argparse.Namespace) -> Engine:
    common = [options.folder, "--cache-dir", options.cache_dir, "--threads", str(options.threads)]
    # Guesses would gain from text that repeats itself, as that of random weights does.
    server = http_load.Server([options.quern, "serve", *common], "--listen 127.0.0.1:{}", "/ready",
                              {"draft_tokens": 0})
    return Engine("Quern", [options.quern, "bench", "--json", *common], alone=["--stages"], server=server)


def genai(options: argparse.Namespace) -> Engine:
    command = [sys.executable, os.path.join(PEERS, "genai.py"), options.folder, "--threads", str(options.threads)]
    return Engine("onnxruntime-genai", command, deep=["--limit", str(DEEP_SECONDS)],
                  missing={"http": "it has no server"})


def llama(options: argparse.Namespace) -> Engine:
    """llama-server with room for every client, continuous batching (its default), and without what costs time now to
    save some for a later request: no two requests here have anything in common."""
    libraries = os.path.join(options.llama, "build", "bin")
    threads = ["--threads", str(options.threads)]
    program = os.path.join(libraries, "llama-server")
    serve = [program, "--model", options.gguf, *threads, "--parallel", str(http_load.CLIENTS),
             "--ctx-size", str(http_load.CLIENTS * CLIENT_POSITIONS), "--no-cache-prompt", "--cache-ram", "0",
             "--ctx-checkpoints", "0", "--slot-prompt-similarity", "0"]
    # The cheapest way to the most likely token that it has.
    server = http_load.Server(serve, "--host 127.0.0.1 --port {}", "/health", {"samplers": ["top_k"], "top_k": 1},
                              {"LD_LIBRARY_PATH": os.path.abspath(libraries)})  # it only knows where it was built
    engine = Engine("llama.cpp", [sys.executable, os.path.join(PEERS, "llama.py"), options.gguf, *threads],
                    {"PYTHONPATH": options.llama, "LLAMA_CPP_LIB_PATH": libraries},
                    deep=["--limit", str(DEEP_SECONDS)], server=server)
    if not os.path.exists(program) or not os.path.exists(options.gguf):
        engine.missing = dict.fromkeys(["alone", "together", "http", "deep"],
                                       "it is not built, or there is no GGUF file of the model")
    return engine
