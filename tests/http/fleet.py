"""Several daemons behind HAProxy, with the configuration of docs/deploy, under load.

As a program, `fleet.py QUERN_BINARY`, it kills each of three in mid-run, then rolls all three, compares how the proxy may
choose among them, and prints the figures of docs/deploy/README.md."""
import collections
import csv
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from waiting import PATIENCE, wait_until

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
CONFIGURATION = os.path.join(ROOT, "docs", "deploy", "haproxy.cfg")
HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")


def free_ports(count):
    """Of those that the kernel gives to nobody who asks for any: a daemon finds its own again when it is restarted."""
    ports, candidate = [], 20000 + os.getpid() * 16 % 12000
    while len(ports) < count:
        candidate += 1
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", candidate))
                ports.append(candidate)
            except OSError:
                continue
    return ports


class Daemon:
    def __init__(self, binary, port, *arguments):
        self.port = port
        self.command = [binary, "serve", "--listen", f"127.0.0.1:{port}", *map(str, arguments)]
        self.log = tempfile.TemporaryFile("w+")
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stderr=self.log, stdin=subprocess.DEVNULL)

    def request(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def is_ready(self):
        try:
            return self.request("/ready")[0] == 200
        except OSError:
            assert self.process.poll() is None, self.log_text()
            return False

    def log_text(self):
        self.log.seek(0)
        return self.log.read()


class Fleet:
    """HAProxy in front of `count` daemons. `edit` may change the text of its configuration."""

    def __init__(self, binary, *arguments, count=3, edit=lambda text: text):
        self.folder = tempfile.TemporaryDirectory()
        self.port, *ports = free_ports(count + 1)
        self.admin = os.path.join(self.folder.name, "admin.sock")
        self.daemons = {f"quern{i + 1}": Daemon(binary, port, *arguments) for i, port in enumerate(ports)}
        path = os.path.join(self.folder.name, "haproxy.cfg")
        with open(CONFIGURATION) as file:
            text = edit(file.read())
        with open(path, "w") as file:
            file.write(self.localize(text))
        self.proxy = subprocess.Popen([HAPROXY, "-db", "-q", "-f", path], stdin=subprocess.DEVNULL)
        for name in self.daemons:
            self.wait_up(name)

    def localize(self, text):
        """The addresses and paths of this run instead of those of the example."""
        text = re.sub(r"(server (quern\d)) \S+", lambda m: f"{m[1]} 127.0.0.1:{self.daemons[m[2]].port}", text)
        text = re.sub(r"bind \S+", f"bind 127.0.0.1:{self.port}", text)
        text = re.sub(r"stats socket \S+.*", f"stats socket {self.admin} level admin", text)
        return re.sub(r"(?m)^ *(log |option httplog).*\n", "", text)

    def statistics(self, name):
        """What HAProxy says of the server, of both backends."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(self.admin)
            admin.sendall(b"show stat\n")
            text = b"".join(iter(lambda: admin.recv(65536), b"")).decode()
        return [row for row in csv.DictReader(io.StringIO(text.removeprefix("# "))) if row["svname"] == name]

    def wait_up(self, name):
        def is_up():
            assert self.proxy.poll() is None, "HAProxy ended"
            return (os.path.exists(self.admin) and self.daemons[name].is_ready()
                    and all(row["status"] == "UP" for row in self.statistics(name)))
        wait_until(is_up, f"{name} to be up")

    def running(self, name):
        return sum(int(row["scur"]) for row in self.statistics(name))

    def metric(self, name):
        """The sum over all daemons."""
        texts = [daemon.request("/metrics")[1] for daemon in self.daemons.values()]
        return sum(float(value) for text in texts for value in re.findall(rf"(?m)^{name}{{.*}} (\S+)$", text))

    def close(self):
        """The exit statuses of the daemons."""
        self.proxy.terminate()
        self.proxy.wait(timeout=PATIENCE)
        for daemon in self.daemons.values():
            daemon.process.send_signal(signal.SIGTERM)
        return [daemon.process.wait(timeout=PATIENCE) for daemon in self.daemons.values()]


def post(port, path, body, headers=None):
    """Status, headers and text of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("POST", path, json.dumps(body), headers or {})
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read().decode()


def ask(port, body, headers=None):
    """(how it went, what it was, hash): "ok"; "refused" before an answer began; "broken" afterwards, with the error."""
    began, told = False, None
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers or {})
        answer = connection.getresponse()
        began, told = answer.status == 200, answer.headers.get("X-Prefix-Hash")
        text = answer.read().decode()
        connection.close()
    except http.client.IncompleteRead as error:
        return "broken", f"IncompleteRead behind {error.partial.decode()}", told
    except (OSError, http.client.HTTPException) as error:
        return "broken" if began else "refused", repr(error), told
    if not began:
        return "refused", text, told
    if not body.get("stream"):
        return "ok", json.loads(text)["choices"][0]["message"]["content"], told
    if "data: [DONE]" in text:
        return "ok", text, told
    return "broken", text[-200:], told


