"""quern top, looking at real daemons."""
import os
import re
import subprocess

from conftest import BINARY, MODELS, PATIENCE, make_certificate, wait_until


def top(*arguments):
    return subprocess.run([BINARY, "top", *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE)


def address(server):
    return f"{server.host}:{server.port}"


def rows(text):
    """Of each model the fields behind its name."""
    return {line.split()[0]: line.split()[1:] for line in text.split("KV PAGES\n")[1].splitlines()}


def test_a_screen_has_a_row_for_each_model_and_fits_80_columns(start_server, tmp_path):
    config = tmp_path / "quern.conf"
    name = "a-name-as-long-as-a-name-may-be-in-a-conf"
    config.write_text(f"[model]\nmodel-id = used\n[model.{name}]\nfolder = {MODELS}/optimum-qwen2-q4\n")
    server = start_server("--config", config, model=os.path.join(MODELS, "gemma3-int4"))
    ask = {"prompt": [2, 5, 9], "max_tokens": 200, "ignore_eos": True}
    looking = subprocess.Popen([BINARY, "top", address(server), "--every", "0.5", "--count", "3"],
                               stdout=subprocess.PIPE, text=True)
    while looking.poll() is None:
        server.complete(**ask)
    screens = looking.stdout.read().split("\n\n127.0.0.1:")
    assert looking.returncode == 0 and len(screens) == 3
    for screen in screens:
        assert all(len(line) <= 80 for line in screen.splitlines()), screen
        found = rows(screen)
        assert found[name[:19]] == ["not", "loaded"]
    assert any(float(rows(screen)["used"][3]) > 0 for screen in screens), screens
    server.wait_idle()
    idle = rows(top(address(server), "--every", "0.1", "--count", "1").stdout)["used"]
    assert idle[:6] == ["0", "0", "0.0", "0.0", "-", "-"] and re.fullmatch(r"\[:+\.*\]", idle[6]), idle


def test_a_unix_socket_and_a_key_will_do(start_server, tmp_path):
    path, keys, key = tmp_path / "quern.sock", tmp_path / "keys", tmp_path / "key"
    key.write_text(subprocess.run([BINARY, "key", "me", keys], capture_output=True, text=True, check=True).stdout)
    server = start_server("--api-keys", keys, listen=f"unix:{path}")
    refused = top(f"unix:{path}", "--every", "0.1", "--count", "1")
    assert refused.returncode == 1 and "401: it wants an API key" in refused.stderr
    assert "demo" in rows(top(f"unix:{path}", "--every", "0.1", "--count", "1", "--key-file", key).stdout)
    server.stop()
    wait_until(lambda: not path.exists(), "the socket to be gone")


def test_tls_is_spoken_with_whom_a_file_trusts(start_server, tmp_path, certificate):
    tls = ["--tls-certificate", certificate[0], "--tls-key", certificate[1]]
    once = ["--every", "0.1", "--count", "1"]
    path = tmp_path / "quern.sock"
    by_file, by_port = start_server(*tls, listen=f"unix:{path}"), start_server(*tls)
    port = by_port.url.rsplit(":", 1)[1]
    for address in (f"unix:{path}", f"127.0.0.1:{port}"):
        assert "demo" in rows(top(address, "--trust", certificate[0], *once).stdout)
    other = make_certificate(tmp_path)[0]
    for arguments, said in (([f"127.0.0.1:{port}"], "or only with TLS: see --trust"),
                            ([f"127.0.0.1:{port}", "--trust", other], "is not trusted by"),
                            ([f"localhost:{port}", "--trust", certificate[0]], "is not trusted by"),
                            ([f"127.0.0.1:{port}", "--trust", certificate[1]], "has no certificate to trust"),
                            ([f"127.0.0.1:{port}", "--trust", tmp_path / "none"], "none has no certificate to trust")):
        refused = top(*arguments, *once)
        assert refused.returncode == 1 and said in refused.stderr, refused


def test_what_is_no_daemon_is_told(tmp_path):
    for where, said in (("127.0.0.1:1", "no connection to 127.0.0.1:1: Connection refused"),
                        (f"unix:{tmp_path}/none", "No such file"), ("nowhere", "is no address"),
                        ("http://127.0.0.1:1", "is no address")):
        refused = top(where)
        assert refused.returncode == 1 and said in refused.stderr, refused
