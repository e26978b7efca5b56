"""What a completion says, in every form in which one can ask for it."""

PROMPT = "Once upon a time"
GREEDY = {"prompt": PROMPT, "max_tokens": 40, "temperature": 0}


def text_of(answer, index=0):
    return answer["choices"][index]["text"]


def test_answer_has_the_shape_of_openai(demo):
    answer = demo.complete(**GREEDY)
    assert answer["id"].startswith("cmpl-") and answer["object"] == "text_completion" and answer["model"] == "demo"
    assert answer["choices"][0]["index"] == 0 and answer["choices"][0]["logprobs"] is None
    assert answer["choices"][0]["finish_reason"] == "length"
    usage = answer["usage"]
    assert usage["completion_tokens"] == 40 and usage["total_tokens"] == usage["prompt_tokens"] + 40


def test_default_is_sixteen_tokens(demo):
    assert demo.complete(prompt=PROMPT, ignore_eos=True)["usage"]["completion_tokens"] == 16


def test_a_stop_token_ends_the_reply(demo):
    answer = demo.complete(prompt=PROMPT, max_tokens=900, temperature=0)
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] < 900
    longer = demo.complete(prompt=PROMPT, max_tokens=900, temperature=0, ignore_eos=True)
    assert longer["usage"]["completion_tokens"] == 900


def test_tokens_and_timings_are_told_when_asked_for(demo):
    ask = {**GREEDY, "return_tokens": True, "timings_per_token": True, "n": 2}
    answer = demo.complete(**ask)
    timings = answer["timings"]
    assert timings["predicted_n"] == 80 and timings["prompt_n"] + timings["cache_n"] == answer["usage"]["prompt_tokens"]
    assert timings["predicted_ms"] > 0 and timings["prompt_ms"] > 0 and timings["predicted_per_second"] > 0
    for choice in answer["choices"]:
        assert len(choice["tokens"]) == 40
        content = demo.request("POST", "/detokenize", {"tokens": choice["tokens"]})[2]["content"]
        assert content.strip() == choice["text"].strip()
    events = demo.stream(**ask)
    for index, choice in enumerate(answer["choices"]):
        mine = [event["choices"][0]["tokens"] for event in events if event["choices"][0]["index"] == index]
        assert sum(mine, []) == choice["tokens"]
    counts = [event["timings"]["predicted_n"] for event in events]
    assert counts == sorted(counts) and counts[-1] == 80


def test_a_reply_has_at_least_min_tokens(demo):
    stopped = demo.complete(prompt=PROMPT, max_tokens=900, temperature=0, return_tokens=True)["choices"][0]["tokens"]
    longer = demo.complete(prompt=PROMPT, max_tokens=900, temperature=0, return_tokens=True,
                           min_tokens=len(stopped) + 20)["choices"][0]["tokens"]
    assert len(longer) >= len(stopped) + 20 and longer[:len(stopped)] == stopped
    choice = demo.complete(prompt=PROMPT, max_tokens=40, min_tokens=30, guided_choice=["a fox"])["choices"][0]
    assert choice["text"] == "a fox" and choice["finish_reason"] == "stop"


def test_the_stop_string_is_part_of_the_reply_if_asked_for(demo):
    text = text_of(demo.complete(**GREEDY))
    stop = text[9:14]
    ask = {**GREEDY, "stop": [stop, "zebra"], "include_stop_str_in_output": True, "logprobs": 0}
    choice = demo.complete(**ask)["choices"][0]
    assert choice["text"] == text[:text.index(stop) + 5] and choice["finish_reason"] == "stop"
    assert "".join(event["choices"][0]["text"] for event in demo.stream(**ask)) == choice["text"]


def test_special_tokens_are_text_if_asked_for(demo):
    end = demo.request("POST", "/tokenize", {"content": "<end_of_turn>"})[2]["tokens"]
    ask = {"prompt": PROMPT, "max_tokens": 3, "logit_bias": {str(end[0]): 100}, "temperature": 0, "ignore_eos": True}
    assert len(end) == 1 and text_of(demo.complete(**ask)) == ""
    assert text_of(demo.complete(**ask, skip_special_tokens=False)) == "<end_of_turn>" * 3


