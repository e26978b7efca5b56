"""Starting, failing to start, and ending."""
import concurrent.futures
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess

import pytest
from conftest import BINARY, MODELS, PATIENCE, Server, wait_until


def test_draining_lets_a_stream_finish(start_server):
    server = start_server("--drain-timeout", 3600)
    connection = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
    connection.request("POST", "/v1/completions", json.dumps(
        {"prompt": "Once", "max_tokens": 600, "stream": True, "ignore_eos": True}))
    answer = connection.getresponse()
    first = answer.readline()
    server.process.send_signal(signal.SIGTERM)
    text = (first + answer.read()).decode()
    assert text.rstrip().endswith("data: [DONE]")
    assert server.process.wait(timeout=PATIENCE) == 0
    with pytest.raises(OSError):
        socket.create_connection((server.host, server.port), timeout=PATIENCE)


def test_a_drain_that_takes_too_long_is_cut_short(start_server):
    server = start_server("--drain-timeout", 0, model=os.path.join(MODELS, "gemma3-int4"))
    connection = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
    connection.request("POST", "/v1/completions", json.dumps(
        {"prompt": [2], "max_tokens": 250, "n": 64, "stream": True, "ignore_eos": True}))
    answer = connection.getresponse()
    first = answer.readline()
    server.process.send_signal(signal.SIGTERM)
    text = (first + answer.read()).decode()
    assert "error" in text or text.rstrip().endswith("[DONE]")
    assert server.process.wait(timeout=PATIENCE) == 0


def test_a_stream_that_has_not_begun_is_refused_and_not_broken_off(start_server):
    """So that a proxy may take it elsewhere. A hundred replies come first, one at a time."""
    server = start_server("--max-sessions", 1, "--drain-timeout", 0)
    clients = []
    for choices, waiting in (100, 90), (20, 101):
        clients.append(http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE))
        clients[-1].request("POST", "/v1/chat/completions", json.dumps(
            {"messages": [{"role": "user", "content": "Once"}], "max_tokens": 900, "ignore_eos": True, "n": choices,
             "stream": True}))
        wait_until(lambda: server.health()["waiting"] >= waiting, f"{waiting} completions to wait")
    begun = clients[0].getresponse()
    assert begun.status == 200 and begun.readline().startswith(b"data: ")
    server.process.send_signal(signal.SIGTERM)
    refused = clients[1].getresponse()
    assert refused.status == 503 and refused.headers["Retry-After"]
    assert json.loads(refused.read())["error"]["code"] == "draining"
    assert b'"code":"draining"' in begun.read()
    assert server.process.wait(timeout=PATIENCE) == 0  # before a second signal ends it at once


def test_a_server_that_will_drain_says_so_and_still_serves():
    server = Server("--drain-delay", 3600)
    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: server.request("GET", "/ready")[0] == 503, "readiness to end")
    assert server.request("GET", "/ready")[2] == {"status": "draining"}
    status, headers, _ = server.request("POST", "/v1/completions", {"prompt": "Once", "max_tokens": 1})
    assert status == 200 and headers["Connection"] == "close"
    server.process.send_signal(signal.SIGTERM)  # a second one is not to be waited for
    assert server.process.wait(timeout=PATIENCE) == 128 + signal.SIGTERM


def test_a_server_ends_after_what_it_computes_for_clients_that_left(start_server):
    """Tokens of a long text are made beside the loop, from the model; start_server looks for what the sanitizers say."""
    server = start_server()
    body = json.dumps({"prompt": "Once upon a time. " * 60_000}).encode()
    with socket.create_connection((server.host, server.port), timeout=PATIENCE) as connection:
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    wait_until(lambda: "gone=yes" in server.stderr_text(), "the server to see that its client has left")
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=PATIENCE) == 0


def test_a_unix_socket_is_served_and_removed(tmp_path):
    path = tmp_path / "quern.sock"
    leftover = socket.socket(socket.AF_UNIX)
    leftover.bind(str(path))
    leftover.close()
    server = Server(listen=f"unix:{path}")
    command = ["curl", "-sS", "--unix-socket", str(path), "http://x/health"]
    assert json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["status"] == "ok"
    server.stop()
    assert not path.exists()


