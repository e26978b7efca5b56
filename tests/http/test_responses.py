"""Responses: what they say, whole and streamed, and what the official client makes of them."""
import json

import openai
import pytest

GREEDY = {"input": "Hi", "temperature": 0}


def respond(server, **body):
    return server.post("/v1/responses", **body)


def stream(server, **body):
    """The events of a stream, each with the name that its data has."""
    events = []
    for event in server.events("/v1/responses", **body):
        name, data = event.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


def text_of(response):
    return response["output"][0]["content"][0]["text"]


def test_a_response_says_what_a_chat_completion_says(demo):
    response = respond(demo, **GREEDY, instructions="Be brief.", metadata={"a": "b"})
    chat = demo.request("POST", "/v1/chat/completions", {"temperature": 0, "messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]})[2]
    assert text_of(response) == chat["choices"][0]["message"]["content"] != ""
    assert (response["object"], response["status"], response["model"]) == ("response", "completed", "demo")
    assert response["id"].startswith("resp_") and response["output"][0]["id"].startswith("msg_")
    assert response["instructions"] == "Be brief." and response["metadata"] == {"a": "b"} and response["store"] is False
    assert response["usage"]["input_tokens"] == chat["usage"]["prompt_tokens"]
    assert response["usage"]["output_tokens"] == chat["usage"]["completion_tokens"]


def test_items_are_the_messages_of_a_conversation(demo):
    items = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
             {"type": "reasoning", "id": "rs_1", "summary": []},
             {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
              "content": [{"type": "output_text", "text": "Hello!", "annotations": []}]},
             {"role": "user", "content": "Bye"}]
    chat = demo.request("POST", "/v1/chat/completions", {"temperature": 0, "messages": [
        {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "Bye"}]})[2]
    assert text_of(respond(demo, input=items, temperature=0)) == chat["choices"][0]["message"]["content"]


def test_a_response_that_is_cut_off_is_incomplete(demo):
    response = respond(demo, **GREEDY, max_output_tokens=3)
    assert response["status"] == "incomplete" and response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["output"][0]["status"] == "incomplete" and response["usage"]["output_tokens"] == 3
    assert stream(demo, **GREEDY, max_output_tokens=3)[-1]["type"] == "response.incomplete"


def test_a_stream_tells_each_part_of_the_response(demo):
    whole = respond(demo, **GREEDY)
    events = stream(demo, **GREEDY)
    types = [event["type"].removeprefix("response.") for event in events]
    assert types[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert types[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert set(types[4:-4]) == {"output_text.delta"} and len(types) > 12
    assert "".join(event["delta"] for event in events[4:-4]) == text_of(whole) == events[-4]["text"]
    last = events[-1]["response"]
    assert last["output"] == [events[-2]["item"]] and text_of(last) == text_of(whole)
    assert last["usage"]["output_tokens"] == whole["usage"]["output_tokens"]
    assert {event["item_id"] for event in events[3:-2]} == {last["output"][0]["id"]}


def test_the_text_has_the_form_that_is_asked_for(demo):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
    response = respond(demo, **GREEDY, text={"format": {"type": "json_schema", "name": "n", "schema": schema}})
    assert list(json.loads(text_of(response))) == ["n"]
    assert response["text"]["format"]["schema"] == schema


BAD_REQUESTS = [
    ({"input": None}, "input"),
    ({"input": []}, "input"),
    ({"input": 7}, "input"),
    ({"input": ["Hi"]}, "input[0]"),
    ({"input": [{"role": "robot", "content": "x"}]}, "input[0]"),
    ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input[0]"),
    ({"input": [{"role": "user", "content": "x"}, {"type": "item_reference", "id": "msg_1"}]}, "input[1]"),
    ({"input": [{"type": "function_call", "name": "f"}]}, "input[0]"),
    ({"input": "fox " * 3000}, "input"),
    ({"instructions": 3}, "instructions"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"temperature": 3}, "temperature"),
    ({"store": True}, "store"),
    ({"previous_response_id": "resp_1"}, "previous_response_id"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"background": True}, "background"),
    ({"prompt": {"id": "p"}}, "prompt"),
    ({"truncation": "auto"}, "truncation"),
    ({"include": [7]}, "include"),
    ({"include": "message.output_text.logprobs"}, "include"),
    ({"top_logprobs": 21}, "top_logprobs"),
    ({"tools": [{"type": "web_search"}]}, "tools[0]"),
    ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0]"),
    ({"tools": [{"type": "function", "name": "f", "parameters": {}}]}, "tools"),
    ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice"),
    ({"text": {"format": {"type": "xml"}}}, "text.format"),
    ({"text": 3}, "text"),
    ({"reasoning": 3}, "reasoning"),
]


