"""Anthropic's API: its official client, and requests that are wrong."""
import json
import subprocess

import anthropic
import pytest

from conftest import BINARY, Server
from tool_models import DEMO, make_model

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


TOOL = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 9}},
                                           "required": ["city"]}}
CALL = 'I look. <tool_call>{"name": "weather", "arguments": {"city": "Ulm", "n": 1.50}}</tool_call>'


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    """A client of a server whose model knows tools."""
    server = Server("--no-cache", model=make_model(tmp_path_factory.mktemp("tools") / "model", "hermes"))
    yield anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0)
    server.stop()


def test_a_message_and_its_stream_say_the_same(client):
    ask = {"model": "demo", "max_tokens": 12, "messages": [{"role": "user", "content": "Tell me a story."}],
           "extra_body": {"temperature": 0, "ignore_eos": True}}
    message = client.messages.create(**ask)
    assert (message.type, message.role, message.model) == ("message", "assistant", "demo")
    assert message.content[0].type == "text" and message.content[0].text
    assert message.stop_reason == "max_tokens" and message.stop_sequence is None
    usage = message.usage
    counted = client.messages.count_tokens(model="demo", messages=ask["messages"]).input_tokens
    assert usage.output_tokens == 12 and usage.input_tokens + usage.cache_read_input_tokens == counted
    with client.messages.stream(**ask) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert [kind for kind in kinds if "content" not in kind and kind != "text"] == [
        "message_start", "message_delta", "message_stop"]
    assert final.content[0].text == message.content[0].text and final.stop_reason == "max_tokens"
    assert final.usage.output_tokens == 12


def test_events_have_names_and_a_ping(demo):
    text = demo.request("POST", "/v1/messages", {"max_tokens": 2, "messages": [USER], "stream": True})[2]
    events = [event.split("\n") for event in text.strip().split("\n\n")]
    names = [name.removeprefix("event: ") for name, _ in events]
    assert names[:3] == ["message_start", "ping", "content_block_start"] and names[-1] == "message_stop"
    assert [json.loads(data.removeprefix("data: "))["type"] for _, data in events] == names


def test_a_stop_sequence_is_named(client):
    ask = {"model": "demo", "max_tokens": 30, "messages": [USER], "extra_body": {"temperature": 0}}
    whole = client.messages.create(**ask).content[0].text
    stop = whole[len(whole) // 2:][:4]
    message = client.messages.create(**ask, stop_sequences=["no such text", stop])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", stop)
    assert "".join(block.text for block in message.content) == whole[:whole.index(stop)]


def test_the_reply_goes_on_from_its_beginning(demo, client):
    messages = [{"role": "user", "content": "Tell me a story."}, {"role": "assistant", "content": "Once upon"}]
    counted = client.messages.count_tokens(model="demo", messages=messages).input_tokens
    body = {"messages": messages, "add_generation_prompt": False, "continue_final_message": True}
    assert counted == count_tokens_of_prompt(demo, **body)


def test_tools_are_used(tools):
    ask = {"model": "model", "max_tokens": 200, "tools": [TOOL], "messages": [USER], "extra_body": {"guided_choice": [CALL]}}
    message = tools.messages.create(**ask)
    text, use = message.content
    assert text.text == "I look." and (use.type, use.name, use.input) == ("tool_use", "weather", {"city": "Ulm", "n": 1.5})
    assert message.stop_reason == "tool_use"
    with tools.messages.stream(**ask) as stream:
        final = stream.get_final_message()
    assert final.content[0].text == "I look." and final.content[1].input == use.input
    assert final.stop_reason == "tool_use" and final.content[1].id
    result = {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "sunny"}]}
    messages = [USER, {"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
    assert tools.messages.create(model="model", max_tokens=2, tools=[TOOL], messages=messages).content


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "weather"}])
def test_a_tool_can_be_forced(tools, choice):
    message = tools.messages.create(model="model", max_tokens=200, tools=[TOOL], tool_choice=choice, messages=[USER])
    use, = message.content
    assert use.name == "weather" and set(use.input) == {"city"} and len(use.input["city"]) <= 9


def test_a_reply_has_the_form_that_is_asked_for(client):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
    config = {"format": {"type": "json_schema", "schema": schema}}
    message = client.messages.create(model="demo", max_tokens=40, messages=[USER], output_config=config)
    assert isinstance(json.loads(message.content[0].text)["n"], int)


