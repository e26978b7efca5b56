"""Models whose tokenizers are not of the demo model's kind."""
import json
import os
import shutil
import subprocess

import pytest

from conftest import BINARY, MODELS

TOKENIZERS = os.path.join(MODELS, "..", "tokenizers")
PROMPT = "The wind  was 42 km away, été’s end\n"


@pytest.fixture(params=["bytelevel", "metaspace"])
def folder(request, tmp_path):
    """A model that has never seen this tokenizer, whose vocabulary has the size of its own."""
    shutil.copytree(os.path.join(MODELS, "gemma3-int4"), tmp_path / "model")
    shutil.copy(os.path.join(TOKENIZERS, request.param, "tokenizer.json"), tmp_path / "model")
    return str(tmp_path / "model")


def tokenize(folder, **line):
    run = subprocess.run([BINARY, "tokenize", folder], input=json.dumps(line), capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def greedy(folder, prompt, count, out):
    ids = ",".join(map(str, prompt))
    command = [BINARY, "logits", folder, "--ids", ids, "--greedy", str(count), "--rows", "last", "--out", str(out)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["greedy"]


def test_a_reply_is_what_its_tokens_spell_behind_the_prompt(start_server, folder, tmp_path):
    server = start_server("--no-cache", model=folder)
    prompt = tokenize(folder, text=PROMPT, add_special=True)["ids"]
    reply = greedy(folder, prompt, 12, tmp_path / "rows")
    before = tokenize(folder, ids=prompt, skip_special=True)["text"]
    both = tokenize(folder, ids=prompt + reply, skip_special=True)["text"]
    assert before == PROMPT and both.startswith(before)
    ask = {"prompt": PROMPT, "max_tokens": 12, "temperature": 0, "ignore_eos": True}
    answer = server.complete(**ask)
    assert answer["usage"]["prompt_tokens"] == len(prompt)
    assert answer["choices"][0]["text"] == both[len(before):]
    assert server.complete(**ask, echo=True)["choices"][0]["text"] == both
    assert "".join(event["choices"][0]["text"] for event in server.stream(**ask)) == both[len(before):]
