"""The daemon as systemd starts it: told what it is doing, with sockets that are open already, and sandboxed."""
import contextlib
import ctypes
import json
import mmap
import os
import re
import signal
import socket
import subprocess

import pytest

from conftest import BINARY, MODELS, PATIENCE, Server, wait_until

UNITS = os.path.join(os.path.dirname(BINARY), "..", "systemd")


class Manager:
    """What a service manager hears at its notify socket."""

    def __init__(self, address):
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1))
        self.socket.settimeout(PATIENCE)

    def hear(self):
        return self.socket.recv(4096).decode()

    def hear_until(self, pattern):
        """All messages up to the first that matches."""
        messages = [self.hear()]
        while not re.search(pattern, messages[-1]):
            messages.append(self.hear())
        return messages


@pytest.fixture(params=["/", "@"], ids=["file", "abstract"])
def manager(request, tmp_path, monkeypatch):
    manager = Manager(str(tmp_path / "notify") if request.param == "/" else f"@quern-test-{os.getpid()}")
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    yield manager
    manager.socket.close()


def test_the_manager_hears_of_start_reload_and_end(manager, start_server):
    server = start_server()
    starting = manager.hear_until("READY=1")
    assert starting == [f"STATUS=loading demo on {server.url}; 0 running, 0 waiting", "READY=1"], starting
    assert server.request("GET", "/health")[0] == 200
    assert manager.hear() == f"STATUS=serving demo on {server.url}; 0 running, 0 waiting"
    server.process.send_signal(signal.SIGHUP)
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", manager.hear())
    assert manager.hear() == "READY=1"
    server.process.send_signal(signal.SIGTERM)
    manager.hear_until("STOPPING=1")
    assert server.process.wait(timeout=PATIENCE) == 0


def test_the_manager_hears_of_sections_when_those_of_the_start_are_there(manager, tmp_path, start_server):
    models = {"gemma": ("gemma3-int4", "start"), "qwen": ("optimum-qwen2-q4", "start"), "none": ("nothing", "start"),
              "later": ("gemma3-int4", "first-use")}
    path = tmp_path / "quern.conf"
    path.write_text("".join(f"[model.{name}]\nfolder = {os.path.join(MODELS, folder)}\nload = {load}\n"
                            for name, (folder, load) in models.items()))
    server = start_server("--config", path)
    manager.hear_until("READY=1")
    assert server.health()["models"] == {"gemma": "ready", "qwen": "ready", "none": "failed", "later": "unloaded"}
    said = server.stderr_text()
    assert max(said.index("qwen is ready"), said.index("none (")) < said.index("serving "), said


def test_a_failure_is_told_as_status(manager):
    ended = subprocess.run([BINARY, "serve", "/nowhere", "--listen", "127.0.0.1:0"], capture_output=True, timeout=PATIENCE)
    assert ended.returncode == 4
    assert "/nowhere" in manager.hear_until("STATUS=(?!loading)")[-1]


@pytest.mark.parametrize("address", ["/nowhere/at/all", "@nobody-listens-here", "nonsense"])
def test_a_notify_socket_that_goes_nowhere_is_refused(address):
    ended = subprocess.run([BINARY, "serve", "--listen", "127.0.0.1:0"], capture_output=True, text=True,
                           timeout=PATIENCE, env={**os.environ, "NOTIFY_SOCKET": address})
    assert ended.returncode == 7 and f'NOTIFY_SOCKET is "{address}"' in ended.stderr and "unset it" in ended.stderr, ended


PTRACE_ATTACH, PTRACE_DETACH, WALL = 16, 17, 0x40000000


