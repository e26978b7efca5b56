"""Prompts of conversations, as /apply-template shows them."""
import os
import shutil

import pytest

from conftest import MODELS

USER = {"role": "user", "content": "Hi"}


def ask(server, **body):
    status, _, answer = server.request("POST", "/apply-template", body)
    return status, answer


def test_the_prompt_is_what_the_template_makes_of_the_messages(demo):
    messages = [{"role": "system", "content": "Be brief."}, USER, {"role": "assistant", "content": "Hello"},
                {"role": "user", "content": [{"type": "text", "text": "Bye"}]}]
    expected = ("<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n"
                "<start_of_turn>user\nBye<end_of_turn>\n")
    assert ask(demo, messages=messages) == (200, {"prompt": expected + "<start_of_turn>model\n"})
    assert ask(demo, messages=messages, add_generation_prompt=False) == (200, {"prompt": expected})


@pytest.mark.parametrize("body, param", [
    ({}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "tool", "content": "42"}]}, "messages"),
    ({"messages": [USER, {"role": "robot", "content": ""}]}, "messages[1].role"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "messages[0].content"),
    ({"messages": [USER], "tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
])
def test_an_error_names_what_the_template_cannot_take(demo, body, param):
    status, answer = ask(demo, **body)
    assert status == 400 and answer["error"]["param"] == param, answer


def test_a_model_without_a_template_completes_and_does_not_chat(start_server, tmp_path):
    shutil.copytree(os.path.join(MODELS, "gemma3-int4"), tmp_path / "model",
                    ignore=shutil.ignore_patterns("chat_template.jinja", "tokenizer_config.json"))
    server = start_server("--no-cache", model=str(tmp_path / "model"))
    status, answer = ask(server, messages=[USER])
    assert status == 400 and "chat_template.jinja" in answer["error"]["message"], answer
    assert server.complete(prompt="a", max_tokens=1)["choices"]


def test_ten_thousand_messages_are_one_prompt(demo):
    status, answer = ask(demo, messages=[USER] * 10_000)
    assert status == 200 and answer["prompt"].count("Hi") == 10_000
