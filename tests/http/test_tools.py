"""Calls of tools in chat completions, by the official client."""
import json

import openai
import pytest

from conftest import Server
from tool_models import FAMILIES, make_model

CITY = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 10}, "days": {"type": "integer"}},
        "required": ["city", "days"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Tells it", "parameters": CITY}},
         {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}]
ASK = [{"role": "user", "content": "What is it like in Ulm?"}]
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Ulm", "days": 1}}\n</tool_call>'
OTHER = '<tool_call>{"name": "now", "arguments": {}}</tool_call>'


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    server = Server("--no-cache", model=make_model(tmp_path_factory.mktemp("tools") / "model", request.param))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def hermes(tmp_path_factory):
    server = Server("--no-cache", model=make_model(tmp_path_factory.mktemp("tools") / "model", "hermes"))
    yield server
    server.stop()


def chat(server, **body):
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    return client.chat.completions.create(model="model", messages=body.pop("messages", ASK), **body)


def say(server, reply, **body):
    """Makes the model say it, which it would not by itself."""
    return chat(server, tools=TOOLS, extra_body={"guided_choice": [reply]}, **body)


def gather(stream):
    """The text, the calls and the finish reason of a streamed choice."""
    text, calls, finish = "", [], None
    for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
            for call in choice.delta.tool_calls or []:
                if call.id:
                    assert call.index == len(calls) and call.type == "function"
                    calls.append([call.function.name, ""])
                calls[call.index][1] += call.function.arguments or ""
    return text, calls, finish


