"""Several models in one daemon: chosen by name, loaded and unloaded while others answer, within one memory budget."""
import concurrent.futures
import http.client
import json
import os
import re
import shutil
import signal

import pytest

from conftest import MODELS, PATIENCE, wait_until

GEMMA = os.path.join(MODELS, "gemma3-int4")
QWEN = os.path.join(MODELS, "optimum-qwen2-q4")
ASK = {"prompt": [2, 5, 9], "max_tokens": 12, "temperature": 0, "ignore_eos": True}


@pytest.fixture
def start(tmp_path, start_server):
    """A daemon with such a configuration, which can be written anew."""
    path = tmp_path / "quern.conf"

    def start(text, *arguments):
        path.write_text(text)
        server = start_server("--config", path, *arguments)
        server.reload = lambda text: reload(server, path, text)
        return server

    return start


def reload(server, path, text):
    told = server.stderr_text().count("has been read again")
    path.write_text(text)
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: server.stderr_text().count("has been read again") > told, "the reload")


def post(server, model, **parameters):
    return server.request("POST", "/v1/completions", {**ASK, "model": model, **parameters})


def complete(server, model, **parameters):
    """The text, once the model is loaded."""
    def try_it():
        status, headers, answer = post(server, model, **parameters)
        if status == 503:
            assert answer["error"]["code"] == "model_loading" and int(headers["Retry-After"]) > 0, answer
            return None
        assert status == 200, answer
        return answer

    answer = wait_until(try_it, f"{model} to be loaded")
    return answer["model"], answer["choices"][0]["text"]


def states(server):
    return server.health()["models"]


def wait_state(server, model, state):
    wait_until(lambda: states(server)[model] == state, f"{model} to be {state}")


def begin_stream(server, model, **parameters):
    connection = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
    connection.request("POST", "/v1/completions", json.dumps(
        {**ASK, "model": model, "max_tokens": 200, "stream": True, **parameters}))
    answer = connection.getresponse()
    assert answer.status == 200
    answer.readline()
    return answer


def described(server, model):
    return server.request("GET", f"/v1/models/{model}")[2]


TWO = f"""
[model.gemma]
folder = {GEMMA}
aliases = small  gpt-3.5-turbo
load = start
[model.qwen]
folder = {QWEN}
draft-tokens = 0
"""


def test_a_request_gets_the_model_that_it_names(start, start_server):
    server = start(TWO)
    assert list(states(server)) == ["gemma", "qwen"] and states(server)["qwen"] == "unloaded"
    alone = [start_server(model=model).complete(**ASK)["choices"][0]["text"] for model in (GEMMA, QWEN)]
    assert alone[0] != alone[1]
    assert complete(server, "gemma") == complete(server, "small") == complete(server, None) == ("gemma", alone[0])
    assert complete(server, "gpt-3.5-turbo") == ("gemma", alone[0])
    assert complete(server, "qwen") == ("qwen", alone[1])
    listed = server.request("GET", "/v1/models")[2]["data"]
    assert [model["id"] for model in listed] == ["gemma", "qwen"]
    assert [model["aliases"] for model in listed] == [["small", "gpt-3.5-turbo"], []]
    assert [model["settings"]["draft_tokens"] for model in listed] == [5, 0]
    assert described(server, "small") == listed[0]
    for path, body in (("/tokenize", {"content": "a"}), ("/apply-template", {"messages": []}), ("/v1/completions", ASK)):
        status, _, answer = server.request("POST", path, {**body, "model": "llama"})
        assert status == 404 and answer["error"]["code"] == "model_not_found"
        assert 'this server has "gemma", "qwen"' in answer["error"]["message"]


