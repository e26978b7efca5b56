"""Chat completions: what they say, whole and streamed, and what the official client makes of them."""
import json
import os
import shutil

import openai
import pytest

from conftest import MODELS

USER = {"role": "user", "content": "Hi"}
GREEDY = {"messages": [USER], "max_tokens": 40, "temperature": 0}


def chat(server, **body):
    return server.post("/v1/chat/completions", **body)


def stream(server, **body):
    return server.chunks("/v1/chat/completions", **body)


def test_a_reply_is_what_the_prompt_of_the_template_is_continued_with(demo):
    answer = chat(demo, **GREEDY)
    assert answer["id"].startswith("chatcmpl-") and answer["object"] == "chat.completion" and answer["model"] == "demo"
    message = answer["choices"][0]["message"]
    assert message["role"] == "assistant" and set(message) == {"role", "content", "refusal"}
    prompt = demo.request("POST", "/apply-template", {"messages": [USER]})[2]["prompt"]
    assert prompt.startswith("<bos>")
    plain = demo.complete(prompt=prompt.removeprefix("<bos>"), max_tokens=40, temperature=0)
    assert message["content"] == plain["choices"][0]["text"] != ""
    assert answer["usage"]["prompt_tokens"] == plain["usage"]["prompt_tokens"], "one BOS"


@pytest.mark.parametrize("limit", [{}, {"max_tokens": -1}, {"max_completion_tokens": -1}, {"n_predict": -1}], ids=str)
def test_a_reply_may_fill_the_context(demo, limit):
    answer = chat(demo, messages=[USER], ignore_eos=True, **limit)
    assert answer["usage"]["total_tokens"] == 1024 and answer["choices"][0]["finish_reason"] == "length"


def test_a_stream_begins_with_the_role_and_says_what_the_whole_answer_says(demo):
    whole = chat(demo, **GREEDY)
    chunks = stream(demo, **GREEDY, stream_options={"include_usage": True})
    usage = chunks.pop()
    assert usage["choices"] == [] and usage["usage"] == {
        **whole["usage"], "prompt_tokens_details": usage["usage"]["prompt_tokens_details"]}
    assert {(chunk["id"], chunk["object"], chunk["usage"]) for chunk in chunks} == {
        (chunks[0]["id"], "chat.completion.chunk", None)}
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""} and deltas[-1] == {}
    assert all(set(delta) == {"content"} for delta in deltas[1:-1]) and len(deltas) > 5
    assert "".join(delta["content"] for delta in deltas[1:-1]) == whole["choices"][0]["message"]["content"]
    finishes = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert finishes == [None] * (len(chunks) - 1) + [whole["choices"][0]["finish_reason"]]


def test_choices_count_up_from_the_seed(demo):
    ask = {"messages": [USER], "max_tokens": 12, "temperature": 1.5, "ignore_eos": True}
    whole = chat(demo, **ask, n=3, seed=4)
    texts = [choice["message"]["content"] for choice in whole["choices"]]
    assert len(set(texts)) == 3
    assert chat(demo, **ask, seed=6)["choices"][0]["message"]["content"] == texts[2]
    streamed = [""] * 3
    for chunk in stream(demo, **ask, n=3, seed=4):
        streamed[chunk["choices"][0]["index"]] += chunk["choices"][0]["delta"].get("content", "")
    assert streamed == texts


def test_logprobs_tell_of_each_token(demo):
    ask = {**GREEDY, "max_tokens": 8, "logprobs": True, "top_logprobs": 2}
    choice = chat(demo, **ask)["choices"][0]
    tokens = choice["logprobs"]["content"]
    assert b"".join(bytes(token["bytes"]) for token in tokens).decode() == choice["message"]["content"]
    assert all(len(token["top_logprobs"]) == 2 and token["logprob"] <= 0 for token in tokens)
    assert all(token["token"] == token["top_logprobs"][0]["token"] for token in tokens)
    streamed = [token for chunk in stream(demo, **ask) if chunk["choices"][0]["logprobs"]
                for token in chunk["choices"][0]["logprobs"]["content"]]
    assert streamed == tokens
    assert chat(demo, **{**ask, "top_logprobs": None})["choices"][0]["logprobs"]["content"][0]["top_logprobs"] == []


def test_stop_strings_end_the_content(demo):
    text = chat(demo, **GREEDY)["choices"][0]["message"]["content"]
    choice = chat(demo, **GREEDY, stop=text[10:16])["choices"][0]
    assert choice["message"]["content"] == text[:text.index(text[10:16])] and choice["finish_reason"] == "stop"


