"""Replies that must have a form: by a regular expression, choices, a grammar."""
import json
import re
import select
import signal
import socket
from contextlib import ExitStack

import pytest
from conftest import PATIENCE

PROMPT = "Once upon a time"
DATE = "[0-9]{4}-[01][0-9]-[0-3][0-9]"
LIST = 'root ::= "[" item ("," item)* "]"\nitem ::= [a-z]{1,5} | root'


def text_of(answer, index=0):
    return answer["choices"][index]["text"]


def refusal(server, **parameters):
    status, _, answer = server.request("POST", "/v1/completions", {"prompt": PROMPT, **parameters})
    assert status == 400, answer
    return answer["error"]


@pytest.mark.parametrize("parameters, pattern", [
    ({"guided_regex": DATE}, DATE),
    ({"structured_outputs": {"regex": DATE}}, DATE),
    ({"guided_choice": ["red", "reddish", "blue"]}, "red|reddish|blue"),
    ({"structured_outputs": {"choice": ["yes", "n\u00f6"]}}, "yes|n\u00f6"),
    ({"grammar": LIST}, r"\[[a-z,\[\]]+\]"),
    ({"guided_grammar": LIST}, r"\[[a-z,\[\]]+\]"),
    ({"structured_outputs": {"grammar": LIST}}, r"\[[a-z,\[\]]+\]"),
])
def test_replies_have_the_form_that_is_asked_for(demo, tiny, parameters, pattern):
    for server in (demo, tiny):
        for seed in range(4):
            ask = {"prompt": PROMPT, "max_tokens": 40, "temperature": 2, "seed": seed, **parameters}
            answer = server.complete(**ask)
            assert re.fullmatch(pattern, text_of(answer)), answer
            assert "".join(e["choices"][0]["text"] for e in server.stream(**ask)) == text_of(answer)


def test_a_reply_ends_where_it_is_complete(demo):
    answer = demo.complete(prompt=PROMPT, max_tokens=40, guided_choice=["blue", "red"])
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_few_tokens_still_make_a_whole_reply(demo):
    for max_tokens in (10, 14, 20):
        answer = demo.complete(prompt=PROMPT, max_tokens=max_tokens, guided_regex="<[a-z ]+>", temperature=1.5, seed=1)
        assert re.fullmatch("<[a-z ]+>", text_of(answer)), answer
        assert answer["usage"]["completion_tokens"] <= max_tokens


def test_with_everything_else_that_changes_a_reply(demo):
    ask = dict(prompt=PROMPT, max_tokens=30, guided_regex="[a-z]{3}( [a-z]{1,9}){2,}", seed=3, n=3, temperature=2)
    plain = demo.complete(**ask)
    assert plain == {**demo.complete(**ask, draft_tokens=0), "id": plain["id"], "created": plain["created"]}
    for extra in ({"ignore_eos": True}, {"logprobs": 3}, {"logit_bias": {"1": 100, "300": 100}}, {"top_k": 1},
                  {"repetition_penalty": 3, "presence_penalty": 2}, {"dry_multiplier": 5}, {"mirostat": 2}):
        for choice in demo.complete(**ask, **extra)["choices"]:
            assert re.fullmatch("[a-z]{3}( [a-z]{1,9}){2,}", choice["text"]), (extra, choice)
    stopped = demo.complete(**ask, stop=" ")
    assert all(re.fullmatch("[a-z]{3}", choice["text"]) for choice in stopped["choices"])


@pytest.mark.parametrize("parameters, param, says", [
    ({"guided_regex": "a", "guided_choice": ["b"]}, "guided_choice", "guided_regex"),
    ({"grammar": LIST, "structured_outputs": {"regex": "a"}}, "structured_outputs.regex", "grammar"),
    ({"grammar": 'root ::= "a"\n  | oops('}, "grammar", "line 2, column"),
    ({"grammar": 5}, "grammar", "must be a string"),
    ({"guided_regex": "(?=a)"}, "guided_regex", "look-around"),
    ({"guided_regex": "a[]"}, "guided_regex", "class"),
    ({"guided_choice": []}, "guided_choice", "not empty"),
    ({"guided_choice": ["a", 1]}, "guided_choice", "array of strings"),
    ({"structured_outputs": {"structural_tag": "{}"}}, "structured_outputs", "structural_tag"),
    ({"structured_outputs": []}, "structured_outputs", "object"),
    ({"grammar": 'root ::= "a" root'}, "grammar", "no text"),
    ({"grammar": "root ::= " + "(" * 5000}, "grammar", "deep"),
    ({"guided_regex": "[a-z]" * 140000}, "guided_regex", "too large"),
])
def test_what_is_wrong_is_refused_by_name(demo, parameters, param, says):
    error = refusal(demo, **parameters)
    assert error["param"] == param and says in error["message"], error


def test_what_asks_for_nothing_is_nothing(demo):
    plain = demo.complete(prompt=PROMPT, max_tokens=5, temperature=0)
    for parameters in ({"grammar": ""}, {"guided_regex": None}, {"structured_outputs": {"regex": None}}):
        assert text_of(demo.complete(prompt=PROMPT, max_tokens=5, temperature=0, **parameters)) == text_of(plain)


# ---- Making a grammar takes a while ----

def begin(server, number):
    """A connection on which a form that is much work has been asked for, each number another one."""
    texts = [f"{number}-{i:05}" for i in range(8_000)]
    body = json.dumps({"prompt": PROMPT, "max_tokens": 8, "guided_choice": texts}).encode()
    connection = socket.create_connection((server.host, server.port), timeout=PATIENCE)
    connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                       b"Content-Length: %d\r\n\r\n" % len(body) + body)
    return connection


def read_all(connection):
    text = b""
    while piece := connection.recv(1 << 16):
        text += piece
    return text.decode()


def test_making_grammars_holds_up_nobody(demo):
    """Others are answered before all of the forms: seen at once, unless the machine pauses just then."""
    for attempt in range(20):
        with ExitStack() as stack:
            connections = [stack.enter_context(begin(demo, 10 * attempt + i)) for i in range(8)]
            assert demo.health()["status"] == "ok"
            answered = select.select(connections, [], [], 0)[0]
            assert all(" 200 " in read_all(connection) for connection in connections)
            if len(answered) < len(connections):
                return
    raise AssertionError("nobody was answered while grammars were made")


def test_clients_that_leave_while_their_grammar_is_made_harm_nobody(start_server):
    server = start_server()
    for i in range(6):
        begin(server, i % 3).close()
    assert re.fullmatch("[a-z]+", text_of(server.complete(prompt=PROMPT, max_tokens=5, guided_regex="[a-z]+")))
    server.wait_idle()


def test_a_server_that_ends_while_grammars_are_made_answers_or_refuses(start_server):
    server = start_server()
    with ExitStack() as stack:
        connections = [stack.enter_context(begin(server, i)) for i in range(6)]
        server.health()
        server.process.send_signal(signal.SIGTERM)
        for connection in connections:
            assert re.match("HTTP/1.1 (200|503) ", read_all(connection))
    assert server.process.wait(timeout=PATIENCE) == 0


def test_equal_forms_that_come_at_once_are_the_same(demo):
    with ExitStack() as stack:
        connections = [stack.enter_context(begin(demo, -1)) for _ in range(6)]
        assert all(" 200 " in read_all(connection) for connection in connections)