@pytest.mark.parametrize("address, said", [
    ("192.0.2.1:0", "Cannot listen on 192.0.2.1:0"),  # an address for documentation, of no machine
    ("unix:/nowhere/at/all", "Cannot listen on unix:/nowhere/at/all"),
])
def test_an_address_that_cannot_be_had_has_its_own_status(address, said):
    ended = subprocess.run([BINARY, "serve", "--listen", address], capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 5 and said in ended.stderr, ended


def test_a_port_in_use_is_not_taken_from_the_other(demo):
    address = f"127.0.0.1:{demo.port}"
    ended = subprocess.run([BINARY, "serve", "--listen", address], capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 5 and address in ended.stderr and "in use" in ended.stderr, ended
    assert demo.request("GET", "/health")[0] == 200


def copy_of_model(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(os.path.join(MODELS, "gemma3-int4"), folder)
    return folder


class UnixClient(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("quern", timeout=PATIENCE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(self.path))


def ask(path, method, target, body=None):
    """Status, headers and JSON of one answer at a Unix socket."""
    client = UnixClient(path)
    client.request(method, target, None if body is None else json.dumps(body))
    answer = client.getresponse()
    text = answer.read()
    client.close()
    return answer.status, answer.headers, json.loads(text)


def is_listening(path):
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


@contextlib.contextmanager
def loading(tmp_path):
    """A daemon whose model goes on being loaded until somebody reads its log: the model has no chat template, which is a
    line of the log, and the log is a pipe with no room for one."""
    folder = copy_of_model(tmp_path)
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        (folder / name).unlink(missing_ok=True)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 512)
    os.set_blocking(writer, True)
    path = tmp_path / "quern.sock"
    process = subprocess.Popen([BINARY, "serve", str(folder), "--listen", f"unix:{path}", "--log-level", "warning",
                                "--no-cache"], stderr=writer, stdin=subprocess.DEVNULL)
    os.close(writer)
    wait_until(lambda: is_listening(path), "the socket")
    with open(reader, "rb") as log:
        yield path, process, log
        process.kill()
        process.wait()


COMPLETION = {"prompt": [2], "max_tokens": 3, "ignore_eos": True}


def test_while_a_model_is_loaded_ready_says_so_and_requests_wait(tmp_path):
    with loading(tmp_path) as (path, process, log), concurrent.futures.ThreadPoolExecutor() as pool:
        status, headers, answer = ask(path, "GET", "/ready")
        assert (status, answer) == (503, {"status": "loading"}) and headers["Retry-After"]
        status, _, answer = ask(path, "GET", "/health")
        assert (status, answer["status"], list(answer["models"].values())) == (200, "ok", ["loading"])
        early = pool.submit(ask, path, "POST", "/v1/completions", COMPLETION)
        assert ask(path, "POST", "/v1/completions", {**COMPLETION, "model": "other"})[0] == 404
        assert ask(path, "GET", "/ready")[0] == 503 and not early.done()
        assert b"chat is not available" in log.readline()
        status, _, answer = early.result()
        assert status == 200 and answer["usage"]["completion_tokens"] == 3, answer
        assert ask(path, "GET", "/ready")[::2] == (200, {"status": "ready"})
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == 0


def test_an_end_does_not_wait_for_a_model_that_is_being_loaded(tmp_path):
    with loading(tmp_path) as (path, process, log), concurrent.futures.ThreadPoolExecutor() as pool:
        assert ask(path, "GET", "/ready")[0] == 503
        early = pool.submit(ask, path, "POST", "/v1/completions", COMPLETION)
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(OSError, http.client.HTTPException):  # The end may have come before the request.
            status, _, answer = early.result()
            assert status == 503 and "shutting down" in answer["error"]["message"]
        assert process.wait(timeout=PATIENCE) == 0 and not path.exists()


def remove(name):
    return lambda folder: os.remove(folder / name)


def truncate(name, size):
    return lambda folder: os.truncate(folder / name, size)


@pytest.mark.parametrize("damage, named", [
    (shutil.rmtree, "model"),
    (remove("model.onnx"), "model.onnx"),
    (remove("model.onnx.data"), "model.onnx.data"),
    (remove("tokenizer.json"), "tokenizer.json"),
    (truncate("model.onnx", 20000), "model.onnx"),
    (truncate("model.onnx.data", 1000), "model.onnx.data"),
    (truncate("tokenizer.json", 5000), "tokenizer.json"),
    (truncate("genai_config.json", 100), "genai_config.json"),
])
def test_a_damaged_model_is_refused_at_start_with_its_file(tmp_path, damage, named):
    folder = copy_of_model(tmp_path)
    damage(folder)
    ended = subprocess.run([BINARY, "serve", str(folder), "--listen", "127.0.0.1:0"], capture_output=True, text=True,
                           timeout=PATIENCE)
    assert ended.returncode == 4, ended.stderr
    assert named in ended.stderr and "Sanitizer" not in ended.stderr and "runtime error" not in ended.stderr
    assert len(ended.stderr.strip().splitlines()) <= 2, ended.stderr


def test_a_file_that_is_cut_while_it_is_served_is_named(tmp_path):
    folder = shutil.copytree(os.path.join(MODELS, "gemma3-int4-untied"), tmp_path / "model")  # its embedding stays there
    server = Server("--no-cache", model=folder)
    os.truncate(folder / "model.onnx.data", 0)
    with pytest.raises((OSError, http.client.HTTPException)):
        server.complete(prompt="Once", max_tokens=4)
    assert server.process.wait(timeout=PATIENCE) == 1
    assert f"{folder}/model.onnx.data became shorter" in server.stderr_text()