def test_a_message_can_be_continued(demo):
    text = chat(demo, **GREEDY)["choices"][0]["message"]["content"]
    begun = {"role": "assistant", "content": text[:text.index(" ", 8)]}
    answer = chat(demo, **{**GREEDY, "messages": [USER, begun]}, continue_final_message=True)
    assert begun["content"] + answer["choices"][0]["message"]["content"] == text


@pytest.fixture
def thinker(start_server, tmp_path):
    """A model whose template ends the prompt within its thoughts. It never stops to think."""
    shutil.copytree(os.path.join(MODELS, "gemma3-int4"), tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.content.split('</think>')[-1] }}{% endfor %}<think>\n")
    return start_server("--no-cache", model=str(tmp_path / "model"))


def test_thoughts_are_told_apart_unless_they_are_wanted_in_the_content(thinker):
    ask = {**GREEDY, "ignore_eos": True, "max_tokens": 12}
    answer = chat(thinker, **ask)
    message = answer["choices"][0]["message"]
    assert message["content"] == "" and message["reasoning_content"]
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 12
    deltas = [chunk["choices"][0]["delta"] for chunk in stream(thinker, **ask)]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == message["reasoning_content"]
    kept = chat(thinker, **ask, reasoning_format="none")["choices"][0]["message"]
    assert "reasoning_content" not in kept and kept["content"].strip() == message["reasoning_content"]


BAD_REQUESTS = [
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [USER, {"role": "robot", "content": "x"}]}, "messages[1].role"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages"),
    ({"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": "fox " * 3000}]}, "messages"),
    ({"max_tokens": -2}, "max_tokens"),
    ({"max_completion_tokens": "many"}, "max_completion_tokens"),
    ({"n": 0}, "n"),
    ({"n": 1000}, "n"),
    ({"logprobs": 3}, "logprobs"),
    ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"temperature": []}, "temperature"),
    ({"stop": {}}, "stop"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": 3}, "stream_options"),
    ({"tools": {}}, "tools"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"functions": [{"name": "f"}]}, "functions"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"audio": {"voice": "alloy"}}, "audio"),
    ({"web_search_options": {"user_location": None}}, "web_search_options"),
    ({"chat_template": "{{ messages }}"}, "chat_template"),
    ({"chat_template_kwargs": "x"}, "chat_template_kwargs"),
    ({"reasoning_format": "loud"}, "reasoning_format"),
    ({"reasoning_effort": 3}, "reasoning_effort"),
    ({"continue_final_message": 1}, "continue_final_message"),
]


@pytest.mark.parametrize("body, param", BAD_REQUESTS, ids=[json.dumps(case[0])[:60] for case in BAD_REQUESTS])
def test_an_error_names_its_parameter(demo, body, param):
    status, _, answer = demo.request("POST", "/v1/chat/completions", {"messages": [USER], **body})
    assert status == 400 and answer["error"]["param"] == param, answer
    assert " must " not in answer["error"]["message"] or ", but " in answer["error"]["message"], answer


def test_what_changes_no_reply_is_ignored(demo):
    assert chat(demo, **GREEDY, modalities=["text"], store=True, metadata={"a": "b"}, service_tier="auto", user="me",
                parallel_tool_calls=True, prediction={"type": "content", "content": "x"}, tools=[], tool_choice="none",
                functions=None, response_format={"type": "text"})["choices"]


def test_a_prompt_beyond_the_context_says_so(demo):
    _, _, answer = demo.request("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "fox " * 3000}]})
    assert answer["error"]["code"] == "context_length_exceeded" and "1024" in answer["error"]["message"]


def test_the_openai_client_chats(client):
    ask = {"model": "demo", **GREEDY}
    whole = client.chat.completions.create(**ask)
    assert whole.choices[0].message.role == "assistant" and whole.usage.completion_tokens > 0
    chunks = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    with client.chat.completions.stream(**ask) as events:
        assert events.get_final_completion().choices[0].message.content == text
    with pytest.raises(openai.BadRequestError, match="image_url"):
        client.chat.completions.create(**{**ask, "messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/x.png"}}]}]})


def test_a_client_that_goes_away_frees_its_pages(client, demo):
    demo.wait_idle()
    with client.chat.completions.create(model="demo", messages=[USER], stream=True, extra_body={"ignore_eos": True}) as chunks:
        next(iter(chunks))
    demo.wait_idle()