def test_stop_token_ids_end_the_reply(demo):
    tokens = demo.complete(**GREEDY, return_tokens=True)["choices"][0]["tokens"]
    stop = tokens[10]
    answer = demo.complete(**GREEDY, return_tokens=True, stop_token_ids=[stop])["choices"][0]
    assert answer["finish_reason"] == "stop" and answer["tokens"] == tokens[:tokens.index(stop)]


def test_prompts_as_text_lists_and_ids_say_the_same(demo):
    ids = [2, *range(300, 310)]
    alone = text_of(demo.complete(**{**GREEDY, "prompt": ids}))
    both = demo.complete(**{**GREEDY, "prompt": [ids, [2, 400, 401]]})
    assert [choice["index"] for choice in both["choices"]] == [0, 1]
    assert text_of(both) == alone
    texts = demo.complete(**{**GREEDY, "prompt": [PROMPT, "The little fox"]})
    assert text_of(texts) == text_of(demo.complete(**GREEDY))
    assert text_of(texts, 1) == text_of(demo.complete(**{**GREEDY, "prompt": "The little fox"}))


def test_n_counts_up_from_the_seed(demo):
    answer = demo.complete(prompt=[PROMPT, "A bear"], n=3, seed=7, max_tokens=20, temperature=1)
    assert [choice["index"] for choice in answer["choices"]] == list(range(6))
    single = demo.complete(prompt="A bear", seed=9, max_tokens=20, temperature=1)
    assert text_of(answer, 5) == text_of(single)


def test_a_seed_repeats_itself_and_none_does_not(demo):
    ask = {"prompt": PROMPT, "max_tokens": 30, "temperature": 1.2}
    assert text_of(demo.complete(**ask, seed=1)) == text_of(demo.complete(**ask, seed=1))
    assert len({text_of(demo.complete(**ask)) for _ in range(5)}) > 1


def test_echo_puts_the_prompt_before_the_reply(demo):
    plain = text_of(demo.complete(**GREEDY))
    assert text_of(demo.complete(**GREEDY, echo=True)) == PROMPT + plain
    assert text_of(demo.complete(prompt=PROMPT, max_tokens=0, echo=True)) == PROMPT


def test_logit_bias_forces_and_forbids(demo):
    forced = demo.complete(prompt=PROMPT, max_tokens=5, temperature=0, logit_bias={"300": 100})
    again = demo.complete(prompt=PROMPT, max_tokens=5, temperature=1, seed=3, logit_bias={"300": 100})
    assert text_of(forced) == text_of(again) and len(set(text_of(forced).split(text_of(forced)[:2]))) <= 2
    assert text_of(demo.complete(**GREEDY, logit_bias={"300": -100})) != ""


def test_penalties_change_what_repeats(tiny):
    ask = {"prompt": "the the the", "max_tokens": 60, "temperature": 0}
    plain = text_of(tiny.complete(**ask))
    for penalty in ({"repetition_penalty": 1.8}, {"frequency_penalty": 2}, {"presence_penalty": 2}):
        assert text_of(tiny.complete(**ask, **penalty)) != plain, penalty


def test_every_way_to_sample_says_something_of_its_own_and_again(demo):
    ask = {"prompt": PROMPT, "max_tokens": 40, "temperature": 1.5, "seed": 11, "ignore_eos": True}
    ways = [{}, {"top_k": 5}, {"top_p": 0.5}, {"min_p": 0.2}, {"typical_p": 0.3}, {"dynatemp_range": 1.5},
            {"xtc_probability": 1, "xtc_threshold": 0.05}, {"mirostat": 2, "mirostat_tau": 1},
            {"repeat_penalty": 1.5}, {"repeat_penalty": 1.5, "repeat_last_n": 2}]
    texts = [text_of(demo.complete(**ask, **way)) for way in ways]
    assert len(set(texts)) == len(ways)
    together = [text_of(demo.complete(**ask, **way)) for way in reversed(ways)]
    assert texts == together[::-1]


