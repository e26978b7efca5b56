"""The examples of docs/deploy: HAProxy in front of daemons that are killed and restarted, and manifests that are right."""
import glob
import json
import os
import re
import subprocess

import pytest
import yaml

import fleet
from conftest import BINARY, MODELS, PATIENCE

DEPLOY = os.path.join(fleet.ROOT, "docs", "deploy")
needs_haproxy = pytest.mark.skipif(fleet.HAPROXY is None, reason="haproxy is not installed")


@pytest.fixture(scope="module")
def three():
    running = fleet.Fleet(BINARY, "--drain-delay", 1)
    yield running
    statuses = running.close()
    logs = [daemon.log_text() for daemon in running.daemons.values()]
    assert statuses == [0, 0, 0] and not any("Sanitizer" in log for log in logs), logs


@needs_haproxy
def test_only_streams_of_a_killed_daemon_fail_and_a_roll_loses_nothing(three):
    load = fleet.Load(three.port, clients=4, tokens=48)
    load.wait_more(2 * len(load.threads))
    fleet.kill(three, load, "quern2")
    killed = len(load.outcomes)
    statuses = fleet.roll(three, load)
    outcomes = load.stop()
    failed = [outcome for outcome in outcomes if outcome[0] != "ok"]
    assert all(how == "broken" and stream and "IncompleteRead" in error for how, stream, error in failed), failed
    assert len(failed) <= len(load.threads)
    assert all(how == "ok" for how, _, _ in outcomes[killed:]) and statuses == [0, 0, 0]


def turns(*first):
    """The body of a conversation that begins so, and of its next turn."""
    then = [{"role": "assistant", "content": "He did."}, {"role": "user", "content": "And then?"}]
    return list(first), [*first, *then]


SYSTEM = {"role": "system", "content": "You tell \"short\" stories.\n"}
FOX, HEN = ({"role": "user", "content": f"A story of a {animal}"} for animal in ("fox", "hen"))
PARTS = {"role": "user", "content": [{"type": "text", "text": "A story of a cat"}]}

# path, what the body calls it, two bodies that belong together, one that does not belong to them
BEGINNINGS = [
    ("/v1/chat/completions", "messages", *turns(FOX), [HEN]),
    ("/v1/chat/completions", "messages", *turns(PARTS), [HEN]),
    ("/v1/chat/completions", "messages", *turns(SYSTEM, FOX), [SYSTEM, HEN]),
    ("/v1/responses", "input", *turns(SYSTEM, FOX), [SYSTEM, HEN]),
    ("/v1/responses", "input", "A story of a fox", turns(FOX)[1], "A story of a hen"),
    ("/v1/messages", "messages", *turns(FOX), [HEN]),
    ("/v1/completions", "prompt", "Once a fox " * 30, "Once a fox " * 30 + "met a hen", "Once a hen"),
]


@needs_haproxy
@pytest.mark.parametrize("path, name, first, second, other", BEGINNINGS)
def test_requests_with_the_same_beginning_go_to_the_same_daemon(three, path, name, first, second, other):
    told = []
    for content in (first, second, other):
        limit = "max_output_tokens" if path == "/v1/responses" else "max_tokens"
        before = served(three)
        status, headers, text = fleet.post(three.port, path, {name: content, limit: 1, "model": "demo"})
        assert status == 200, text
        told.append((headers["X-Prefix-Hash"], [now - then for now, then in zip(served(three), before)]))
    assert told[0] == told[1] and told[2][0] != told[0][0] and sum(told[0][1]) == 1


def served(three):
    return [sum(int(row["stot"]) for row in three.statistics(name)) for name in three.daemons]


@needs_haproxy
def test_a_client_may_say_what_belongs_together(three):
    def hash_of(headers=None, **fields):
        body = {"messages": [fields.pop("message")], "max_tokens": 1, **fields}
        return fleet.post(three.port, "/v1/chat/completions", body, headers)[1]["X-Prefix-Hash"]

    assert hash_of(message=FOX, prompt_cache_key="a") == hash_of(message=HEN, prompt_cache_key="a")
    assert hash_of(message=FOX, prompt_cache_key="a") != hash_of(message=FOX, prompt_cache_key="b\r\nX-Other: c")
    assert hash_of({"X-Prefix-Hash": "mine"}, message=FOX, prompt_cache_key="a") == "mine"


# ---- Kubernetes ----

def manifests():
    for path in sorted(glob.glob(os.path.join(DEPLOY, "kubernetes", "*.yaml"))):
        with open(path) as file:
            yield from yaml.safe_load_all(file)


def manifest(kind, name="quern"):
    return next(found for found in manifests() if (found["kind"], found["metadata"]["name"]) == (kind, name))


def setting(text, name):
    return int(re.search(rf"(?m)^{name} = (\d+)$", text).group(1))


@pytest.fixture
def mounted(tmp_path):
    """The configuration as the container finds it, in a folder of this machine."""
    (tmp_path / "api-keys").write_text(manifest("Secret", "quern-api-keys")["stringData"]["api-keys"])
    places = {"/etc/quern/keys": tmp_path, "/srv/models/gemma-3-1b-int4": os.path.join(MODELS, "gemma3-int4"),
              "/var/cache/quern": tmp_path / "cache"}
    text = manifest("ConfigMap")["data"]["quern.conf"]
    for place, here in places.items():
        assert place in text
        text = text.replace(place, str(here))
    path = tmp_path / "quern.conf"
    path.write_text(text.replace("drain-delay = 5", "drain-delay = 0"))
    return path


def test_the_container_of_the_manifests_serves_the_model(mounted, start_server):
    with open(os.path.join(fleet.ROOT, "config", "oci", "Containerfile")) as file:
        entrypoint = json.loads(re.search(r"(?m)^ENTRYPOINT (.+)$", file.read()).group(1))
    assert entrypoint == ["/usr/bin/quern", "serve"]
    (container,) = manifest("Deployment")["spec"]["template"]["spec"]["containers"]
    server = start_server(*(argument.replace("/etc/quern/quern.conf", str(mounted)) for argument in container["args"]))
    assert server.health()["models"] == {"gemma3-int4": "ready"}


def test_the_configuration_of_the_manifests_is_right_and_they_agree_with_it(mounted):
    text = manifest("ConfigMap")["data"]["quern.conf"]
    checked = subprocess.run([BINARY, "config", "check", str(mounted)], capture_output=True, text=True, timeout=PATIENCE)
    assert checked.returncode == 0, checked.stderr
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["terminationGracePeriodSeconds"] > setting(text, "drain-delay") + setting(text, "drain-timeout") + 1
    assert f"listen = 0.0.0.0:{container['ports'][0]['containerPort']}" in text
    assert container["ports"][0]["containerPort"] == manifest("InferencePool")["spec"]["targetPorts"][0]["number"]
    assert setting(text, "threads") == int(container["resources"]["limits"]["cpu"])
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {"/etc/quern/keys", "/srv/models", "/var/cache/quern"} <= mounts


def test_the_manifests_name_metrics_and_paths_that_there_are(demo):
    demo.complete(prompt="Once", max_tokens=1)
    metrics = demo.request("GET", "/metrics")[2]
    asked = set(re.findall(r"\bquern_[a-z_]+", json.dumps(list(manifests()))))
    assert len(asked) == 5
    for name in asked:
        assert re.search(rf"(?m)^{name}(\{{.*\}})? [0-9.]+$", metrics), name
    container = manifest("Deployment")["spec"]["template"]["spec"]["containers"][0]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert demo.request("GET", container[probe]["httpGet"]["path"])[0] == 200
