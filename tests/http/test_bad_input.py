"""Requests that are wrong: each is told what is wrong, in OpenAI's shape, and the server goes on."""
import json

import pytest

WORDS = "Once upon a time"
FAR_TOO_LONG = [2] * 5000  # ids; the demo model's context is 1024

# What the request says, and the status and parameter that the error must name.
BAD_REQUESTS = [
    ({}, 400, "prompt"),
    ({"prompt": None}, 400, "prompt"),
    ({"prompt": 7}, 400, "prompt"),
    ({"prompt": []}, 400, "prompt"),
    ({"prompt": [[]]}, 400, "prompt"),
    ({"prompt": ["a", 1]}, 400, "prompt"),
    ({"prompt": [1.5]}, 400, "prompt"),
    ({"prompt": [-1]}, 400, "prompt"),
    ({"prompt": [10**9]}, 400, "prompt"),
    ({"prompt": [1e300]}, 400, "prompt"),
    ({"prompt": FAR_TOO_LONG}, 400, "prompt"),
    ({"prompt": WORDS, "max_tokens": -2}, 400, "max_tokens"),
    ({"prompt": WORDS, "max_tokens": "many"}, 400, "max_tokens"),
    ({"prompt": WORDS, "max_tokens": 1.5}, 400, "max_tokens"),
    ({"prompt": WORDS, "temperature": -0.1}, 400, "temperature"),
    ({"prompt": WORDS, "temperature": "hot"}, 400, "temperature"),
    ({"prompt": WORDS, "top_p": 1.1}, 400, "top_p"),
    ({"prompt": WORDS, "min_p": -1}, 400, "min_p"),
    ({"prompt": WORDS, "n": 0}, 400, "n"),
    ({"prompt": WORDS, "n": 10**6}, 400, "n"),
    ({"prompt": WORDS, "stop": 3}, 400, "stop"),
    ({"prompt": WORDS, "stop": [""]}, 400, "stop"),
    ({"prompt": WORDS, "stop": ["x"] * 100}, 400, "stop"),
    ({"prompt": WORDS, "logit_bias": {"word": 1}}, 400, "logit_bias"),
    ({"prompt": WORDS, "logit_bias": {"999999": 1}}, 400, "logit_bias"),
    ({"prompt": WORDS, "logit_bias": {"1": "much"}}, 400, "logit_bias"),
    ({"prompt": WORDS, "stream": "yes"}, 400, "stream"),
    ({"prompt": WORDS, "echo": 1}, 400, "echo"),
    ({"prompt": WORDS, "seed": 0.5}, 400, "seed"),
    ({"prompt": WORDS, "logprobs": 21}, 400, "logprobs"),
    ({"prompt": WORDS, "logprobs": True}, 400, "logprobs"),
    ({"prompt": WORDS, "suffix": "end"}, 400, "suffix"),
    ({"prompt": WORDS, "best_of": 3, "stream": True}, 400, "best_of"),
    ({"prompt": WORDS, "best_of": 2, "n": 3}, 400, "best_of"),
    ({"prompt": WORDS, "typical_p": -1}, 400, "typical_p"),
    ({"prompt": WORDS, "dynatemp_range": "wide"}, 400, "dynatemp_range"),
    ({"prompt": WORDS, "xtc_probability": 2}, 400, "xtc_probability"),
    ({"prompt": WORDS, "mirostat": 1}, 400, "mirostat"),
    ({"prompt": WORDS, "mirostat_tau": -1}, 400, "mirostat_tau"),
    ({"prompt": WORDS, "repeat_last_n": -2}, 400, "repeat_last_n"),
    ({"prompt": WORDS, "repeat_penalty": 0}, 400, "repeat_penalty"),
    ({"prompt": WORDS, "dry_base": 0.5}, 400, "dry_base"),
    ({"prompt": WORDS, "dry_sequence_breakers": [1]}, 400, "dry_sequence_breakers"),
    ({"prompt": WORDS, "dry_sequence_breakers": [""]}, 400, "dry_sequence_breakers"),
    ({"prompt": WORDS, "model": "nobody"}, 404, "model"),
    ({"prompt": WORDS, "model": 5}, 400, "model"),
]


def assert_is_error(answer):
    assert set(answer) == {"error"}, answer
    assert {"message", "type", "param", "code"} <= set(answer["error"]), answer
    assert answer["error"]["message"], answer


@pytest.mark.parametrize("request_body, status, param", BAD_REQUESTS,
                         ids=[json.dumps(case[0])[:60] for case in BAD_REQUESTS])
