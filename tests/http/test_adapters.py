"""Adapters (LoRA): chosen by name, several at once in one batch, and nothing of one in the reply of another."""
import concurrent.futures
import os
import subprocess

import pytest

from conftest import BINARY, MODELS, Server

MODEL = os.path.join(MODELS, "llama-lora-int4")
ADAPTERS = f"first={MODEL}/one.onnx_adapter  second={MODEL}/two.onnx_adapter"
ASK = {"prompt": [2, 5, 9, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55], "max_tokens": 24, "temperature": 0,
       "ignore_eos": True}


@pytest.fixture(scope="module")
def adapted():
    server = Server("--adapters", ADAPTERS, "--model-id", "base:1b", model=MODEL)
    yield server
    server.stop()


def say(server, **parameters):
    answer = server.complete(**{**ASK, **parameters})
    return answer["model"], answer["choices"][0]["text"]


def test_each_name_has_a_reply_of_its_own(adapted):
    replies = {name: say(adapted, model=name)[1] for name in ("base:1b", "first", "second")}
    assert len(set(replies.values())) == 3, replies
    assert say(adapted) == ("base:1b", replies["base:1b"])
    for name in ("first", "second"):
        assert say(adapted, model=name) == (name, replies[name])
        assert say(adapted, model=f"base:1b:{name}") == (name, replies[name])


def test_all_at_once_say_what_each_says_alone(adapted):
    names = ["first", "base:1b", "second"] * 4
    alone = {name: say(adapted, model=name)[1] for name in set(names)}
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        together = list(pool.map(lambda name: say(adapted, model=name), names))
    assert together == [(name, alone[name]) for name in names]


def test_the_list_of_models_has_them_with_their_parent(adapted):
    listed = adapted.request("GET", "/v1/models")[2]["data"]
    assert [(model["id"], model.get("parent")) for model in listed] == [
        ("base:1b", None), ("first", "base:1b"), ("second", "base:1b")]
    assert {model["state"] for model in listed} == {"ready"}
    assert len({model["max_model_len"] for model in listed}) == 1
    for name in ("second", "base:1b:second"):
        assert adapted.request("GET", f"/v1/models/{name}")[2] == listed[2]


@pytest.mark.parametrize("name", ["third", "base:1b:third", "base:1b:", ":first", "base:first", "first:first"])
def test_an_unknown_one_is_an_unknown_model(adapted, name):
    status, _, answer = adapted.request("POST", "/v1/completions", {**ASK, "model": name})
    assert status == 404 and answer["error"]["code"] == "model_not_found", answer
    assert answer["error"]["message"].endswith('this server has "base:1b", "first", "second"')
    assert adapted.request("GET", f"/v1/models/{name}")[0] == 404


def test_streams_and_other_endpoints_take_it_too(adapted):
    events = adapted.stream(**{**ASK, "model": "first"})
    assert {event["model"] for event in events} == {"first"}
    assert "".join(event["choices"][0]["text"] for event in events) == say(adapted, model="first")[1]
    assert adapted.request("POST", "/tokenize", {"model": "first", "content": "Hello"})[0] == 200


def test_a_section_has_adapters_of_its_own(tmp_path, start_server):
    path = tmp_path / "quern.conf"
    path.write_text(f"[model.a]\nfolder = {MODEL}\nload = start\nadapters = first={MODEL}/one.onnx_adapter\n"
                    f"[model.b]\nfolder = {MODELS}/gemma3-int4\n")
    server = start_server("--config", path)
    ids = [(model["id"], model["state"]) for model in server.request("GET", "/v1/models")[2]["data"]]
    assert ids[2] == ("b", "unloaded") and [id for id, _ in ids] == ["a", "first", "b"]


@pytest.mark.parametrize("adapters, says", [
    (f"bad={MODEL}/tokenizer.json", f"adapter {MODEL}/tokenizer.json: not an adapter file as onnxruntime writes them"),
    ("bad=/absent", "adapter /absent: No such file or directory"),
    ("bad", 'adapter "bad" is not NAME=FILE'),
    ("=/file", 'adapter "" is not NAME=FILE'),
    ("a=/file a=/file", 'the adapter name "a" occurs twice'),
    ("own=/file", 'the adapter name "own" occurs twice'),
])
def test_wrong_ones_end_the_start_with_a_reason(adapters, says):
    done = subprocess.run([BINARY, "serve", MODEL, "--model-id", "own", "--adapters", adapters, "--listen", "127.0.0.1:0"],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode != 0 and says in done.stderr, done.stderr