@pytest.mark.parametrize("body, param", BAD_REQUESTS, ids=[json.dumps(case[0])[:60] for case in BAD_REQUESTS])
def test_an_error_names_its_parameter(demo, body, param):
    status, _, answer = demo.request("POST", "/v1/responses", {"input": "Hi", **body})
    assert status == 400 and answer["error"]["param"] == param, answer
    assert " must " not in answer["error"]["message"] or ", but " in answer["error"]["message"], answer


def test_the_tokens_of_an_input_are_counted(client):
    ask = {"model": "demo", "input": [{"role": "user", "content": "Hi"}], "instructions": "Be brief."}
    counted = client.responses.input_tokens.count(**ask)
    assert counted.object == "response.input_tokens"
    assert counted.input_tokens == client.responses.create(**ask, max_output_tokens=1).usage.input_tokens


def test_what_changes_no_response_is_ignored(demo):
    assert respond(demo, **GREEDY, store=False, truncation="disabled", include=["reasoning.encrypted_content"], n=5,
                   max_tokens=1, tools=[], background=False, service_tier="auto")["status"] == "completed"


@pytest.mark.parametrize("method, path", [("GET", "resp_1"), ("DELETE", "resp_1"), ("POST", "resp_1/cancel")])
def test_no_response_is_kept(demo, method, path):
    status, _, answer = demo.request(method, f"/v1/responses/{path}", b"{}" if method == "POST" else None)
    assert status == 404 and "not kept" in answer["error"]["message"]


def test_the_openai_client_gets_responses(client):
    whole = client.responses.create(model="demo", **GREEDY)
    assert whole.output_text and whole.status == "completed" and whole.usage.output_tokens > 0
    events = list(client.responses.create(model="demo", **GREEDY, stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    with client.responses.stream(model="demo", **GREEDY) as following:
        assert following.get_final_response().output_text == whole.output_text
    with pytest.raises(openai.BadRequestError, match="not kept"):
        client.responses.create(model="demo", **GREEDY, previous_response_id=whole.id)
    with pytest.raises(openai.NotFoundError, match="not kept"):
        client.responses.retrieve(whole.id)


LOGPROBS = {**GREEDY, "include": ["message.output_text.logprobs"], "top_logprobs": 2}


def test_the_openai_client_gets_logprobs_of_the_text(client):
    part = client.responses.create(model="demo", **LOGPROBS).output[0].content[0]
    chat = client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "Hi"}], temperature=0,
                                          logprobs=True, top_logprobs=2).choices[0]
    assert "".join(token.token for token in part.logprobs) == part.text == chat.message.content
    assert [token.model_dump() for token in part.logprobs] == [token.model_dump() for token in chat.logprobs.content]
    events = list(client.responses.create(model="demo", **LOGPROBS, stream=True))
    deltas = [token.logprob for event in events if event.type == "response.output_text.delta" for token in event.logprobs]
    done = next(event for event in events if event.type == "response.output_text.done")
    assert deltas == [token.logprob for token in done.logprobs] == [token.logprob for token in part.logprobs]
    assert [len(token.top_logprobs) for token in done.logprobs] == [2] * len(deltas)
    assert events[-1].response.output[0].content[0] == part and events[-1].response.top_logprobs == 2
    assert client.responses.create(model="demo", **GREEDY, top_logprobs=2).output[0].content[0].logprobs == []


def test_a_stop_string_cuts_off_logprobs_with_its_text(demo):
    text = text_of(respond(demo, **GREEDY))
    part = respond(demo, **LOGPROBS, stop=text[-8:])["output"][0]["content"][0]
    said = "".join(token["token"] for token in part["logprobs"])
    assert part["text"] == text[:-8] and said.startswith(part["text"]), part


@pytest.mark.parametrize("streamed", [False, True])
def test_tokens_and_timings_are_told_on_request(demo, streamed):
    ask = {**GREEDY, "return_tokens": True, "timings_per_token": True}
    response = stream(demo, **ask)[-1]["response"] if streamed else respond(demo, **ask)
    assert len(response["tokens"]) >= response["usage"]["output_tokens"] > 0
    assert response["timings"]["predicted_n"] == response["usage"]["output_tokens"]
    assert not {"tokens", "timings"} & set(respond(demo, **GREEDY))
