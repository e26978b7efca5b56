"""API keys, addresses that others reach, pages of other origins, how much one client may ask for at once, and TLS."""
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess

import openai
import pytest

from conftest import BINARY, MODELS, PATIENCE, wait_until


def quern(*arguments, **options):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE, **options)


def make_key(path, name):
    made = quern("key", name, path)
    assert made.returncode == 0 and re.fullmatch(r"qk-[A-Za-z0-9_-]{43}\n", made.stdout), made
    return made.stdout.strip()


@pytest.fixture
def key_file(tmp_path):
    return tmp_path / "keys"


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


ASK = {"prompt": "Once", "max_tokens": 3, "ignore_eos": True}


def test_a_key_is_asked_for_and_named_in_the_log(start_server, key_file):
    keys = [make_key(key_file, name) for name in ("alice", "bob")]
    assert all(key not in key_file.read_text() for key in keys)
    server = start_server("--api-keys", key_file)
    for headers in (bearer(keys[0]), {"Authorization": f"bearer  {keys[0]}"}, {"X-Api-Key": keys[1]}):
        assert server.request("POST", "/v1/completions", ASK, headers)[0] == 200
        assert server.request("GET", "/v1/models", headers=headers)[0] == 200
    wait_until(lambda: "client=alice" in server.stderr_text() and "client=bob" in server.stderr_text(), "both names")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="qk-wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        client.models.list()
    assert [model.id for model in openai.OpenAI(base_url=f"{server.url}/v1", api_key=keys[1]).models.list()] == ["demo"]


@pytest.mark.parametrize("headers", [
    {}, bearer(""), bearer("qk-" + "A" * 43), bearer("x" * 5000), {"Authorization": "Basic YTpi"}, {"X-Api-Key": ""},
], ids=lambda headers: str(headers)[:40])
def test_without_a_key_nothing_is_answered_but_that_the_server_lives(start_server, key_file, headers):
    make_key(key_file, "alice")
    server = start_server("--api-keys", key_file)
    for method, path in (("POST", "/v1/completions"), ("GET", "/v1/models"), ("GET", "/metrics"), ("GET", "/nothing"),
                         ("DELETE", "/v1/completions"), ("POST", "/tokenize")):
        status, answered, answer = server.request(method, path, ASK if method == "POST" else None, headers)
        assert status == 401 and answered["WWW-Authenticate"] == "Bearer", (method, path, status)
        assert answer["error"]["code"] == "invalid_api_key" and answer["error"]["type"] == "invalid_request_error"
    assert server.request("GET", "/health", headers=headers)[2] == {"status": "ok"}


def test_a_body_without_a_key_is_not_kept(start_server, key_file):
    key = make_key(key_file, "alice")
    server = start_server("--api-keys", key_file)
    with socket.create_connection((server.host, server.port), timeout=PATIENCE) as client:
        client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: q\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 401")
    status, _, answer = server.request("POST", "/v1/completions", "x" * 3_000_000)
    assert status == 401, answer
    assert server.request("POST", "/v1/completions", ASK, bearer(key))[0] == 200


def test_keys_are_read_again_and_a_wrong_file_changes_nothing(start_server, key_file):
    alice = make_key(key_file, "alice")
    server = start_server("--api-keys", key_file)
    bob = make_key(key_file, "bob")
    assert server.request("GET", "/v1/models", headers=bearer(bob))[0] == 401

    def reload(said):
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: said in server.stderr_text(), said)

    reload("has been read again")
    assert server.request("GET", "/v1/models", headers=bearer(bob))[0] == 200
    key_file.write_text(f"alice {alice}\n")  # A key where its digest belongs must not get into the log.
    reload(f"the configuration stays as it was: {key_file}:1: expected NAME sha256:DIGEST")
    assert alice not in server.stderr_text()
    assert server.request("GET", "/v1/models", headers=bearer(alice))[0] == 200