class Load:
    """Clients that ask again and again, every other time for a stream, until they are stopped."""

    def __init__(self, port, clients=8, tokens=64):
        self.port, self.tokens, self.stopping = port, tokens, threading.Event()
        self.outcomes = collections.deque()  # (how, stream, what)
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self, client):
        turn = 0
        while not self.stopping.is_set():
            turn += 1
            stream = (client + turn) % 2 == 0
            how, what, _ = ask(self.port, {
                "messages": [{"role": "user", "content": f"Tell story {turn} to client {client}."}],
                "max_tokens": self.tokens, "ignore_eos": True, "stream": stream})
            self.outcomes.append((how, stream, what))

    def wait_more(self, count):
        goal = len(self.outcomes) + count
        wait_until(lambda: len(self.outcomes) >= goal, f"{count} more answers")

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(PATIENCE)
        return list(self.outcomes)


def kill(fleet, load, name):
    """SIGKILL while it has requests; how many it had. Then it is started again."""
    wait_until(lambda: fleet.running(name) > 0, f"{name} to have requests")
    fleet.daemons[name].process.kill()
    fleet.daemons[name].process.wait(timeout=PATIENCE)
    load.wait_more(len(load.threads) * 2)
    fleet.daemons[name].start()
    fleet.wait_up(name)


def roll(fleet, load):
    """Each in turn: SIGTERM, until it has ended, and start. The exit statuses."""
    statuses = []
    for name, daemon in fleet.daemons.items():
        daemon.process.send_signal(signal.SIGTERM)
        statuses.append(daemon.process.wait(timeout=PATIENCE))
        daemon.start()
        fleet.wait_up(name)
        load.wait_more(len(load.threads))
    return statuses


# ---- Figures ----

SYSTEM = ("You are a patient teller of stories. You speak in short words that a child knows, you keep to what was said "
          "before, and you never frighten anybody. Animals may speak, and it does not rain for long.")


class Conversation:
    def __init__(self, number):
        self.number, self.turns, self.headers = number, 0, {}
        self.messages = [{"role": "system", "content": SYSTEM}]

    def take_turn(self, port, returns_hash):
        self.turns += 1
        self.messages.append({"role": "user", "content": (
            f"This is child {self.number}, on evening {self.turns}. Please go on from where we were. What did the fox "
            "see in the wood, who came to help him, and what did they eat together when the work was done?")})
        how, reply, told = ask(port, {"messages": self.messages, "max_tokens": 24, "temperature": 0}, self.headers)
        assert how == "ok", reply
        self.messages.append({"role": "assistant", "content": reply})
        if returns_hash:
            self.headers["X-Prefix-Hash"] = told


def hit_rate(binary, edit, returns_hash=False, conversations=72, turns=9, clients=24):
    """The share of prompt tokens that came from the caches, and how the requests were spread. Whoever has waited
    longest takes the next turn."""
    fleet = Fleet(binary, "--kv-positions", 65536, edit=edit)
    waiting = collections.deque(map(Conversation, range(conversations)))

    def work():
        while waiting:
            conversation = waiting.popleft()
            conversation.take_turn(fleet.port, returns_hash)
            if conversation.turns < turns:
                waiting.append(conversation)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hits, computed = fleet.metric("quern_prefix_hit_tokens_total"), fleet.metric("quern_prompt_tokens_total")
    spread = [sum(int(row["stot"]) for row in fleet.statistics(name)) for name in fleet.daemons]
    fleet.close()
    return hits / (hits + computed), spread


def by_load(text):
    return text.replace("default_backend by_prefix", "default_backend by_load")


def by_header_alone(text):
    start, end = text.index("    option http-buffer-request"), text.index("    balance hdr")
    return text[:start] + text[end:]


def main():
    binary = sys.argv[1]
    for policy, edit in (("by_load", by_load), ("by_prefix", str)):
        fleet = Fleet(binary, "--drain-delay", 2, edit=edit)
        load = Load(fleet.port)
        load.wait_more(40)
        for name in fleet.daemons:
            kill(fleet, load, name)
        killed = len(load.outcomes)
        statuses = roll(fleet, load)
        outcomes = load.stop()
        fleet.close()
        for what, part in (("kill", outcomes[:killed]), ("roll", outcomes[killed:])):
            counts = collections.Counter((how, "stream" if stream else "whole") for how, stream, _ in part)
            print(policy, what, dict(counts), [text[-80:] for how, _, text in part if how != "ok"])
        print(policy, "exit statuses of the roll", statuses)
    for label, edit, returns in (("by_load", by_load, False), ("header alone, not returned", by_header_alone, False),
                                 ("header alone, returned", by_header_alone, True), ("by_prefix", str, False)):
        rate, spread = hit_rate(binary, edit, returns)
        print(f"{label}: {rate:.1%} of the prompts' tokens from caches, requests {spread}")


if __name__ == "__main__":
    main()
