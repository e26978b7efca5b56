"""Real clients: curl and the official Python library."""
import asyncio
import json
import subprocess

import openai
import pydantic
import pytest


def curl(*arguments):
    return subprocess.run(["curl", "-sS", "--max-time", "60", *arguments], capture_output=True, text=True, check=True).stdout


def test_curl_gets_text_and_a_stream(demo):
    body = json.dumps({"prompt": "Once upon a time", "max_tokens": 12, "temperature": 0})
    answer = json.loads(curl(f"{demo.url}/v1/completions", "-H", "Content-Type: application/json", "-d", body))
    streamed = curl("-N", f"{demo.url}/v1/completions", "-d", body[:-1] + ', "stream": true}')
    events = [line.removeprefix("data: ") for line in streamed.splitlines() if line]
    assert events[-1] == "[DONE]"
    text = "".join(json.loads(event)["choices"][0]["text"] for event in events[:-1])
    assert text == answer["choices"][0]["text"] != ""


def test_openai_client_completes(client):
    answer = client.completions.create(model="demo", prompt="Once upon a time", max_tokens=12, temperature=0)
    stream = client.completions.create(model="demo", prompt="Once upon a time", max_tokens=12, temperature=0, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == answer.choices[0].text
    assert answer.usage.completion_tokens == 12


def test_openai_client_lists_models(client):
    assert [model.id for model in client.models.list()] == ["demo"]
    assert client.models.retrieve("demo").owned_by == "quern"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4")


def test_openai_client_raises_typed_errors(client):
    with pytest.raises(openai.NotFoundError, match="gpt-4"):
        client.completions.create(model="gpt-4", prompt="x")
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="demo", prompt="x", temperature=-1)
    assert caught.value.body["param"] == "temperature"


def test_closing_a_stream_half_way_frees_its_pages(client, demo):
    demo.wait_idle()
    with client.completions.create(model="demo", prompt="Once", max_tokens=900, stream=True,
                                   extra_body={"ignore_eos": True}) as stream:
        next(iter(stream))
    demo.wait_idle()


def test_openai_client_knows_every_parameter_of_completions(client):
    answer = client.completions.create(
        model="demo", prompt=["Once upon a time", "The fox"], best_of=3, n=2, echo=True, frequency_penalty=0.5, logprobs=3,
        logit_bias={"5": -100}, max_tokens=8, presence_penalty=0.5, seed=3, stop=["\n\n", "zebra"], temperature=0.9,
        top_p=0.9, user="someone", extra_body={"top_k": 20, "min_p": 0.01, "return_tokens": True})
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert all(len(choice.logprobs.tokens) == len(choice.logprobs.top_logprobs) for choice in answer.choices)
    with pytest.raises(openai.BadRequestError, match="suffix"):
        client.completions.create(model="demo", prompt="x", suffix="y")


def test_openai_client_knows_every_parameter_of_chat_completions(client):
    ask = dict(
        model="demo", messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": [
            {"type": "text", "text": "Tell me"}, {"type": "text", "text": "a story."}]}],
        frequency_penalty=0.5, logit_bias={"5": -100}, logprobs=True, top_logprobs=2, max_completion_tokens=8,
        metadata={"a": "b"}, modalities=["text"], n=2, prediction={"type": "content", "content": "Once"}, presence_penalty=0.5,
        prompt_cache_key="key", reasoning_effort="low", response_format={"type": "text"}, safety_identifier="id", seed=3,
        service_tier="auto", stop=["\n\n"], store=False, temperature=0.9, tool_choice="none", top_p=0.9, user="someone",
        verbosity="low", extra_body={"top_k": 20, "return_tokens": True})
    answer = client.chat.completions.create(**ask)
    chunks = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage.completion_tokens == answer.usage.completion_tokens
    for choice in answer.choices:
        mine = [chunk.choices[0] for chunk in chunks if chunk.choices and chunk.choices[0].index == choice.index]
        assert "".join(part.delta.content or "" for part in mine) == choice.message.content
        assert sum((part.tokens for part in mine), []) == choice.tokens
    for refused in ({"audio": {"voice": "alloy", "format": "wav"}}, {"functions": [{"name": "f"}]},
                    {"web_search_options": {"search_context_size": "low"}}):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model="demo", messages=ask["messages"], **refused)
        assert caught.value.param == next(iter(refused))


def test_openai_client_parses_a_reply_with_a_schema(client):
    class Fox(pydantic.BaseModel):
        name: str
        legs: int

    answer = client.chat.completions.parse(model="demo", messages=[{"role": "user", "content": "A fox?"}],
                                           response_format=Fox, seed=1, max_completion_tokens=200)
    assert isinstance(answer.choices[0].message.parsed, Fox)


def test_openai_client_streams_with_helpers(client):
    with client.chat.completions.stream(model="demo", messages=[{"role": "user", "content": "Hi"}],
                                        extra_body={"guided_choice": ["a fox", "a bear"]}) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content


def test_openai_client_knows_responses(client):
    ask = dict(model="demo", input="Hi", instructions="Be brief.", max_output_tokens=12, temperature=0, top_p=1, store=False,
               metadata={"a": "b"}, reasoning={"effort": "low"}, text={"format": {"type": "text"}}, user="someone")
    answer = client.responses.create(**ask)
    assert answer.output_text and answer.usage.output_tokens <= 12
    with client.responses.stream(**ask) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
    assert "".join(deltas) == answer.output_text
    with pytest.raises(openai.BadRequestError, match="previous_response_id"):
        client.responses.create(model="demo", input="Hi", previous_response_id="resp_1")


def test_openai_client_is_told_what_there_is_not(client):
    for call in (lambda: client.embeddings.create(model="demo", input="a"),
                 lambda: client.moderations.create(input="a"),
                 lambda: client.images.generate(prompt="a fox"),
                 lambda: client.audio.speech.create(model="demo", voice="alloy", input="a")):
        with pytest.raises(openai.BadRequestError, match="not supported") as caught:
            call()
        assert caught.value.code == "unsupported"


def test_openai_client_runs_many_requests_at_once(demo):
    async def ask_all():
        async with openai.AsyncOpenAI(base_url=f"{demo.url}/v1", api_key="none", max_retries=0) as client:
            return await asyncio.gather(*(client.chat.completions.create(
                model="demo", messages=[{"role": "user", "content": "Hi"}], max_completion_tokens=8, temperature=0)
                for _ in range(16)))
    answers = asyncio.run(ask_all())
    assert len({answer.choices[0].message.content for answer in answers}) == 1