@pytest.mark.parametrize("text, said", [
    ("", "has no API key"),
    ("# nobody\n", "has no API key"),
    ("alice\n", ":1: expected NAME sha256:DIGEST"),
    ("# me\n\nalice sha256:abc\n", ":3: expected NAME sha256:DIGEST"),
    ("a/b sha256:" + "0" * 64 + "\n", ":1: expected NAME sha256:DIGEST"),
    ("alice sha256:" + "0" * 64 + " more\n", ":1: expected NAME sha256:DIGEST"),
    ("alice " + "0" * 1000 + "\n", ":1: the line is too long"),
])
def test_a_key_file_with_a_mistake_is_refused(key_file, text, said):
    key_file.write_text(text)
    refused = quern("serve", "--listen", "127.0.0.1:0", "--api-keys", key_file)
    assert refused.returncode == 3 and said in refused.stderr, refused


def test_a_key_needs_a_sane_name_and_is_printed_with_its_line():
    assert quern("key", "a b").returncode == 2
    key, line = quern("key", "ci.runner-1").stdout.splitlines()
    digest = subprocess.run(["sha256sum"], input=key, capture_output=True, text=True).stdout.split()[0]
    assert line == f"ci.runner-1 sha256:{digest}"


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_an_address_that_others_reach_needs_keys_or_a_word(start_server, key_file, address):
    family = socket.AF_INET6 if "[" in address else socket.AF_INET
    try:
        socket.socket(family).bind(("::" if "[" in address else "0.0.0.0", 0))
    except OSError:
        pytest.skip("this machine has no such address")
    refused = quern("serve", "--listen", address)
    assert refused.returncode == 3 and "there are no API keys" in refused.stderr, refused
    make_key(key_file, "alice")
    start_server("--allow-public", listen=address)
    start_server("--api-keys", key_file, listen=address)


def test_metrics_are_open_where_that_is_meant(start_server, key_file):
    make_key(key_file, "alice")
    server = start_server("--api-keys", key_file, "--open-metrics")
    assert server.request("GET", "/metrics")[0] == 200
    assert server.request("GET", "/health")[2]["running"] == 0
    assert server.request("GET", "/v1/models")[0] == 401


# ---- Pages of other origins ----


def preflight(server, origin):
    return server.request("OPTIONS", "/v1/completions", headers={
        "Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"})


def test_a_page_of_another_origin_may_ask_if_it_is_listed(start_server, key_file):
    key = make_key(key_file, "alice")
    server = start_server("--api-keys", key_file, "--cors-origins", "https://a.example https://b.example:8443")
    for origin in ("https://a.example", "https://b.example:8443"):
        status, headers, text = preflight(server, origin)
        assert (status, text) == (204, "") and headers["Access-Control-Allow-Origin"] == origin
        assert headers["Access-Control-Allow-Methods"] == "POST"
        # Clients in a browser add headers of their own, which an asterisk allows, but not this one.
        assert headers["Access-Control-Allow-Headers"] == "Authorization, *"
        status, headers, _ = server.request("POST", "/v1/completions", ASK, {"Origin": origin, **bearer(key)})
        assert status == 200 and headers["Access-Control-Allow-Origin"] == origin and headers["Vary"] == "Origin"
        status, headers, _ = server.request("POST", "/v1/completions", ASK, {"Origin": origin})
        assert status == 401 and headers["Access-Control-Allow-Origin"] == origin  # The page can read why.
    for origin in ("https://c.example", "https://a.example.evil.example", "https://a.exampl", "null", "*"):
        status, headers, _ = preflight(server, origin)
        assert status != 204 and "Access-Control-Allow-Origin" not in headers


def test_no_page_of_another_origin_may_ask_unless_told_otherwise(demo, start_server):
    status, headers, _ = preflight(demo, "https://a.example")
    assert status == 405 and not any(name.startswith("Access-Control") for name in headers)
    assert preflight(start_server("--cors-origins", "*"), "https://a.example")[0] == 204


# ---- One client ----