def test_an_unfinished_call_still_has_an_input(tools):
    body = {"guided_choice": [CALL.replace("Ulm", "Ulm" * 1000)]}
    message = tools.messages.create(model="model", max_tokens=120, tools=[TOOL], messages=[USER], extra_body=body)
    assert message.content[-1].type == "tool_use", message.content
    assert message.stop_reason == "max_tokens" and list(message.content[-1].input) == ["INVALID_JSON"]


@pytest.mark.parametrize("path, body, status, kind, words", [
    ("/count_tokens", "{", 400, "invalid_request_error", "JSON"),
    ("/count_tokens", [], 400, "invalid_request_error", "object"),
    ("/count_tokens", {}, 400, "invalid_request_error", "messages"),
    ("/count_tokens", {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, 400,
     "invalid_request_error", "messages[0].content[0] is a block of type \"image\""),
    ("/count_tokens", {"messages": [USER], "tools": [TOOL]}, 400, "invalid_request_error", "template"),
    ("/count_tokens", {"messages": [USER], "tool_choice": {"type": "any"}}, 400, "invalid_request_error", "tool_choice"),
    ("/count_tokens", {"messages": [USER], "model": "claude"}, 404, "not_found_error", "claude"),
    ("/count_tokens", {"messages": [{"role": "user", "content": "word " * 5000}]}, 400, "invalid_request_error", "context"),
    ("", {"messages": [USER]}, 400, "invalid_request_error", "max_tokens is required"),
    ("", {"messages": [USER], "max_tokens": -2}, 400, "invalid_request_error", "max_tokens"),
    ("", {"messages": [USER], "max_tokens": 1, "temperature": 9}, 400, "invalid_request_error", "temperature"),
    ("", {"messages": [USER], "max_tokens": 1, "stop_sequences": "x"}, 400, "invalid_request_error", "stop_sequences"),
    ("", {"messages": [USER], "max_tokens": 1, "output_config": {"format": {"type": "xml"}}}, 400, "invalid_request_error", "output_config"),
    ("", {"messages": [USER], "max_tokens": 1, "mcp_servers": [{}]}, 400, "invalid_request_error", "mcp_servers"),
    ("", {"messages": [USER, {"role": "assistant", "content": "a"}], "max_tokens": "x"}, 400, "invalid_request_error", "max"),
    ("/nothing", {}, 404, "not_found_error", "/v1/messages/nothing"),
])
def test_errors_have_anthropics_shape(demo, path, body, status, kind, words):
    answered, _, answer = demo.request("POST", f"/v1/messages{path}", body)
    assert answered == status and answer["type"] == "error", answer
    assert answer["error"]["type"] == kind and words in answer["error"]["message"], answer


def test_the_client_raises_what_the_server_says(client):
    with pytest.raises(anthropic.BadRequestError, match="image"):
        client.messages.create(model="demo", max_tokens=1, messages=[{"role": "user", "content": [
            {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}]}])
    with pytest.raises(anthropic.NotFoundError, match="claude"):
        client.messages.create(model="claude", max_tokens=1, messages=[USER])


def test_the_client_finds_the_id_of_its_request(client, demo):
    told = client.messages.create(model="demo", max_tokens=1, messages=[USER], extra_headers={"X-Request-Id": "mine-1"})
    assert told._request_id == "mine-1"
    with pytest.raises(anthropic.NotFoundError) as refused:
        client.messages.create(model="claude", max_tokens=1, messages=[USER], extra_headers={"X-Request-Id": "mine-2"})
    assert refused.value.request_id == "mine-2"
    assert "Request-Id" not in demo.request("GET", "/v1/models")[1]


def test_tokens_and_timings_are_told_on_request(demo):
    ask = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "temperature": 0, "return_tokens": True,
           "timings_per_token": True}
    whole = demo.request("POST", "/v1/messages", ask)[2]
    assert len(whole["tokens"]) == whole["timings"]["predicted_n"] == whole["usage"]["output_tokens"] == 5
    last = json.loads(demo.events("/v1/messages", **ask)[-2].partition("data: ")[2])
    assert last["type"] == "message_delta" and last["tokens"] == whole["tokens"] and last["timings"]["predicted_n"] == 5
