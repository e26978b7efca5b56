"""POST /tokenize and /detokenize, in the form of llama-server, and what GET /v1/models says."""
import json
import os
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import MODELS, PATIENCE

TEXTS = ["", "Once upon a time", "  two  spaces\n\tand a tab ", "été — 世界 👩‍👩‍👧 \u0085\u2028 \"\\\x7f", "<bos>a<eos>"]


@pytest.fixture
def bytelevel(tmp_path):
    """A model whose tokens are made of all 256 bytes."""
    shutil.copytree(os.path.join(MODELS, "gemma3-int4"), tmp_path / "model")
    shutil.copy(os.path.join(MODELS, "..", "tokenizers", "bytelevel", "tokenizer.json"), tmp_path / "model")
    return str(tmp_path / "model")


def post(server, path, **body):
    status, _, answer = server.request("POST", path, body)
    assert status == 200, answer
    return answer


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_become_the_text_again(demo, text):
    tokens = post(demo, "/tokenize", content=text)["tokens"]
    assert all(isinstance(token, int) for token in tokens)
    assert post(demo, "/detokenize", tokens=tokens) == {"content": text}


def test_pieces_put_together_are_the_text(demo):
    text = "Once 世界 👩‍👩‍👧\n<eos>"
    tokens = post(demo, "/tokenize", content=text)["tokens"]
    pieces = post(demo, "/tokenize", content=text, with_pieces=True)["tokens"]
    assert [piece["id"] for piece in pieces] == tokens
    joined = b"".join(bytes(piece["piece"]) if isinstance(piece["piece"], list) else piece["piece"].encode()
                      for piece in pieces)
    assert joined.decode().strip() == text and any(isinstance(piece["piece"], list) for piece in pieces)


def test_special_tokens_are_put_around_and_read_as_asked(demo):
    plain = post(demo, "/tokenize", content="<eos>", parse_special=False)["tokens"]
    special = post(demo, "/tokenize", content="<eos>")["tokens"]
    assert len(special) == 1 and len(plain) > 1 and special[0] not in plain
    assert post(demo, "/detokenize", tokens=plain)["content"] == "<eos>"
    prompt = demo.complete(prompt="Once", max_tokens=1)["usage"]["prompt_tokens"]
    assert len(post(demo, "/tokenize", content="Once", add_special=True)["tokens"]) == prompt
    assert len(post(demo, "/tokenize", content="Once")["tokens"]) == prompt - 1


@pytest.mark.parametrize("path, body, param", [
    ("/tokenize", {}, "content"),
    ("/tokenize", {"content": 5}, "content"),
    ("/tokenize", {"content": ["a"]}, "content"),
    ("/tokenize", {"content": "a", "add_special": 1}, "add_special"),
    ("/tokenize", {"content": "a", "with_pieces": "yes"}, "with_pieces"),
    ("/detokenize", {}, "tokens"),
    ("/detokenize", {"tokens": "a"}, "tokens"),
    ("/detokenize", {"tokens": [-1]}, "tokens"),
    ("/detokenize", {"tokens": [1, 2.5]}, "tokens"),
    ("/detokenize", {"tokens": [10**9]}, "tokens"),
    ("/detokenize", {"tokens": [[1]]}, "tokens"),
])
def test_an_error_names_its_parameter(demo, path, body, param):
    status, _, answer = demo.request("POST", path, body)
    assert status == 400 and answer["error"]["param"] == param, answer


def test_another_model_is_not_found(demo):
    status, _, answer = demo.request("POST", "/tokenize", {"content": "a", "model": "gpt-4"})
    assert status == 404 and answer["error"]["code"] == "model_not_found", answer


def test_a_zero_byte_is_refused_and_told_exactly(start_server, demo, bytelevel):
    status, _, answer = demo.request("POST", "/tokenize", {"content": "a\0b"})
    assert status == 400 and "content" in answer["error"]["message"], answer
    server = start_server("--no-cache", model=bytelevel)
    vocabulary = json.load(open(f"{bytelevel}/tokenizer.json"))["model"]["vocab"]
    assert post(server, "/detokenize", tokens=[vocabulary["a"], vocabulary["Ā"], vocabulary["b"]])["content"] == "a\0b"


def test_long_texts_are_tokenized_beside_other_requests(demo):
    text = "Once upon a time there was a fox. " * 20_000
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: post(demo, "/tokenize", content=text), range(4)))
    assert all(answer == answers[0] for answer in answers)
    assert post(demo, "/detokenize", **answers[0])["content"] == text


def test_a_client_that_leaves_while_its_text_is_tokenized_harms_nobody(start_server):
    server = start_server()
    body = json.dumps({"content": "fox " * 500_000, "with_pieces": True}).encode()
    for _ in range(3):
        with socket.create_connection((server.host, server.port), timeout=PATIENCE) as connection:
            connection.sendall(b"POST /tokenize HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert post(server, "/tokenize", content="a")["tokens"]


def test_models_tell_their_context_and_settings(start_server):
    server = start_server("--kv-positions", 256, "--kv-dtype", "int8", "--max-sessions", 3)
    model = server.request("GET", "/v1/models")[2]["data"][0]
    assert model == server.request("GET", "/v1/models/demo")[2]
    assert model["max_model_len"] == 256 and model["meta"]["n_ctx_train"] == 1024
    assert model["settings"]["kv_dtype"] == "int8" and model["settings"]["max_sessions"] == 3
    status, _, answer = server.request("POST", "/v1/completions", {"prompt": [2] * 256})
    assert status == 400 and answer["error"]["code"] == "context_length_exceeded", answer
