"""Starts the real server on a free loopback port, talks to it over real sockets, and looks at what it leaves behind."""
import http.client
import json
import os
import re
import signal
import subprocess
import tempfile

import openai
import pytest

from waiting import PATIENCE, wait_until

BINARY = os.environ["QUERN_BINARY"]
MODELS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "models")
SANITIZER_WORDS = ("ThreadSanitizer", "AddressSanitizer", "LeakSanitizer", "runtime error")


class Server:
    def __init__(self, *arguments, model=None, listen="127.0.0.1:0"):
        self.log = tempfile.TemporaryFile("w+")
        command = [BINARY, "serve", *([model] if model else []), "--listen", listen, *map(str, arguments)]
        self.process = subprocess.Popen(command, stderr=self.log, stdin=subprocess.DEVNULL)
        try:
            line = wait_until(self.find_line, "the server's first line")
        except AssertionError:
            self.process.kill()
            raise
        self.url = line.group(1)
        self.host, self.port = "127.0.0.1", int(self.url.rsplit(":", 1)[1]) if "http://127" in self.url else None

    def stderr_text(self):
        self.log.seek(0)
        return self.log.read()

    def find_line(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}: {self.stderr_text()}")
        return re.search(r"\bserving .+? on (\S+) ", self.stderr_text())

    def request(self, method, path, body=None, headers=None):
        """Status, headers and parsed JSON (or text) of one answer."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
        connection.request(method, path, data, headers or {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        is_json = answer.headers.get("Content-Type", "").startswith("application/json") and text
        return answer.status, answer.headers, json.loads(text) if is_json else text

    def post(self, path, **parameters):
        """The answer, which must be 200."""
        status, _, answer = self.request("POST", path, parameters)
        assert status == 200, answer
        return answer

    def events(self, path, **parameters):
        """The texts of all events of a stream."""
        status, headers, text = self.request("POST", path, {**parameters, "stream": True})
        assert status == 200 and headers["Content-Type"].startswith("text/event-stream"), text
        return text.removesuffix("\n\n").split("\n\n")

    def chunks(self, path, **parameters):
        """The JSON of every event of a stream, which must end with [DONE]."""
        events = [event.removeprefix("data: ") for event in self.events(path, **parameters)]
        assert events.pop() == "[DONE]"
        return [json.loads(event) for event in events]

    def complete(self, **parameters):
        return self.post("/v1/completions", **parameters)

    def stream(self, **parameters):
        return self.chunks("/v1/completions", **parameters)

    def health(self):
        return self.request("GET", "/health")[2]

    def wait_idle(self):
        wait_until(lambda: self.health()["running"] == 0 and self.health()["pages_used"] == 0, "all pages to be free")

    def stop(self):
        """SIGTERM, and nothing to complain about afterwards."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=PATIENCE)
        text = self.stderr_text()
        for word in SANITIZER_WORDS:
            assert word not in text, text
        assert status == 0, f"exit status {status}: {text}"


@pytest.fixture
def start_server():
    servers = []

    def start(*arguments, **options):
        servers.append(Server(*arguments, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def demo():
    """The embedded demo model."""
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def client(demo):
    return openai.OpenAI(base_url=f"{demo.url}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="session")
def tiny():
    """A model of random weights: its text is noise, but always the same noise."""
    server = Server(model=os.path.join(MODELS, "gemma3-int4"))
    yield server
    server.stop()


def make_certificate(folder):
    """The files of one for 127.0.0.1, and of its key."""
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                           "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                           "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return folder / "certificate.pem", folder / "key.pem"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))