@contextlib.contextmanager
def stopped(thread):
    """One thread of another process, stopped as if it were stuck."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(PTRACE_ATTACH, thread, None, None) != 0:
        pytest.skip(f"threads cannot be stopped here: {os.strerror(ctypes.get_errno())}")
    os.waitpid(thread, WALL)
    yield
    assert libc.ptrace(PTRACE_DETACH, thread, None, None) == 0


def thread_named(process, name):
    for thread in os.listdir(f"/proc/{process}/task"):
        with open(f"/proc/{process}/task/{thread}/comm") as file:
            if file.read().strip() == name:
                return int(thread)
    raise AssertionError(f"no thread is named {name}")


def test_the_watchdog_is_fed_until_the_engine_is_stuck(manager, monkeypatch, start_server):
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    server = start_server(model=os.path.join(MODELS, "gemma3-int4"))
    manager.hear_until("WATCHDOG=1")
    with stopped(thread_named(server.process.pid, "quern-engine")):
        body = json.dumps({"prompt": [2], "max_tokens": 2, "ignore_eos": True}).encode()
        client = socket.create_connection((server.host, server.port), timeout=PATIENCE)
        client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: quern\r\nConnection: close\r\n"
                       b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        manager.hear_until("STATUS=.*the engine makes no progress")
        assert server.request("GET", "/health")[0] == 200  # The loop goes on.
        manager.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            while "WATCHDOG" not in manager.hear():
                pass
            pytest.fail("the watchdog was fed while the engine was stuck")
        manager.socket.settimeout(PATIENCE)
    manager.hear_until("WATCHDOG=1")
    answer = b""
    while received := client.recv(65536):
        answer += received
    assert b" 200 " in answer.splitlines()[0]


def test_a_watchdog_of_another_process_is_not_fed(manager, monkeypatch, start_server):
    monkeypatch.setenv("WATCHDOG_USEC", "30000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    server = start_server()
    manager.hear_until("READY=1")
    server.process.send_signal(signal.SIGTERM)
    assert not any("WATCHDOG" in message for message in manager.hear_until("STOPPING=1"))
    assert server.process.wait(timeout=PATIENCE) == 0


@pytest.fixture
def activate(tmp_path):
    """Starts quern by systemd-socket-activate, which listens and waits for the first connection."""
    running = []

    def start(*addresses):
        log = open(tmp_path / "log", "w+")
        command = ["systemd-socket-activate", *(f"--listen={address}" for address in addresses), BINARY, "serve"]
        running.append((subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL), log))

        def text():
            with open(tmp_path / "log") as file:
                return file.read()

        wait_until(lambda: text().count("Listening on") == len(addresses), "systemd-socket-activate")
        return text

    yield start
    for process, log in running:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == 0, process.args
        log.close()


def test_sockets_that_are_passed_are_served_instead_of_our_own(activate, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = tmp_path / "quern.sock"
    text = activate(f"127.0.0.1:{port}", str(path))
    for place in ([f"http://127.0.0.1:{port}/health"], ["--unix-socket", str(path), "http://quern/health"]):
        answer = subprocess.run(["curl", "-sS", *place], capture_output=True, text=True, timeout=PATIENCE)
        assert json.loads(answer.stdout)["status"] == "ok", answer
    wait_until(lambda: f"serving demo on http://127.0.0.1:{port} and unix:{path}" in text(), "the model")


def test_the_first_client_of_a_passed_socket_gets_its_completion(activate, tmp_path):
    activate(str(tmp_path / "quern.sock"))
    answer = subprocess.run(["curl", "-sS", "--unix-socket", str(tmp_path / "quern.sock"), "http://quern/v1/completions",
                             "-d", '{"prompt": "Once", "max_tokens": 2}'], capture_output=True, text=True, timeout=PATIENCE)
    assert json.loads(answer.stdout)["choices"], answer


def test_several_addresses_are_served_and_a_socket_file_has_its_mode(tmp_path):
    path = tmp_path / "quern.sock"
    server = Server("--socket-mode", "0600", listen=f"127.0.0.1:0 unix:{path}")
    assert server.request("GET", "/health")[0] == 200
    assert path.stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET /health HTTP/1.1\r\nHost: quern\r\nConnection: close\r\n\r\n")
        assert b" 200 " in client.recv(4096).splitlines()[0]
    server.stop()
    assert not path.exists()


def test_connections_beyond_the_limit_wait_their_turn(start_server):
    server = start_server("--max-connections", 2)
    clients = [socket.create_connection((server.host, server.port), timeout=PATIENCE) for _ in range(6)]
    for client in clients:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: quern\r\nConnection: close\r\n\r\n")
    for client in clients:
        assert b" 200 " in client.recv(4096).splitlines()[0]


# ---- The log ----


def last_request(server):
    return wait_until(lambda: [line for line in server.stderr_text().splitlines() if "/health" in line], "a log line")[-1]


def test_the_log_has_fields(start_server):
    server = start_server("--log-format", "json")
    server.request("GET", "/health", headers={"X-Request-Id": "id-1"})
    line = json.loads(last_request(server))
    assert line["msg"] == "GET /health 200" and line["id"] == "id-1" and line["client"] == "127.0.0.1"
    assert line["level"] == "info" and isinstance(line["ms"], (int, float)) and line["time"].endswith("Z")
    for each in server.stderr_text().splitlines():
        json.loads(each)


def test_a_path_cannot_forge_a_line_or_a_field(start_server):
    server = start_server("--log-format", "logfmt")
    server.request("GET", "/health%0Aquern:%20level=error%22x%22")
    line = last_request(server)
    assert re.fullmatch(r'time=\S+ level=info msg="GET /health\?quern:\?level=error\\"x\\" 404" id=\S+ client=127.0.0.1 ms=\S+',
                        line), line


def test_lines_in_the_journal_have_their_priority(tmp_path):
    log = open(tmp_path / "journal", "w+")
    status = os.fstat(log.fileno())
    server = subprocess.Popen([BINARY, "serve", "--listen", "127.0.0.1:0", "--log-level", "notice"], stderr=log,
                              env={**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
    url = wait_until(lambda: re.search(r"^<5>serving demo on (\S+) ", (tmp_path / "journal").read_text(), re.MULTILINE),
                     "the server's first line").group(1)
    subprocess.run(["curl", "-sS", f"{url}/health"], check=True, capture_output=True, timeout=PATIENCE)
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=PATIENCE) == 0
    log.close()
    assert "/health" not in (tmp_path / "journal").read_text()


PRIVATE_JOURNAL = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c",
                   'mount -t tmpfs none /run && mkdir -p /run/systemd/journal && mount --bind "$0" /run/systemd/journal '
                   '&& exec "$@"']


def entry_of(datagram):
    """The fields of an entry in the journal's own protocol; none of ours has the form for values of several lines."""
    return dict(line.split("=", 1) for line in datagram.decode().removesuffix("\n").split("\n"))


