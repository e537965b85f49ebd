from __future__ import annotations

import json

import pytest

from imhi.tasks import QUESTIONS, TASKS
from service.gate.demand import (
    DEMANDS,
    Demand,
    demand_of_analysis,
    demand_of_chat,
    demand_of_completion,
    demand_of_decisions,
    usage_of,
    weigh,
)
from service.gate.routes import ROUTES


def test_every_route_that_takes_a_body_is_weighed():
    assert set(DEMANDS) == {path for path, method in ROUTES.items() if method == "POST"}


def test_a_generated_token_weighs_three():
    assert weigh(10, 5) == Demand(1, 0, 0, 10, 5).weight == 25
    assert weigh(0, 0) == 1


def analysis(**body: object) -> Demand:
    return demand_of_analysis(body, 0)


def test_labels_alone_take_a_read_a_question():
    demand = analysis(text="a" * 400, tasks=["stress"], explain="never")
    assert (demand.posts, demand.characters) == (1, 400)
    assert (demand.prompt_tokens, demand.generated_tokens) == (100 + 40, 0)


def test_an_explanation_is_generated_and_read_alone():
    demand = analysis(text="a" * 400, tasks=["stress"], explanation_tokens=50)
    assert demand.generated_tokens == 50
    assert demand.prompt_tokens == 100 + 40 + (50 + 40)
    demand = analysis(text="a", tasks=["stress"], explanation_tokens=50, consistency=False)
    assert demand.prompt_tokens == 40


def test_texts_and_questions_multiply():
    one = analysis(text="a" * 40, questions=["stress"])
    assert analysis(texts=["a" * 40] * 3, questions=["stress"]).weight == 3 * one.weight
    everything = analysis(text="a", explain="never").prompt_tokens
    assert everything == 40 * sum(len(task.questions) for task in TASKS.values())
    assert analysis(text="a", questions=[*QUESTIONS], explain="never").prompt_tokens == (
        40 * len(QUESTIONS)
    )


def test_sentences_take_many_reads():
    body = {"text": "", "questions": ["stress"], "explain": "never"}
    assert analysis(**body, scoring="sentences").weight == 20 * analysis(**body).weight


def test_bytes_count_where_characters_take_more_of_them():
    assert analysis(text="好" * 40, explain="never", questions=["stress"]).prompt_tokens == 30 + 40


def test_a_body_counts_for_its_size_whatever_is_in_it():
    body = {"text": "a", "junk": "b" * 4000, "questions": ["stress"], "explain": "never"}
    assert demand_of_analysis(body, 4080).prompt_tokens == 1020


def test_the_longest_text_is_named():
    demand = analysis(texts=["a", "abc", "ab"])
    assert (demand.posts, demand.characters, demand.longest) == (3, 3, 1)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": 1},
        {"texts": []},
        {"texts": "abc"},
        {"texts": [1, None, {}]},
        {"text": "a", "tasks": [1, {}, "none"], "explanation_tokens": "many"},
        {"text": "a", "explanation_tokens": True, "explain": [], "scoring": {}},
        {"text": "a", "explanation_tokens": 10**30},
        {"messages": "x", "max_tokens": -1, "n": 0},
        {"messages": [1, {"content": [1, {"text": 2}, None]}], "n": 1.5},
        {"prompt": [], "n": "x"},
        {"prompt": [None, {}], "max_tokens": 10**30, "n": 10**30},
    ],
)
def test_nothing_breaks_it(body: dict):
    for weighed in DEMANDS.values():
        demand = weighed(body, len(json.dumps(body)))
        assert demand.posts >= 1
        assert demand.weight >= 1


def test_a_chat_is_weighed_by_its_body_and_its_limit():
    body = {"messages": [{"role": "user", "content": "abcd"}, {"content": [{"text": "ef"}]}]}
    assert demand_of_chat({**body, "max_tokens": 10, "n": 2}, 400) == Demand(1, 6, 0, 100, 20)
    assert demand_of_chat({**body, "max_completion_tokens": 7}, 400).generated_tokens == 7
    assert demand_of_chat(body, 400).generated_tokens == 256


def test_decisions_are_weighed_by_their_body_and_questions():
    body = {"input": "abcd", "questions": [{}, {}]}
    assert demand_of_decisions(body, 400) == Demand(1, 4, 0, 100 + 2 * 40, 0)
    messages = [{"role": "user", "content": [{"text": "ab"}, {"text": "c"}]}, {"content": "d"}]
    assert demand_of_decisions({"input": messages}, 400) == Demand(1, 4, 0, 100, 0)


@pytest.mark.parametrize("number", [8, 8.0, "8", " 8 "])
def test_a_number_counts_however_vllm_would_take_it(number: object):
    assert demand_of_chat({"n": number, "max_tokens": number}, 0).generated_tokens == 64


@pytest.mark.parametrize("number", [0, -3, 0.5, True, None, "", "x", [], float("nan")])
def test_what_is_no_number_does_not(number: object):
    assert demand_of_chat({"n": number, "max_tokens": 5}, 0).generated_tokens == 5


@pytest.mark.parametrize("number", [10**400, 10**30, 1e308, float("inf"), "1e99"])
def test_too_large_a_number_is_as_much_as_there_is(number: object):
    assert demand_of_chat({"n": number, "max_tokens": 1}, 0).generated_tokens == 10**7


@pytest.mark.parametrize(
    ("prompt", "posts", "characters", "longest"),
    [
        ("abc", 1, 3, 0),
        (["a", "abc"], 2, 3, 1),
        ([1, 2, 3], 1, 12, 0),
        ([[1], [1, 2]], 2, 8, 1),
    ],
)
def test_prompts_of_a_completion(prompt: object, posts: int, characters: int, longest: int):
    demand = demand_of_completion({"prompt": prompt, "max_tokens": 5}, 40)
    assert demand == Demand(posts, characters, longest, 10, 5 * posts)
    assert demand_of_completion({"prompt": prompt}, 40).generated_tokens == 16 * posts


@pytest.mark.parametrize(
    ("tail", "weight"),
    [
        (b'"usage":{"prompt_tokens":100,"cached_tokens":60,"completion_tokens":9}}', 67),
        (b'"usage": {"prompt_tokens": 100, "total_tokens": 109, "completion_tokens": 9}', 127),
        (b'... "notice":"x"}', None),
        (b"", None),
        # What a model writes stands in a string, where quotes are escaped.
        (b'"text": "\\"prompt_tokens\\": 7"', None),
        (b'"text": "\\"prompt_tokens\\": 7", "prompt_tokens": 5', 5),
    ],
)
def test_usage_is_read_from_the_end(tail: bytes, weight: int | None):
    assert usage_of(tail) == weight
