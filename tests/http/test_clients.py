"""Real clients: curl and the official Python library."""
import json
import subprocess

import openai
import pytest


@pytest.fixture
def client(demo):
    return openai.OpenAI(base_url=f"{demo.url}/v1", api_key="none", max_retries=0)


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