def test_a_call_is_read_out_of_the_reply(hermes):
    choice = say(hermes, "I look.\n" + CALL).choices[0]
    call = choice.message.tool_calls[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content == "I look."
    assert (call.type, call.function.name) == ("function", "weather") and call.id
    assert call.function.arguments == '{"city": "Ulm", "days": 1}'
    assert say(hermes, CALL).choices[0].message.content is None


def test_a_streamed_call_comes_in_pieces(hermes):
    stream = list(say(hermes, "I look.\n" + CALL + "\n" + OTHER, stream=True))
    assert gather(stream) == ("I look.", [["weather", '{"city": "Ulm", "days": 1}'], ["now", "{}"]], "tool_calls")
    pieces = [chunk for chunk in stream for choice in chunk.choices for call in choice.delta.tool_calls or []]
    assert len(pieces) > 4, "the arguments came at once"


def test_without_parallel_calls_the_reply_ends_with_the_first(hermes):
    for stream in False, True:
        answer = say(hermes, CALL + OTHER, parallel_tool_calls=False, stream=stream)
        calls = gather(answer)[1] if stream else [[call.function.name] for call in answer.choices[0].message.tool_calls]
        assert [call[0] for call in calls] == ["weather"]
    hermes.wait_idle()


def test_what_is_no_call_is_text(hermes):
    broken = CALL.replace("weather", "wether")
    choice = say(hermes, broken).choices[0]
    assert choice.message.content == broken and not choice.message.tool_calls and choice.finish_reason == "stop"
    choice = say(hermes, CALL, tool_choice="none").choices[0]
    assert choice.message.content == CALL and not choice.message.tool_calls


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_can_be_required(family, stream):
    for choice in "required", {"type": "function", "function": {"name": "weather"}}:
        answer = chat(family, tools=TOOLS, tool_choice=choice, seed=1, stream=stream, max_tokens=200)
        if stream:
            text, calls, finish = gather(answer)
        else:
            message, finish = answer.choices[0].message, answer.choices[0].finish_reason
            text, calls = message.content or "", [[c.function.name, c.function.arguments] for c in message.tool_calls]
        assert finish == "tool_calls" and text == "" and len(calls) == 1, (text, calls)
        name, arguments = calls[0][0], json.loads(calls[0][1])
        assert name == "weather" or (choice == "required" and name == "now"), name
        assert arguments == {} if name == "now" else (set(arguments) == {"city", "days"} and len(arguments["city"]) <= 10)


def allowed(mode, *names):
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


def test_only_tools_that_are_allowed_are_called(hermes):
    choice = say(hermes, OTHER + CALL, tool_choice=allowed("auto", "weather")).choices[0]
    assert choice.message.content == OTHER and [call.function.name for call in choice.message.tool_calls] == ["weather"]
    for name in "weather", "now":
        answer = chat(hermes, tools=TOOLS, tool_choice=allowed("required", name), seed=1, max_tokens=200)
        assert [call.function.name for call in answer.choices[0].message.tool_calls] == [name]
    prompts = {chat(hermes, tools=TOOLS, tool_choice=choice, max_tokens=1).usage.prompt_tokens
               for choice in ("auto", allowed("auto", "now"))}
    assert len(prompts) == 1, "the prompt has lost a tool"


@pytest.mark.parametrize("family", ["harmony"], indirect=True)
def test_channels_are_thoughts_text_and_calls(family):
    reply = ("<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>I look.<|end|>"
             '<|start|>assistant<|channel|>commentary to=functions.now <|constrain|>json<|message|>{"a": 1}<|call|>')
    message = say(family, reply).choices[0].message
    assert (message.reasoning_content, message.content) == ("Hm.", "I look.")
    assert [(call.function.name, call.function.arguments) for call in message.tool_calls] == [("now", '{"a": 1}')]
    plain = chat(family, extra_body={"guided_choice": ["<|channel|>final<|message|>Hi"]}).choices[0]
    assert plain.message.content == "Hi" and plain.finish_reason == "stop"


def test_results_go_back_into_the_conversation(hermes):
    message = say(hermes, CALL).choices[0].message
    conversation = [*ASK, message.model_dump(exclude_none=True),
                    {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"}]
    prompt = hermes.request("POST", "/apply-template", {"messages": conversation, "tools": TOOLS})[2]["prompt"]
    assert '"arguments": {"city": "Ulm", "days": 1}' in prompt and "sunny" in prompt
    assert chat(hermes, messages=conversation, tools=TOOLS, max_tokens=2).choices


@pytest.mark.parametrize("body, param", [
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0]"),
    ({"tools": TOOLS + TOOLS}, "tools"),
    ({"tools": TOOLS, "tool_choice": "sometimes"}, "tool_choice"),
    ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "then"}}}, "tool_choice"),
    ({"tools": TOOLS, "tool_choice": allowed("auto", "then")}, "tool_choice"),
    ({"tools": TOOLS, "tool_choice": allowed("none")}, "tool_choice"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": TOOLS, "tool_choice": "required", "response_format": {"type": "json_object"}}, "tool_choice"),
    ({"tools": TOOLS, "tool_choice": "required", "continue_final_message": True, "add_generation_prompt": False,
      "messages": [*ASK, {"role": "assistant", "content": "It"}]}, "tool_choice"),
    ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties":
      {"a": {"enum": []}}, "required": ["a"]}}}], "tool_choice": "required"}, "tools"),
    ({"functions": [{"name": "f"}]}, "functions"),
])
def test_an_error_names_what_is_wrong(hermes, body, param):
    status, _, answer = hermes.request("POST", "/v1/chat/completions", {"messages": ASK, **body})
    assert status == 400 and answer["error"]["param"] == param, answer


def test_a_template_that_knows_no_tools_says_so(demo):
    status, _, answer = demo.request("POST", "/v1/chat/completions", {"messages": ASK, "tools": TOOLS})
    assert status == 400 and "template" in answer["error"]["message"], answer


def test_a_response_calls_a_required_tool_once(hermes):
    tools = [{"type": "function", **tool["function"]} for tool in TOOLS]
    client = openai.OpenAI(base_url=f"{hermes.url}/v1", api_key="none", max_retries=0)
    response = client.responses.create(model="model", input="Weather?", tools=tools, tool_choice="required", max_output_tokens=200)
    call, = response.output
    assert call.type == "function_call" and call.name in ("weather", "now") and json.loads(call.arguments) is not None
    one = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "now"}]}
    response = client.responses.create(model="model", input="Weather?", tools=tools, tool_choice=one, max_output_tokens=200)
    assert [item.name for item in response.output] == ["now"]
    response = client.responses.create(model="model", input="Weather?", tools=tools, parallel_tool_calls=False,
                                       extra_body={"guided_choice": [CALL + OTHER]})
    assert [item.name for item in response.output] == ["weather"]