@pytest.mark.parametrize("body", [
    '{"model": 5, "prompt": "a"}', '{"prompt": "a", "model": ["gemma"]}', '{"model": "gemma", "model": "qwen"}',
    '{"model": "gemma"', '["model"]', '"model"', '{"model"}', "", '{"a": {"model": "qwen"}, "prompt": 3}',
    '{"mo\\u0064el": "none", "prompt": "a"}', '{"model": "none\\u0000", "prompt": "a"}', '{"model": "\udc80"}',
])
def test_a_bad_body_is_answered_and_loads_nothing(body, start):
    server = start(f"[model.gemma]\nfolder = {GEMMA}\nload = start\n[model.qwen]\nfolder = {QWEN}\n")
    wait_state(server, "gemma", "ready")
    status, _, answer = server.request("POST", "/v1/completions", body.encode(errors="surrogateescape"))
    assert status in (400, 404) and answer["error"]["message"], answer
    assert states(server) == {"gemma": "ready", "qwen": "unloaded"}


def test_a_name_is_never_cut_short(demo):
    status, _, answer = demo.request("POST", "/tokenize", b'{"model": "none\\u0000x", "content": "a"}')
    assert status == 400 and "\\u0000" in answer["error"]["message"], answer


def test_others_are_answered_while_a_model_is_loaded(start):
    server = start(TWO)
    wait_state(server, "gemma", "ready")
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        gemma = [pool.submit(post, server, "gemma") for _ in range(12)]
        qwen = [pool.submit(complete, server, "qwen") for _ in range(12)]
        assert {answer.result()[0] for answer in gemma} == {200}
        assert len({answer.result() for answer in qwen}) == 1


def sizes(start):
    server = start(TWO.replace("draft-tokens = 0", "load = start"))
    wait_state(server, "gemma", "ready")
    wait_state(server, "qwen", "ready")
    return [described(server, model)["meta"]["size"] + described(server, model)["settings"]["kv_bytes"]
            for model in ("gemma", "qwen")]


def has_its_turn(server, model):
    status, _, answer = post(server, model)
    assert status == 200 or (status == 503 and answer["error"]["code"].startswith("model_")), answer
    return status == 200


def test_a_model_that_is_not_used_makes_room_for_another_and_one_that_is_does_not(start):
    megabytes = max(sizes(start)) // 1000000 + 1
    assert sum(sizes(start)) > megabytes * 1000000
    server = start(f"[models]\nmemory = {megabytes}\n" + TWO)
    wait_state(server, "gemma", "ready")
    stream = begin_stream(server, "gemma", n=128, logprobs=20)  # more than fits into sockets: it waits for its reader
    wait_until(lambda: post(server, "qwen")[2]["error"]["code"] == "model_memory", "the refusal")
    status, headers, answer = post(server, "qwen")
    assert (status, answer["error"]["code"]) == (503, "model_memory") and int(headers["Retry-After"]) > 0
    assert re.search(r"needs \d+ MB, but of the \d+ MB for all models \d+ MB are in use", answer["error"]["message"])
    assert states(server)["gemma"] == "ready" and all(stream.readline() for _ in range(100))
    stream.close()

    for wanted, other in (("qwen", "gemma"), ("gemma", "qwen"), ("qwen", "gemma")):
        wait_until(lambda: has_its_turn(server, wanted), f"{wanted} to come back")
        assert states(server) == {wanted: "ready", other: "unloaded"}


def test_models_that_wait_for_memory_get_it_one_after_the_other(start):
    megabytes = max(sizes(start)) // 1000000 + 1
    server = start(f"[models]\nmemory = {megabytes}\n" + TWO + f"[model.third]\nfolder = {GEMMA}\n")
    stream = begin_stream(server, "gemma", n=128, logprobs=20)
    waiting = ["qwen", "third"]
    wait_until(lambda: [has_its_turn(server, model) for model in waiting] and
               all(states(server)[model] == "waiting" for model in waiting), "both to wait")
    stream.close()

    def serve_waiting():
        waiting[:] = [model for model in waiting if not has_its_turn(server, model)]
        return not waiting

    wait_until(serve_waiting, "both to answer")
    for model in ("qwen", "third"):
        assert server.stderr_text().count(f"the model {model} is ready") == 1


