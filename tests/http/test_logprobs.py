"""What a completion says of how probable its tokens were."""
import math

import pytest

PROMPT = "Once upon a time"
GREEDY = {"prompt": PROMPT, "max_tokens": 30, "temperature": 0, "ignore_eos": True}


def logprobs_of(answer, index=0):
    return answer["choices"][index]["logprobs"]


def check_offsets(text, logprobs, start=0):
    """Where a token says that it begins, there its text is."""
    assert len({len(values) for values in logprobs.values() if values is not None}) == 1
    at = start
    for token, offset in zip(logprobs["tokens"], logprobs["text_offset"]):
        assert offset == at, (token, offset, at)
        if token != "<bos>":
            assert text[offset:offset + len(token)] == token
            at += len(token)
    assert at == len(text)


def test_tokens_offsets_and_the_most_probable(demo):
    answer = demo.complete(**GREEDY, logprobs=3)
    logprobs = logprobs_of(answer)
    check_offsets(answer["choices"][0]["text"], logprobs)
    assert len(logprobs["tokens"]) == 30
    for token, logprob, top in zip(logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"]):
        assert max(top.values()) == top[token] == logprob <= 0, "greedy takes the most probable"
        assert len(top) == 3 and sum(map(math.exp, top.values())) < 1.00001


def test_a_token_that_is_not_among_the_most_probable_is_there_all_the_same(demo):
    answer = demo.complete(prompt=PROMPT, max_tokens=60, temperature=2, seed=1, logprobs=1, ignore_eos=True)
    logprobs = logprobs_of(answer)
    sizes = {len(top) for top in logprobs["top_logprobs"]}
    assert sizes == {1, 2}
    assert all(token in top for token, top in zip(logprobs["tokens"], logprobs["top_logprobs"]))


def test_sampling_does_not_change_what_the_model_thought(demo):
    plain = logprobs_of(demo.complete(**GREEDY, logprobs=0))
    forced = logprobs_of(demo.complete(**GREEDY, logprobs=0, repetition_penalty=1.0001, logit_bias={"300": -1}, min_p=0.1))
    assert plain == forced and plain["top_logprobs"] is None


def test_without_being_asked_for_there_are_none(demo):
    assert logprobs_of(demo.complete(**GREEDY)) is None


def test_a_stream_has_the_same_piece_by_piece(demo):
    ask = {**GREEDY, "logprobs": 2, "echo": True, "n": 2, "temperature": 1, "seed": 4}
    whole = demo.complete(**ask)
    for index in range(2):
        pieces = [event["choices"][0] for event in demo.stream(**ask) if event["choices"][0]["index"] == index]
        for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
            parts = [piece["logprobs"][name] for piece in pieces if piece["logprobs"]]
            assert sum(parts, []) == logprobs_of(whole, index)[name]
        said = 0
        for piece in pieces:
            assert all(offset < said + len(piece["text"]) for offset in (piece["logprobs"] or {"text_offset": []})["text_offset"])
            said += len(piece["text"])


def test_a_long_answer_says_what_a_stream_says(demo):
    """It is not printed on the loop."""
    ask = {**GREEDY, "logprobs": 5, "n": 16, "max_tokens": 100, "temperature": 1, "seed": 2}
    pieces = [event["choices"][0] for event in demo.stream(**ask)]
    for choice in demo.complete(**ask)["choices"]:
        own = [piece for piece in pieces if piece["index"] == choice["index"]]
        assert choice["text"] == "".join(piece["text"] for piece in own)
        tops = [piece["logprobs"]["top_logprobs"] for piece in own if piece["logprobs"]]
        assert choice["logprobs"]["top_logprobs"] == sum(tops, [])


def test_names_that_differ_only_in_case_are_different_tokens(demo):
    messages = [{"role": "user", "content": "Hello"}]
    ids = demo.post("/tokenize", content=demo.post("/apply-template", messages=messages)["prompt"])["tokens"]
    ask = {"max_tokens": 60, "temperature": 0, "ignore_eos": True}
    chat = demo.post("/v1/chat/completions", messages=messages, logprobs=True, top_logprobs=20, **ask)
    plain = logprobs_of(demo.complete(prompt=ids, logprobs=20, **ask))["top_logprobs"]
    listed = [{top["token"] for top in token["top_logprobs"]} | {token["token"]} for token in logprobs_of(chat)["content"]]
    assert [set(tops) for tops in plain] == listed
    assert any(len({name.lower() for name in names}) < len(names) for names in listed), "this tries nothing"


def test_echo_scores_the_prompt_as_its_tokens_would_have_been_sampled(demo):
    reply = demo.complete(**GREEDY, logprobs=2)
    text = PROMPT + reply["choices"][0]["text"]
    for max_tokens in (0, 5):
        answer = demo.complete(prompt=text, max_tokens=max_tokens, temperature=0, echo=True, logprobs=2, ignore_eos=True)
        logprobs = logprobs_of(answer)
        check_offsets(answer["choices"][0]["text"], logprobs)
        assert logprobs["tokens"][0] == "<bos>" and logprobs["token_logprobs"][0] is logprobs["top_logprobs"][0] is None
        assert answer["usage"]["completion_tokens"] == max_tokens
        count = answer["usage"]["prompt_tokens"]
        if logprobs["tokens"][count - 30:count] == logprobs_of(reply)["tokens"]:  # the same tokens, if they merge so again
            assert logprobs["token_logprobs"][count - 30:count] == logprobs_of(reply)["token_logprobs"]
        assert all(value is not None for value in logprobs["token_logprobs"][1:])


def test_what_a_stop_string_cuts_off_has_no_logprobs(demo):
    whole = demo.complete(**GREEDY, logprobs=0)
    text = whole["choices"][0]["text"]
    stop = text[20:26]
    answer = demo.complete(**GREEDY, logprobs=0, stop=stop)
    logprobs = logprobs_of(answer)
    assert answer["choices"][0]["text"] == text[:text.index(stop)]
    kept = sum(offset < text.index(stop) for offset in logprobs_of(whole)["text_offset"])
    assert logprobs["tokens"] == logprobs_of(whole)["tokens"][:kept]


def test_a_token_that_is_half_a_character_is_named_by_its_bytes(demo):
    # Token ids of the bytes of U+00E9 (two of them), which the demo model's vocabulary begins with.
    first = next(i for i in range(300) if demo.complete(prompt=[2, i], max_tokens=0, echo=True, logprobs=0)
                 ["choices"][0]["logprobs"]["tokens"][1] == "bytes:\\xc3")
    answer = demo.complete(prompt=[2, first, first - 0xC3 + 0xA9, 300], max_tokens=0, echo=True, logprobs=0)
    assert answer["choices"][0]["text"].startswith("é")
    assert logprobs_of(answer)["tokens"][1:3] == ["bytes:\\xc3", "bytes:\\xa9"]
    assert logprobs_of(answer)["text_offset"] == [0, 0, 0, 1]


def test_best_of_tells_the_most_probable(demo):
    ask = {"prompt": [PROMPT, "A bear"], "max_tokens": 12, "temperature": 1.5, "seed": 3, "logprobs": 0, "ignore_eos": True}
    every = demo.complete(**ask, n=6)
    best = demo.complete(**ask, n=2, best_of=6)
    assert [choice["index"] for choice in best["choices"]] == [0, 1, 2, 3]
    for prompt in range(2):
        choices = every["choices"][6 * prompt:6 * prompt + 6]
        ranked = sorted(choices, key=lambda choice: -sum(choice["logprobs"]["token_logprobs"]))
        told = best["choices"][2 * prompt:2 * prompt + 2]
        assert [choice["text"] for choice in told] == [choice["text"] for choice in ranked[:2]]
    assert best["usage"]["completion_tokens"] == 2 * 6 * 12


@pytest.mark.parametrize("extra", [{"best_of": 2}, {"best_of": 2, "logprobs": 1}])
def test_best_of_does_without_logprobs_being_told(demo, extra):
    answer = demo.complete(prompt=PROMPT, max_tokens=3, **extra)
    assert len(answer["choices"]) == 1 and (logprobs_of(answer) is None) == ("logprobs" not in extra)