def test_an_error_names_its_parameter(demo, request_body, status, param):
    got, _, answer = demo.request("POST", "/v1/completions", request_body)
    assert got == status, answer
    assert_is_error(answer)
    message = answer["error"]["message"]
    assert answer["error"]["param"] == param and (" must " not in message or ", but " in message), answer


def test_a_prompt_beyond_the_context_is_told_both_numbers(demo):
    _, _, answer = demo.request("POST", "/v1/completions", {"prompt": FAR_TOO_LONG})
    message = answer["error"]["message"]
    # Clients that do not look at the code look for these words.
    assert message.startswith("This model's maximum context length is 1024 tokens") and "5000" in message, answer


@pytest.mark.parametrize("body", [
    b"",
    b"{",
    b'{"prompt": "a"} x',
    b'{"prompt": "a\nb"}',
    b'{"prompt": "a",}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"prompt": "\xff"}',
    b'{"prompt": "\xc0\xaf"}',
    b'{"prompt": "\xed\xa0\x80"}',
    b'{"prompt": "\\ud800"}',
    b'{"prompt": "a\\u0000b"}',
    b'{"prompt": "a", "prompt": "b"}',
    b'{"prompt": "a", "stream_options": {"include_usage": true, "include_usage": false}}',
    b'{"prompt": "a", "max_tokens": 01}',
    b"\0",
    b"[1, 2]",
    b'"text"',
    b"null",
], ids=lambda body: repr(body[:24]))
def test_a_body_that_is_no_json_object_is_refused(demo, body):
    status, _, answer = demo.request("POST", "/v1/completions", body)
    assert status == 400, answer
    assert_is_error(answer)


@pytest.mark.parametrize("name", ["k{}", "{}", "key number {}", "{}" + 20 * "x"])
def test_a_hundred_thousand_names_keep_nobody_waiting(demo, name):
    members = {name.format(i): i for i in range(100_000)}
    body = {"messages": [{"role": "user", "content": "Hi"}], "chat_template_kwargs": members}
    assert demo.request("POST", "/apply-template", body)[0] in (200, 413)


def test_unknown_names_are_ignored(demo):
    assert demo.complete(prompt=WORDS, max_tokens=2, ignore_eos=True, colour={"a": [1]})["choices"]


@pytest.mark.parametrize("method, path, status, allow", [
    ("POST", "/", 405, {"GET", "HEAD"}),
    ("GET", "/v1/completions/x", 404, None),
    ("POST", "/v2/completions", 404, None),
    ("GET", "/v1/models/nobody", 404, None),
    ("GET", "/v1/completions", 405, {"POST"}),
    ("DELETE", "/health", 405, {"GET", "HEAD"}),
    ("POST", "/v1/models", 405, {"GET", "HEAD"}),
    ("GET", "/v1/responses/input_tokens", 405, {"POST"}),  # and not what is answered below /v1/responses/
    ("PUT", "/v1/responses/resp_1", 405, {"GET", "HEAD", "POST", "DELETE"}),
])
def test_unknown_paths_and_methods(demo, method, path, status, allow):
    got, headers, answer = demo.request(method, path, b"{}" if method == "POST" else None)
    assert got == status, answer
    assert_is_error(answer)
    if allow:
        assert sorted(word.strip() for word in headers["Allow"].split(",")) == sorted(allow), headers["Allow"]


@pytest.mark.parametrize("path, hint", [
    ("/chat/completions", "/v1"), ("/models", "/v1"), ("/models/demo", "/v1"), ("/v1/v1/models", "/openapi.json"),
    ("/api/chat", "/openapi.json"),
])
def test_who_asks_at_a_wrong_path_hears_where_to_look(demo, path, hint):
    status, _, answer = demo.request("GET", path)
    assert status == 404 and path in answer["error"]["message"] and hint in answer["error"]["message"], answer
    assert answer["error"]["code"] == "not_found"


def test_head_answers_as_get_without_a_body(demo):
    status, _, text = demo.request("HEAD", "/health")
    assert (status, text) == (200, "")


@pytest.mark.parametrize("headers", [{}, {"Expect": "100-continue"}], ids=["sent at once", "announced"])
def test_a_body_over_the_limit_gets_413(start_server, headers):
    server = start_server("--max-body", "4096")
    status, _, answer = server.request("POST", "/v1/completions", b" " * 200_000, headers)
    assert status == 413, answer
    assert_is_error(answer)
    assert server.request("GET", "/health")[0] == 200