def test_one_client_may_ask_for_so_much_at_once(start_server, key_file):
    alice, bob = (make_key(key_file, name) for name in ("alice", "bob"))
    server = start_server("--api-keys", key_file, "--client-requests", 1, model=os.path.join(MODELS, "gemma3-int4"))
    running = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
    running.request("POST", "/v1/completions", json.dumps(
        {"prompt": [2], "max_tokens": 250, "n": 64, "stream": True, "ignore_eos": True}), bearer(alice))
    answer = running.getresponse()
    assert answer.status == 200
    status, headers, refused = server.request("POST", "/v1/completions", ASK, bearer(alice))
    assert status == 429 and refused["error"]["code"] == "too_many_requests" and headers["Retry-After"], refused
    assert server.request("GET", "/v1/models", headers=bearer(alice))[0] == 200
    assert server.request("POST", "/v1/completions", ASK, bearer(bob))[0] == 200
    answer.close()
    running.close()
    wait_until(lambda: server.request("POST", "/v1/completions", ASK, bearer(alice))[0] == 200, "alice to have her turn")


def test_one_address_may_hold_so_many_connections(start_server):
    server = start_server("--client-connections", 2)
    held = [socket.create_connection((server.host, server.port), timeout=PATIENCE) for _ in range(2)]
    for client in held:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: q\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
    with socket.create_connection((server.host, server.port), timeout=PATIENCE) as third:
        assert third.recv(4096) == b""
    held.pop().close()
    wait_until(lambda: answers(server), "room for another one")


def answers(server):
    try:
        return server.request("GET", "/health")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


# ---- TLS ----


def test_answers_and_streams_go_over_tls(start_server, certificate):
    server = start_server("--tls-certificate", certificate[0], "--tls-key", certificate[1])
    assert server.url.startswith("https://127.0.0.1:")
    context = ssl.create_default_context(cafile=certificate[0])
    connection = http.client.HTTPSConnection("127.0.0.1", int(server.url.rsplit(":", 1)[1]), timeout=PATIENCE, context=context)
    for stream in (False, True):
        connection.request("POST", "/v1/completions", json.dumps({**ASK, "stream": stream, "max_tokens": 50}))
        answer = connection.getresponse()
        text = answer.read().decode()
        assert answer.status == 200 and (text.endswith("data: [DONE]\n\n") if stream else json.loads(text)["usage"])
    connection.close()
    with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=PATIENCE) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: q\r\n\r\n")
        assert not plain.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_certificate_needs_its_key(certificate, tmp_path):
    (tmp_path / "other.pem").write_text("no key")
    for arguments, said in (
            (["--tls-certificate", certificate[0]], "--tls-certificate: tls-certificate needs tls-key, which is missing"),
            (["--tls-key", certificate[1]], "--tls-key: tls-key needs tls-certificate, which is missing"),
            (["--tls-certificate", certificate[0], "--tls-key", tmp_path / "other.pem"], "no certificate with its key"),
            (["--tls-certificate", certificate[0], "--tls-key", tmp_path / "none.pem"], "none.pem cannot be read")):
        refused = quern("serve", "--listen", "127.0.0.1:0", *arguments)
        assert refused.returncode == 3 and said in refused.stderr, refused


def test_a_configuration_is_checked_down_to_keys_and_certificates(certificate, tmp_path):
    path = tmp_path / "quern.conf"
    path.write_text(f"[access]\n\ntls-key = {certificate[1]}\n")
    refused = quern("config", "check", path)
    assert refused.returncode == 3 and f"{path}:3: tls-key needs tls-certificate" in refused.stderr, refused
    path.write_text(f"[access]\napi-keys = {tmp_path}/none\n")
    refused = quern("config", "check", path)
    assert refused.returncode == 3 and f"{tmp_path}/none cannot be read" in refused.stderr, refused
    path.write_text(f"[access]\ntls-key = {certificate[1]}\ntls-certificate = {certificate[0]}\n")
    assert quern("config", "check", path).returncode == 0
