#!/usr/bin/env python3
"""What guessing tokens ahead gives: the same requests with and without, in turns, on one server. Writes Markdown.

Usage: drafts.py QUERN_BINARY [MODEL_DIR]   (without a folder: the demo model)"""
import http.client
import json
import re
import statistics
import subprocess
import sys

STORY = ("Once upon a time there was a boy named Luca who lived near the meadow. Luca loved the red ball more than anything. "
         "One day the ball fell into the river. Luca asked the duck for help. The duck found the ball and brought it back. ")
PROMPTS = [
    ("a story told again", STORY * 2 + "Once upon a time"),
    ("a story told again with one word changed", STORY * 2 + "Once upon a time there was a girl named Ella"),
    ("a new story", "Once upon a time"),
    ("a question", "<start_of_turn>user\nWhat is 4 plus 7?<end_of_turn>\n<start_of_turn>model\n"),
]
ROUNDS = 7


def ask(port: int, prompt: str, temperature: float, drafts: int) -> dict:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request("POST", "/v1/completions", json.dumps(
        {"prompt": prompt, "max_tokens": 150, "temperature": temperature, "seed": 1, "ignore_eos": True, "draft_tokens": drafts}))
    return json.loads(connection.getresponse().read())


def steps_per_second(port: int, prompt: str, temperature: float, drafts: int) -> tuple[float, dict]:
    import time
    begin = time.perf_counter()
    answer = ask(port, prompt, temperature, drafts)
    return answer["usage"]["completion_tokens"] / (time.perf_counter() - begin), answer


def measure(port: int) -> None:
    print("| prompt | temperature | drafts right | of | tokens a step | speed against none |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, prompt in PROMPTS:
        for temperature in (0, 0.8):
            ratios = []
            for _ in range(ROUNDS):
                plain, answer = steps_per_second(port, prompt, temperature, 0)
                fast, drafted = steps_per_second(port, prompt, temperature, 5)
                assert answer["choices"] == drafted["choices"], "the reply must be the same"
                ratios.append(fast / plain)
            details = drafted["usage"]["completion_tokens_details"]
            right, wrong = details["accepted_prediction_tokens"], details["rejected_prediction_tokens"]
            tokens = drafted["usage"]["completion_tokens"]
            print(f"| {name} | {temperature} | {right} | {right + wrong} | {tokens / (tokens - right):.2f} | "
                  f"{statistics.median(ratios):.2f} |")


def main() -> None:
    command = [sys.argv[1], "serve", *sys.argv[2:], "--listen", "127.0.0.1:0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        line = next(line for line in server.stderr if re.search(r" on .*:\d+", line))
        measure(int(re.search(r"127\.0\.0\.1:(\d+)", line)[1]))
    finally:
        server.terminate()
        server.wait()


main()
