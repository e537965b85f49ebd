"""`/v1/decisions` of the running server, used through OpenAI's own client."""

from __future__ import annotations

import math
from typing import Any

import openai
import pytest
from openai.types import Decision

from imhi.tasks import QUESTIONS, TASKS
from tests.e2e.deployment import MODEL
from tests.e2e.posts import LONG, POST

pytestmark = pytest.mark.engine

NOISE = 1e-3
"""Between two readings of one prompt, which are computed in other batches."""

HELP = "Does the poster ask for help?"
OWN: list[dict[str, Any]] = [
    {"type": "predicate", "name": "help", "instructions": HELP},
    {
        "type": "choice",
        "name": "place",
        "instructions": "Where does the poster read the mail?",
        # The first is the beginning of the second, the third is all of one token's worth.
        "choices": [
            {"value": "at work"},
            {"value": "at work, twice", "description": "More than once on one day."},
            {"value": "home"},
            {"value": False, "description": "They do not say."},
        ],
    },
    {
        "type": "score",
        "name": "rest",
        "instructions": "How well does the poster sleep?",
        "levels": [{"label": "badly"}, {"label": "so so"}, {"label": "well"}],
    },
]


def decide(api: openai.OpenAI, *questions: Any, text: Any = POST, **fields: Any) -> Decision:
    return api.decisions.create(model=MODEL, input=text, questions=questions, **fields)


def test_own_questions(api):
    decision = decide(api, *OWN, safety_identifier="somebody")
    assert decision.model == MODEL
    predicate, choice, score = decision.answers
    assert [answer.name for answer in decision.answers] == ["help", "place", "rest"]
    assert predicate.type == "predicate"
    assert 0 < predicate.probability < 1
    assert choice.type == "choice"
    values = [one.value for one in choice.probabilities]
    assert values == ["at work", "at work, twice", "home", False]
    probabilities = [one.probability for one in choice.probabilities]
    assert math.fsum(probabilities) == pytest.approx(1)
    assert choice.choice == values[probabilities.index(max(probabilities))]
    assert 0 < choice.confidence <= max(probabilities)
    assert score.type == "score"
    assert [(one.value, one.label) for one in score.probabilities] == [
        (0, "badly"),
        (1, "so so"),
        (2, "well"),
    ]
    assert score.score == pytest.approx(
        sum(one.value * one.probability for one in score.probabilities)
    )
    usage = decision.usage
    assert usage.input_tokens == usage.total_tokens > 100
    assert (usage.output_tokens, usage.output_tokens_details.reasoning_tokens) == (0, 0)


def test_the_benchmarks_questions_are_answered_as_by_analyze(api, analyze):
    """All of them, as choices by the labels' ids, and the yes/no ones as predicates too."""
    chosen = [
        {
            "type": "choice",
            "name": question.id,
            "instructions": question.text,
            "choices": [{"value": label.id} for label in question.labels],
        }
        for question in QUESTIONS.values()
    ]
    asked = [
        {"type": "predicate", "name": question.id, "instructions": question.text}
        for question in QUESTIONS.values()
        if {label.id for label in question.labels} == {"yes", "no"}
    ]
    [result] = analyze(questions=list(QUESTIONS), explain="never")["results"]
    expected = {answer["question"]: answer for answer in result["answers"]}
    answers = decide(api, *chosen, *asked).answers
    for answer in answers[: len(chosen)]:
        known = expected[answer.name]
        probabilities = {one.value: one.probability for one in answer.probabilities}
        assert probabilities == pytest.approx(known["probabilities"], abs=NOISE)
        if abs(known["probability"] - 0.5) > NOISE or len(probabilities) > 2:
            assert answer.choice == max(probabilities, key=probabilities.get)
        assert answer.confidence == pytest.approx(
            known["probabilities"][answer.choice] * known["label_mass"], abs=NOISE
        )
    assert len(answers) == len(chosen) + len(asked) > len(chosen) + len(TASKS) / 2
    for answer in answers[len(chosen) :]:
        yes = expected[answer.name]["probabilities"]["yes"]
        assert answer.probability == pytest.approx(yes, abs=NOISE)


def test_messages_are_an_input(api):
    parts = [{"type": "input_text", "text": line} for line in ("I cannot sleep.", "I am tired.")]
    [whole] = decide(api, OWN[0], text="I cannot sleep.\nI am tired.").answers
    [split] = decide(api, OWN[0], text=[{"role": "user", "content": parts}]).answers
    assert split.probability == pytest.approx(whole.probability, abs=NOISE)


def test_the_input_is_computed_once(api):
    text = f"On a Sunday in May. {POST} {POST}"
    first = decide(api, OWN[0], text=text).usage
    again = decide(api, OWN[1], text=text).usage
    assert first.input_tokens_details.cached_tokens < first.input_tokens / 2
    assert again.input_tokens_details.cached_tokens > again.input_tokens / 2


@pytest.mark.parametrize(
    ("fields", "kind", "code", "param"),
    [
        ({"model": "no-such-model"}, openai.NotFoundError, "unknown_name", "model"),
        ({"input": " "}, openai.BadRequestError, "empty_text", "input"),
        ({"input": LONG}, openai.BadRequestError, "text_too_long", "input"),
        (
            {"questions": [OWN[0], OWN[0] | {"instructions": "</s> Is it so?"}]},
            openai.BadRequestError,
            "invalid_request",
            "questions.1",
        ),
    ],
)
def test_what_is_wrong_is_refused(api, fields, kind, code, param):
    with pytest.raises(kind) as refused:
        api.decisions.create(**{"model": MODEL, "input": POST, "questions": OWN} | fields)
    error = refused.value
    assert (error.code, error.param, error.type) == (code, param, "invalid_request_error")
    assert error.body["request_id"] == error.request_id