def test_a_model_that_can_never_fit_says_so_and_others_go_on(start):
    server = start("[models]\nmemory = 50\n" + TWO + "kv-positions = 100000000\n")
    wait_until(lambda: post(server, "qwen")[0] == 500, "the failure")
    error = post(server, "qwen")[2]["error"]
    assert error["code"] == "model_failed" and "KV cache needs" in error["message"] and "50 MB" in error["message"]
    assert complete(server, "gemma")[0] == "gemma"


def test_a_broken_folder_is_told_and_others_go_on(start, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(QWEN, folder)
    (folder / "model.onnx").write_bytes(b"no model")
    text = TWO + f"[model.broken]\nfolder = {folder}\nload = start\n[model.none]\nfolder = {tmp_path}/none\n"
    server = start(text)
    wait_state(server, "broken", "failed")
    wait_until(lambda: post(server, "none")[0] == 500, "the failure")
    assert "none" in post(server, "none")[2]["error"]["message"]
    status, headers, answer = post(server, "broken")
    assert status == 500 and answer["error"]["code"] == "model_failed" and "model.onnx" in answer["error"]["message"]
    assert complete(server, "gemma")[0] == "gemma"
    shutil.copytree(QWEN, folder, dirs_exist_ok=True)
    server.reload(text)
    assert complete(server, "broken")[1] == complete(server, "qwen")[1]


def test_a_model_stays_while_it_makes_grammars(start):
    server = start(TWO)
    complete(server, "gemma"), complete(server, "qwen")
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(post, server, "gemma", guided_choice=[f"{n}-{i:05}" for i in range(8_000)])
                   for n in range(6)]
        server.health()
        server.reload(f"[model.qwen]\nfolder = {QWEN}\n")
        assert all(answer.result()[0] in (200, 404) for answer in answers)
    wait_until(lambda: "the model gemma is unloaded" in server.stderr_text(), "gemma to be gone")
    assert complete(server, "qwen")[0] == "qwen"


def test_a_reload_adds_removes_and_changes_models(start):
    server = start(TWO)
    texts = complete(server, "gemma")[1], complete(server, "qwen")[1]
    stream = begin_stream(server, "gemma")
    server.reload(f"[model.qwen]\nfolder = {GEMMA}\naliases = second\n[model.added]\nfolder = {QWEN}\n")
    assert post(server, "gemma")[0] == 404
    assert stream.read().decode().rstrip().endswith("[DONE]")
    assert complete(server, "second") == ("qwen", texts[0])
    assert complete(server, "added") == ("added", texts[1])
    wait_until(lambda: "the model gemma is unloaded" in server.stderr_text(), "gemma to be gone")
    assert list(states(server)) == ["qwen", "added"]
    assert complete(server, None)[0] == "qwen"


def test_a_reload_brings_models_into_the_order_of_the_file(start):
    gemma, qwen = (f"[model.{name}]\nfolder = {folder}\n" for name, folder in (("gemma", GEMMA), ("qwen", QWEN)))
    server = start(gemma + qwen)
    assert complete(server, None)[0] == "gemma"
    server.reload(f"[model.new]\nfolder = {QWEN}\n" + qwen + gemma)
    assert list(states(server)) == ["new", "qwen", "gemma"] and states(server)["gemma"] == "ready"
    assert complete(server, None)[0] == "new"
    server.reload(qwen)
    assert list(states(server)) == ["qwen"] and complete(server, None)[0] == "qwen"


def test_a_model_that_nobody_uses_is_unloaded_and_loaded_again(start):
    server = start("[models]\nidle-unload = 1\n", "--model", GEMMA)
    text = complete(server, "gemma3-int4")
    wait_state(server, "gemma3-int4", "unloaded")
    assert "max_model_len" not in described(server, "gemma3-int4")
    assert complete(server, "gemma3-int4") == text


def test_two_models_that_compute_at_once_say_what_they_say_alone(start):
    server = start(TWO)
    alone = {model: complete(server, model, max_tokens=100) for model in ("gemma", "qwen")}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        models = ["gemma", "qwen"] * 8
        together = list(pool.map(lambda model: complete(server, model, max_tokens=100), models))
    assert together == [alone[model] for model in models]
