"""What each setting does, seen from outside. A setting that nobody tries here is a failure."""
import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import subprocess

import pytest

from conftest import BINARY, MODELS, PATIENCE, make_certificate, wait_until
from test_configuration import SETTINGS

GEMMA = os.path.join(MODELS, "gemma3-int4")
ASK = {"prompt": "Once there was a fox. " * 10, "max_tokens": 4, "ignore_eos": True}
LONG = {"prompt": [2], "max_tokens": 250, "n": 32, "logprobs": 20, "stream": True, "ignore_eos": True}
EFFECTS = {}


def effect(*names):
    def keep(check):
        EFFECTS.update(dict.fromkeys(names, check))
        return check

    return keep


@pytest.mark.parametrize("name", [setting.name for setting in SETTINGS])
def test_a_setting_has_its_effect(name, start_server, tmp_path):
    assert name in EFFECTS, f"no test sees what {name} does: it needs one here"
    EFFECTS[name](start_server, tmp_path)


def test_what_is_tried_is_a_setting():
    assert set(EFFECTS) == {setting.name for setting in SETTINGS}


def refused(*arguments):
    """Exit status and complaint of a daemon that does not start."""
    command = [BINARY, "serve", "--listen", "127.0.0.1:0", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    return ended.returncode, ended.stderr


def described(server):
    return server.request("GET", "/v1/models")[2]["data"][0]


def connect(server):
    return socket.create_connection((server.host, server.port), timeout=PATIENCE)


def ask_health(connection):
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: q\r\n\r\n")


@contextlib.contextmanager
def post(server, body):
    """A connection with a request for a completion."""
    client = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
    client.request("POST", "/v1/completions", json.dumps(body))
    yield client
    client.close()


@contextlib.contextmanager
def long_stream(server):
    """A stream of more than sockets hold, which nobody reads on: it is there until the end of this."""
    with post(server, LONG) as client:
        answer = client.getresponse()
        assert answer.status == 200 and answer.readline()
        yield


def threads_named(server, name):
    count = 0
    for thread in os.listdir(f"/proc/{server.process.pid}/task"):
        with open(f"/proc/{server.process.pid}/task/{thread}/comm") as file:
            count += file.read().strip() == name
    return count


def make_keys(tmp_path):
    made = subprocess.run([BINARY, "key", "me", tmp_path / "keys"], capture_output=True, text=True, check=True)
    return tmp_path / "keys", made.stdout.strip()


# ---- [server] ----


@effect("listen")
def _(start, tmp_path):
    assert start(listen=f"unix:{tmp_path}/quern.sock").url == f"unix:{tmp_path}/quern.sock"


@effect("socket-mode")
def _(start, tmp_path):
    start("--socket-mode=0604", listen=f"unix:{tmp_path}/quern.sock")
    assert (tmp_path / "quern.sock").stat().st_mode & 0o777 == 0o604


@effect("max-connections")
def _(start, tmp_path):
    server = start("--max-connections=1")
    with connect(server) as first, connect(server) as second:
        ask_health(first)
        first.recv(4096)
        ask_health(second)
        for _ in range(3):
            ask_health(first)
            first.recv(4096)
        second.setblocking(False)
        with pytest.raises(BlockingIOError):
            second.recv(4096)
        first.close()
        second.settimeout(PATIENCE)
        assert b" 200 " in second.recv(4096).splitlines()[0]


@effect("max-body")
def _(start, tmp_path):
    status, _, answer = start("--max-body=100").request("POST", "/v1/completions", "x" * 101)
    assert status == 413 and "the 100 bytes" in answer["error"]["message"]


@effect("idle-timeout")
def _(start, tmp_path):
    with connect(start("--idle-timeout=1")) as silent:
        assert silent.recv(4096) == b""


@effect("stream-ping")
def _(start, tmp_path):
    server = start("--stream-ping=1", "--max-sessions=1")
    many = {"prompt": "Once", "max_tokens": 900, "n": 100, "ignore_eos": True}
    with post(server, many), wait_until(lambda: server.health()["waiting"] > 90, "them to wait") and post(
            server, {**ASK, "stream": True}) as waiting:
        assert waiting.getresponse().readline() == b": ping\n"


@effect("drain-timeout")
def _(start, tmp_path):
    server = start("--drain-timeout=0", model=GEMMA)
    with long_stream(server):
        server.stop()
    assert "finishing what runs, for at most 0 s" in server.stderr_text()


@effect("drain-delay")
def _(start, tmp_path):
    server = start("--drain-delay=1", "--drain-timeout=5")
    server.stop()
    assert "finishing what runs, for at most 6 s" in server.stderr_text()


# ---- [model], [models] ----


@effect("model")
def _(start, tmp_path):
    assert described(start(f"--model={GEMMA}"))["id"] == "gemma3-int4"


@effect("model-id")
def _(start, tmp_path):
    assert described(start("--model-id=fox"))["id"] == "fox"


@effect("exact")
def _(start, tmp_path):
    settings = described(start("--exact"))["settings"]
    assert settings["exact"] and settings["kv_dtype"] == "f32"


@effect("adapters")
def _(start, tmp_path):
    folder = os.path.join(MODELS, "llama-lora-int4")
    server = start(f"--adapters=one={folder}/one.onnx_adapter", model=folder)
    ask = {"prompt": [2, 5, 9], "max_tokens": 4, "ignore_eos": True}
    assert server.complete(**ask, model="one")["model"] == "one"


@effect("kv-dtype")
def _(start, tmp_path):
    assert described(start("--kv-dtype=int8"))["settings"]["kv_dtype"] == "int8"


@effect("cache", "cache-dir")
def _(start, tmp_path):
    (tmp_path / "file").touch()
    unusable = f"--cache-dir={tmp_path}/file"
    status, said = refused(unusable)
    assert status == 6 and f"{tmp_path}/file" in said, said
    assert start(unusable, "--no-cache").request("GET", "/health")[0] == 200


@effect("memory")
def _(start, tmp_path):
    model = described(start("--memory=1", model=GEMMA))
    assert model["meta"]["size"] + model["settings"]["kv_bytes"] <= 1000000


@effect("idle-unload")
def _(start, tmp_path):
    server = start("--idle-unload=1")
    wait_until(lambda: described(server)["state"] == "unloaded", "the model to be unloaded")


# ---- [engine] ----


@effect("threads")
def _(start, tmp_path):
    assert threads_named(start("--threads=3"), "quern-compute") == 2  # besides the engine's


@effect("kernels")
def _(start, tmp_path):
    assert described(start("--kernels=scalar"))["settings"]["kernels"] == "scalar"


@effect("kv-positions")
def _(start, tmp_path):
    small, large = (described(start(f"--kv-positions={size}"))["settings"]["kv_bytes"] for size in (1024, 4096))
    assert large == 4 * small > 0


@effect("prefix-cache")
def _(start, tmp_path):
    for arguments, cached in ((["--no-prefix-cache"], False), ([], True)):
        server = start(*arguments)
        server.complete(**ASK)
        assert (server.complete(**ASK)["usage"]["prompt_tokens_details"]["cached_tokens"] > 0) == cached


@effect("draft-tokens")
def _(start, tmp_path):
    server = start("--draft-tokens=0")
    usage = server.complete(prompt="a fox, a fox, a fox, a fox,", max_tokens=60, temperature=0, ignore_eos=True)["usage"]
    details = usage["completion_tokens_details"]
    assert details["accepted_prediction_tokens"] == details["rejected_prediction_tokens"] == 0


@effect("max-sessions")
def _(start, tmp_path):
    server = start("--max-sessions=2")
    server.complete(**{**ASK, "max_tokens": 50}, n=8)
    steps = re.findall(r'quern_step_sessions_bucket\{model="demo",le="(?:1|2|\+Inf)"\} (\d+)', server.request("GET", "/metrics")[2])
    assert int(steps[0]) < int(steps[1]) == int(steps[2]), steps


@effect("max-queue")
def _(start, tmp_path):
    status, _, answer = start("--max-queue=1").request("POST", "/v1/completions", {**ASK, "n": 2})
    assert status == 400 and answer["error"]["param"] == "n", answer


# ---- [access] ----


@effect("api-keys")
def _(start, tmp_path):
    keys, key = make_keys(tmp_path)
    server = start(f"--api-keys={keys}")
    assert server.request("GET", "/v1/models")[0] == 401
    assert server.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})[0] == 200