def test_entries_of_the_journal_have_fields(tmp_path):
    if subprocess.run([*PRIVATE_JOURNAL, str(tmp_path), "true"], capture_output=True).returncode != 0:
        pytest.skip("no mount namespaces here")
    log = open(tmp_path / "stderr", "w+")
    status = os.fstat(log.fileno())
    journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    journal.bind(str(tmp_path / "socket"))
    os.chmod(tmp_path / "socket", 0o666)
    journal.settimeout(PATIENCE)
    server = subprocess.Popen([*PRIVATE_JOURNAL, str(tmp_path), BINARY, "serve", "--listen", "127.0.0.1:0"], stderr=log,
                              env={**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
    entry = {"MESSAGE": ""}
    while not entry["MESSAGE"].startswith("serving demo on "):
        entry = entry_of(journal.recv(1 << 16))
    assert (entry["PRIORITY"], entry["SYSLOG_IDENTIFIER"]) == ("5", "quern")
    url = entry["MESSAGE"].split()[3]
    answer = subprocess.run(["curl", "-sS", f"{url}/v1/completions", "-H", "X-Request-Id: me-1", "-d",
                             '{"prompt": "Once", "max_tokens": 3, "ignore_eos": true}'], capture_output=True, text=True)
    assert json.loads(answer.stdout)["choices"], answer
    entry = entry_of(journal.recv(1 << 16))
    assert entry["MESSAGE"].startswith("POST /v1/completions 200 id=") and "finish=length" in entry["MESSAGE"]
    assert entry["PRIORITY"] == "6" and entry["CLIENT"] == "127.0.0.1" and entry["MODEL"] == "demo"
    assert (entry["REQUEST_ID"], entry["REPLY_TOKENS"], entry["FINISH_REASON"]) == ("me-1", "3", "length") and int(entry["PROMPT_TOKENS"]) > 0
    for name in ("DURATION_MS", "QUEUE_MS", "PREFILL_MS", "DECODE_MS"):
        assert float(entry[name]) >= 0
    journal.close()  # A journal that is gone takes nothing: then lines go to standard error.
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=PATIENCE) == 0
    log.close()
    assert re.fullmatch(r"<5>Terminated: finishing what runs.*\n", (tmp_path / "stderr").read_text())


# ---- The cache directory ----


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_cache_directory_of_another_user_is_refused(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    ended = subprocess.run([BINARY, "serve", "--listen", "127.0.0.1:0", "--cache-dir", str(folder)], capture_output=True,
                           text=True, timeout=PATIENCE)
    assert ended.returncode == 6 and "belongs to user 12345" in ended.stderr, ended
    assert list(folder.iterdir()) == []


# ---- The units ----


def unit_text(name):
    with open(os.path.join(UNITS, name)) as file:
        return file.read()


@pytest.fixture
def units(tmp_path):
    """The units as they are installed, but with the program from the build."""
    for name in ("quern.service", "quern@.service"):
        (tmp_path / name).write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={BINARY}", unit_text(name), flags=re.MULTILINE))
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "systemd", "quern.socket")
    with open(source) as file:
        (tmp_path / "quern.socket").write_text(file.read())
    return tmp_path


def test_systemd_finds_nothing_wrong_with_the_units(units):
    paths = [str(units / name) for name in ("quern.service", "quern@.service", "quern.socket")]
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True,
                              env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"}, timeout=PATIENCE)
    assert verified.returncode == 0 and verified.stderr == "", verified


@pytest.mark.parametrize("name", ["quern.service", "quern@.service"])
def test_the_sandbox_is_tight(name, units):
    rated = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=15", str(units / name)],
                           capture_output=True, text=True, timeout=PATIENCE)
    assert rated.returncode == 0, rated.stdout + rated.stderr


