"""Unpacks an OCI image as a container runtime would, and runs what it says, as the user that it says: check.py IMAGE.tar

Needs root, to unpack and to change the root directory; no container runtime."""
import gzip
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request

PATIENCE = 60


class Image:
    def __init__(self, path):
        self.tar = tarfile.open(path)
        assert json.loads(self.read("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
        (manifest,) = json.loads(self.read("index.json"))["manifests"]
        self.manifest = json.loads(self.blob(manifest, "manifest.v1+json"))
        self.config = json.loads(self.blob(self.manifest["config"], "config.v1+json"))

    def read(self, name):
        return self.tar.extractfile(name).read()

    def blob(self, descriptor, kind):
        """The bytes, which must be those that the digest is of."""
        algorithm, digest = descriptor["digest"].split(":")
        data = self.read(f"blobs/{algorithm}/{digest}")
        assert descriptor["mediaType"] == f"application/vnd.oci.image.{kind}", descriptor
        assert len(data) == descriptor["size"] and hashlib.sha256(data).hexdigest() == digest, descriptor
        return data

    def unpack(self, root):
        unpacked = []
        for layer in self.manifest["layers"]:
            data = gzip.decompress(self.blob(layer, "layer.v1.tar+gzip"))
            unpacked.append("sha256:" + hashlib.sha256(data).hexdigest())
            subprocess.run(["tar", "-x", "-p", "--numeric-owner", "-C", root], input=data, check=True)
        assert self.config["rootfs"] == {"type": "layers", "diff_ids": unpacked}


class Container:
    def __init__(self, image, root, **environment):
        self.image, self.root = image, root
        self.environment = dict(entry.split("=", 1) for entry in image["Env"]) | environment
        self.log = tempfile.TemporaryFile("w+")

    def command(self, *arguments):
        return [shutil.which("chroot"), f"--userspec={self.image['User']}", "--groups=", self.root, *arguments]

    def run(self, *arguments):
        return subprocess.run(self.command(*arguments), env=self.environment, capture_output=True, text=True, timeout=PATIENCE)

    def start(self):
        self.process = subprocess.Popen(self.command(*self.image["Entrypoint"]), env=self.environment, stderr=self.log)

    def said(self):
        self.log.seek(0)
        return self.log.read()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    return urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=PATIENCE)


def wait_ready(container, port):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and container.process.poll() is None:
        try:
            return ask(port, "/ready").status
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    raise AssertionError(container.said())


def check(path, root):
    image = Image(path)
    image.unpack(root)
    config = image.config["config"]
    assert config["User"] not in ("", "0", "root", "0:0") and config["StopSignal"] == "SIGTERM"
    for volume in config["Volumes"]:
        assert os.path.isdir(root + volume), volume

    careful = Container(config, root)
    careful.start()
    assert careful.process.wait(timeout=PATIENCE) == 3 and "allow-public" in careful.said(), careful.said()

    port = free_port()  # this process shares its network with the container
    container = Container(config, root, QUERN_LISTEN=f"127.0.0.1:{port}", QUERN_DRAIN_TIMEOUT="50")
    container.start()
    wait_ready(container, port)
    with open(f"/proc/{container.process.pid}/status") as file:
        assert f"Uid:\t{config['User'].split(':')[0]}\t" in file.read()
    probe = container.run(*config["Healthcheck"]["Test"][1:], f"127.0.0.1:{port}")
    assert probe.returncode == 0, probe
    stream = ask(port, "/v1/completions", {"prompt": "Once", "max_tokens": 500, "stream": True, "ignore_eos": True})
    first = stream.readline()
    container.process.send_signal(getattr(signal, config["StopSignal"]))
    assert (first + stream.read()).rstrip().endswith(b"data: [DONE]")
    assert container.process.wait(timeout=PATIENCE) == 0, container.said()
    probe = container.run(*config["Healthcheck"]["Test"][1:], f"127.0.0.1:{port}")
    assert probe.returncode == 1 and "no connection" in probe.stderr, probe


with tempfile.TemporaryDirectory() as folder:
    check(sys.argv[1], folder)
print("unpacked, served, drained")