@effect("allow-public")
def _(start, tmp_path):
    status, said = refused("--listen=0.0.0.0:0")
    assert status == 3 and "allow-public" in said
    start("--allow-public", listen="0.0.0.0:0")


@effect("open-metrics")
def _(start, tmp_path):
    keys, _ = make_keys(tmp_path)
    assert start(f"--api-keys={keys}").request("GET", "/metrics")[0] == 401
    assert start(f"--api-keys={keys}", "--open-metrics").request("GET", "/metrics")[0] == 200


@effect("client-requests")
def _(start, tmp_path):
    server = start("--client-requests=1", model=GEMMA)
    with long_stream(server):
        assert server.request("POST", "/v1/completions", ASK)[0] == 429


@effect("client-connections")
def _(start, tmp_path):
    server = start("--client-connections=1")
    with connect(server) as first, connect(server) as second:
        ask_health(first)
        assert first.recv(4096) and second.recv(4096) == b""


@effect("cors-origins")
def _(start, tmp_path):
    headers = start("--cors-origins=https://a.example").request("GET", "/v1/models", headers={"Origin": "https://a.example"})[1]
    assert headers["Access-Control-Allow-Origin"] == "https://a.example"


@effect("tls-certificate", "tls-key")
def _(start, tmp_path):
    certificate, key = make_certificate(tmp_path)
    server = start(f"--tls-certificate={certificate}", f"--tls-key={key}")
    shown = ssl.get_server_certificate(("127.0.0.1", int(server.url.rsplit(":", 1)[1])))
    assert ssl.PEM_cert_to_DER_cert(shown) == ssl.PEM_cert_to_DER_cert(certificate.read_text())


# ---- [log] ----


@effect("log-format")
def _(start, tmp_path):
    server = start("--log-format=json")
    assert json.loads(server.stderr_text().splitlines()[-1])["level"] == "notice"


@effect("log-level")
def _(start, tmp_path):
    server = start("--log-level=notice")
    server.request("GET", "/health")
    server.stop()
    assert "/health" not in server.stderr_text() and "serving" in server.stderr_text()