def test_dry_ends_a_repetition_unless_something_breaks_it(demo):
    story = PROMPT + text_of(demo.complete(**{**GREEDY, "max_tokens": 60}))
    ask = {"prompt": f"{story}\n{PROMPT}", "max_tokens": 40, "temperature": 0, "ignore_eos": True}
    plain = text_of(demo.complete(**ask))
    dry = {"dry_multiplier": 5, "dry_allowed_length": 2}
    assert text_of(demo.complete(**ask, **dry)) != plain
    assert text_of(demo.complete(**ask, **dry, dry_penalty_last_n=0)) == plain
    letters = sorted(set(ask["prompt"] + plain))
    assert text_of(demo.complete(**ask, **dry, dry_sequence_breakers=letters)) == plain, "each token breaks"


def test_stop_strings_cut_exactly_and_never_leak(demo):
    whole = text_of(demo.complete(**GREEDY))
    for start in range(1, len(whole) - 8, 3):
        for length in (1, 4, 8):
            stop = whole[start:start + length]
            expected = whole[:whole.index(stop)]
            answer = demo.complete(**GREEDY, stop=stop)
            assert (text_of(answer), answer["choices"][0]["finish_reason"]) == (expected, "stop"), stop
    pieces = [text_of(event) for event in demo.stream(**GREEDY, stop=[whole[20:33], "never said"])]
    assert "".join(pieces) == whole[:whole.index(whole[20:33])]


def test_a_stream_says_what_the_whole_answer_says(demo):
    whole = demo.complete(**GREEDY)
    events = demo.stream(**GREEDY, stream_options={"include_usage": True})
    assert len({event["id"] for event in events}) == 1
    assert events[-1]["choices"] == [] and events[-1]["usage"] == whole["usage"]
    chunks = events[:-1]
    assert all(event["usage"] is None for event in chunks)
    assert "".join(text_of(event) for event in chunks) == text_of(whole)
    assert [event["choices"][0]["finish_reason"] for event in chunks if event["choices"][0]["finish_reason"]] == ["length"]
    assert len(chunks) > 10, "tokens arrive one by one"


def test_streams_of_several_choices_are_told_apart_by_index(demo):
    ask = {"prompt": [PROMPT, "A bear"], "n": 2, "seed": 5, "max_tokens": 12, "temperature": 1}
    whole = demo.complete(**ask)
    texts = [""] * 4
    for event in demo.stream(**ask):
        texts[event["choices"][0]["index"]] += text_of(event)
    assert texts == [choice["text"] for choice in whole["choices"]]


def cached_tokens(answer):
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def test_a_prompt_is_computed_once_and_its_reply_goes_on_from_there(start_server):
    server = start_server()
    prompt = ("Once upon a time there was a boy named Luca who lived near the meadow. Luca loved the red ball more than "
              "anything. On Monday it rained, and")
    ask = {"max_tokens": 40, "temperature": 0, "ignore_eos": True}
    first = server.complete(prompt=prompt, **ask)
    again = server.complete(prompt=prompt, **ask)
    tokens = first["usage"]["prompt_tokens"]
    assert cached_tokens(first) == 0 and tokens - 16 <= cached_tokens(again) < tokens
    assert text_of(again) == text_of(first)
    turn = prompt + text_of(first) + " And then"
    assert cached_tokens(server.complete(prompt=turn, **ask)) > tokens
    both = server.complete(prompt="Before that, " + prompt, n=4, **ask)
    assert cached_tokens(both) < 16, "only its own choices share this one"


def test_no_prefix_cache_computes_every_prompt(start_server):
    server = start_server("--no-prefix-cache")
    ask = {"prompt": "Once there was a fox. " * 10, "max_tokens": 4}
    assert [cached_tokens(server.complete(**ask)) for _ in range(2)] == [0, 0]


def test_drafts_change_the_usage_and_not_the_reply(demo):
    ask = {"prompt": "the red ball and " * 8, "max_tokens": 80, "temperature": 0, "ignore_eos": True}
    answers = [demo.complete(**ask, draft_tokens=drafts) for drafts in (0, 2, 7)]
    assert len({text_of(answer) for answer in answers}) == 1
    details = [answer["usage"]["completion_tokens_details"] for answer in answers]
    assert details[0] == {"accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}
    assert 0 < details[1]["accepted_prediction_tokens"] <= details[2]["accepted_prediction_tokens"] < 80
    assert "draft_tokens" in demo.request("POST", "/v1/completions", {**ask, "draft_tokens": 8})[2]["error"]["message"]
