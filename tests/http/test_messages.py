"""Anthropic's API: its official client, and requests that are wrong."""
import json
import os
import subprocess

import anthropic
import pytest

from conftest import BINARY, MODELS

DEMO = os.path.join(MODELS, "..", "..", "config", "demo")

USER = {"role": "user", "content": "Hi"}


@pytest.fixture(scope="module")
def client(demo):
    return anthropic.Anthropic(base_url=demo.url, api_key="none", max_retries=0)


def count_tokens_of_prompt(server, **body):
    """Those of the prompt that a chat completion would have."""
    prompt = server.request("POST", "/apply-template", body)[2]["prompt"]
    line = json.dumps({"text": prompt, "add_special": False})
    command = [BINARY, "tokenize", DEMO]
    return len(json.loads(subprocess.run(command, input=line, capture_output=True, text=True, check=True).stdout)["ids"])


def test_the_tokens_of_a_conversation_are_counted(demo, client):
    messages = [USER, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Bye"}]
    counted = client.messages.count_tokens(model="demo", system="Be brief.", messages=messages)
    assert counted.input_tokens == count_tokens_of_prompt(
        demo, messages=[{"role": "system", "content": "Be brief."}, *messages])


TOOL = {"name": "find", "input_schema": {"type": "object"}}


@pytest.mark.parametrize("path, body, status, kind, words", [
    ("count_tokens", "{", 400, "invalid_request_error", "JSON"),
    ("count_tokens", [], 400, "invalid_request_error", "object"),
    ("count_tokens", {}, 400, "invalid_request_error", "messages"),
    ("count_tokens", {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, 400,
     "invalid_request_error", "messages[0].content[0] is a block of type \"image\""),
    ("count_tokens", {"messages": [USER], "tools": [TOOL]}, 400, "invalid_request_error", "template"),
    ("count_tokens", {"messages": [USER], "tool_choice": {"type": "any"}}, 400, "invalid_request_error", "tool_choice"),
    ("count_tokens", {"messages": [{"role": "user", "content": "word " * 5000}]}, 400, "invalid_request_error", "context"),
    ("nothing", {}, 404, "not_found_error", "/v1/messages/nothing"),
])
def test_errors_have_anthropics_shape(demo, path, body, status, kind, words):
    answered, _, answer = demo.request("POST", f"/v1/messages/{path}".rstrip("/"), body)
    assert answered == status and answer["type"] == "error", answer
    assert answer["error"]["type"] == kind and words in answer["error"]["message"], answer
