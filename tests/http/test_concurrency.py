"""Many requests at once: nobody's text depends on who else is there, and nobody waits for a client that is gone."""
import json
import os
import socket
from concurrent.futures import ThreadPoolExecutor

from conftest import MODELS, PATIENCE, wait_until

TINY = os.path.join(MODELS, "gemma3-int4")


def asks(count):
    """Requests of different lengths, half of them greedy."""
    return [{"prompt": [2, *(5 + (31 * i + 7 * p * p) % 500 for p in range(3 + 5 * (i % 8)))], "max_tokens": 40,
             "temperature": 0 if i % 2 == 0 else 0.9, "seed": i, "ignore_eos": True} for i in range(count)]


def say(server, ask):
    return server.complete(**ask)["choices"][0]["text"]


def together(server, requests):
    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(lambda ask: say(server, ask), requests))


def test_sixteen_streams_at_once(demo):
    with ThreadPoolExecutor(16) as pool:
        ask = {"prompt": "Once upon a time", "max_tokens": 50, "temperature": 0}
        streams = list(pool.map(lambda _: demo.stream(**ask), range(16)))
    texts = {"".join(event["choices"][0]["text"] for event in stream) for stream in streams}
    assert len(texts) == 1


def test_a_request_says_alone_what_it_says_among_eight(tiny):
    requests = asks(8)
    alone = [say(tiny, ask) for ask in requests]
    assert together(tiny, requests) == alone


def test_a_pool_too_small_for_all_changes_nothing(tiny, start_server):
    requests = asks(8)
    alone = [say(tiny, ask) for ask in requests]
    small = start_server("--kv-positions", 128, model=TINY)
    assert together(small, requests) == alone


def open_request(server, **parameters):
    """Sends a request and leaves the answer unread."""
    body = json.dumps({"prompt": [2, 3, 4], "ignore_eos": True, **parameters})
    connection = socket.create_connection((server.host, server.port), timeout=PATIENCE)
    connection.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    return connection


def test_clients_that_go_away_free_their_pages(start_server):
    server = start_server("--max-sessions", 1)
    clients = [open_request(server, max_tokens=1000, stream=i % 2 == 0) for i in range(6)]
    wait_until(lambda: server.health()["running"] == 1 and server.health()["waiting"] > 0, "one to run and others to wait")
    for client in reversed(clients):  # those that wait in the queue first
        client.close()
    server.wait_idle()
    assert server.complete(prompt="A bear", max_tokens=4)["usage"]["completion_tokens"] > 0


def test_a_slow_reader_does_not_delay_others(start_server):
    server = start_server()
    slow = [open_request(server, max_tokens=300, n=4, stream=True) for _ in range(2)]
    for _ in range(3):
        assert server.complete(prompt="Once upon a time", max_tokens=20)["usage"]["completion_tokens"] > 0
    for client in slow:
        client.close()
    server.wait_idle()


def test_a_full_queue_says_so(start_server):
    server = start_server("--max-sessions", 1, "--max-queue", 1)
    clients = [open_request(server, max_tokens=1000) for _ in range(2)]
    wait_until(lambda: server.health()["running"] + server.health()["waiting"] == 2, "both places to be taken")
    status, headers, answer = server.request("POST", "/v1/completions", {"prompt": "A bear", "max_tokens": 4})
    assert status == 429 and int(headers["Retry-After"]) > 0 and answer["error"]["code"] == "queue_full", answer
    for client in clients:
        client.close()
    server.wait_idle()


LONG = {"user": "x" * 100_000}  # encoded beside the loop


def test_a_long_request_answers_like_a_short_one(demo):
    ask = {"prompt": "Once upon a time", "max_tokens": 20, "temperature": 0}
    chat = {"messages": [{"role": "user", "content": "Hi"}], "temperature": 0}
    assert say(demo, {**ask, **LONG}) == say(demo, ask)
    assert "".join(event["choices"][0]["text"] for event in demo.stream(**ask, **LONG)) == say(demo, ask)
    for path in ("/v1/chat/completions", "/apply-template"):
        short, long = (demo.request("POST", path, body)[2] for body in (chat, {**chat, **LONG}))
        assert short.get("prompt") == long.get("prompt") and short.get("choices") == long.get("choices")
    for path, body in (("/v1/completions", {"prompt": "fox " * 50_000}),
                       ("/v1/chat/completions", {"messages": [{"role": "user", "content": "fox " * 50_000}]}),
                       ("/v1/responses", {"input": "fox " * 50_000})):
        status, _, answer = demo.request("POST", path, body)
        assert status == 400 and answer["error"]["code"] == "context_length_exceeded"


def test_clients_may_go_while_their_prompts_are_encoded(demo):
    body = json.dumps({"prompt": "fox " * 300_000}).encode()
    for _ in range(8):
        with socket.create_connection((demo.host, demo.port)) as client:
            client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert say(demo, {"prompt": "Once", "max_tokens": 4})
    demo.wait_idle()