class Filter:
    """The unit's system calls, by libseccomp: what systemd would put in place, without systemd."""

    ALLOW, EPERM = 0x7FFF0000, 0x00050001
    MASKED_EQ = 7

    class Comparison(ctypes.Structure):
        _fields_ = [("argument", ctypes.c_uint), ("operator", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]

    def __init__(self, unit):
        self.library = ctypes.CDLL("libseccomp.so.2")
        self.library.seccomp_init.restype = ctypes.c_void_p
        self.library.seccomp_init.argtypes = [ctypes.c_uint32]
        self.library.seccomp_load.argtypes = [ctypes.c_void_p]
        self.library.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint,
                                                        ctypes.POINTER(self.Comparison)]
        self.filter = self.library.seccomp_init(self.EPERM)
        not_run = (self.Comparison * 1)(self.Comparison(2, self.MASKED_EQ, mmap.PROT_EXEC, 0))
        for name in sorted(self.allowed(unit)):
            number = self.library.seccomp_syscall_resolve_name(name.encode())
            if number < 0:
                continue  # of another processor
            if name in ("mprotect", "pkey_mprotect"):  # MemoryDenyWriteExecute
                self.library.seccomp_rule_add_array(self.filter, self.ALLOW, number, 1, not_run)
            else:
                self.library.seccomp_rule_add_array(self.filter, self.ALLOW, number, 0, None)

    def allowed(self, unit):
        calls = set()
        for line in re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE):
            taken_away = line.startswith("~")
            for word in line.lstrip("~").split():
                named = self.members(word) if word.startswith("@") else {word}
                calls = calls - named if taken_away else calls | named
        return calls

    def members(self, group):
        listed = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True)
        words = {line.strip() for line in listed.stdout.splitlines() if re.match(r"\s+[@a-z]", line)}
        return {call for word in words for call in (self.members(word) if word.startswith("@") else {word})}

    def load(self):
        libc = ctypes.CDLL(None)
        assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
        assert self.library.seccomp_load(self.filter) == 0


def is_sanitized():
    with open(BINARY, "rb") as file:
        return re.search(rb"__[at]san_init", file.read()) is not None


@pytest.mark.skipif(is_sanitized(), reason="sanitizers make system calls of their own")
def test_the_daemon_works_under_the_units_system_call_filter(tmp_path):
    allowed = Filter(unit_text("quern.service"))
    log = open(tmp_path / "log", "w+")
    server = subprocess.Popen([BINARY, "serve", os.path.join(MODELS, "gemma3-int4"), "--listen", "127.0.0.1:0", "--cache-dir",
                               str(tmp_path / "cache")], stderr=log, preexec_fn=allowed.load)
    url = wait_until(lambda: re.search(r"serving \S+ on (\S+) ", (tmp_path / "log").read_text()), "the server").group(1)
    body = json.dumps({"prompt": "Once upon a time", "max_tokens": 8, "ignore_eos": True})
    answer = subprocess.run(["curl", "-sS", f"{url}/v1/completions", "-d", body], capture_output=True, text=True, timeout=PATIENCE)
    assert json.loads(answer.stdout)["usage"]["completion_tokens"] == 8, answer
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=PATIENCE) == 0
    log.close()
    with open(f"{tmp_path}/log") as file:
        assert "not permitted" not in file.read()
