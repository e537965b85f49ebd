"""Label distributions over HTTP equal those of plain transformers, in float32."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import httpx
import openai
import pytest

from imhi.tasks import QUESTIONS
from service.analysis.calibration import Calibration
from service.analysis.own import own_predicate
from service.analysis.types import Scoring
from service.models import local_manifest
from tests.e2e.deployment import ADAPTER, MODEL
from tests.e2e.posts import POST
from tests.e2e.references import Distributions, Reference, apart
from tests.servers import RunningServer

pytestmark = pytest.mark.engine

POSTS = (
    "I have three exams this week and cannot keep my eyes open, yet at night I lie awake.",
    "Moved here in May. I still eat lunch alone, and on Sundays nobody writes. It is quiet.",
    "We won the match! My brother came to see it, and after that we cooked for everybody.",
)
TOLERANCE = 1e-3
"""Largest total variation distance allowed."""
TOKENS = 12

Expected = Mapping[str, Mapping[Scoring, Distributions]]
"""By post."""


@pytest.fixture(scope="module")
def reference(tiny_model: Path) -> Reference:
    return Reference(tiny_model)


@pytest.fixture(scope="module")
def plain(reference: Reference) -> Expected:
    return expect(reference)


@pytest.fixture(scope="module")
def adapted(tiny_model: Path, adapter: Path) -> Expected:
    return expect(Reference(tiny_model, adapter=adapter))


@pytest.fixture(scope="module")
def words(words_model: Path) -> Expected:
    return expect(Reference(words_model, chat=True))


def expect(reference: Reference) -> Expected:
    return {post: reference.distributions(post, QUESTIONS.values()) for post in POSTS}


def served(
    client: httpx.Client,
    posts: Iterable[str],
    scoring: Scoring,
    model: str | None = None,
    questions: Iterable[str] = QUESTIONS,
) -> dict[str, Distributions]:
    """The distributions that the service answers with, by post."""
    body = {
        "texts": list(posts),
        "questions": list(questions),
        "explain": "never",
        "scoring": scoring.value,
        "model": model,
    }
    response = client.post("/analyze", json=body, timeout=120)
    assert response.status_code == 200, response.text
    return {
        post: {answer["question"]: answer["probabilities"] for answer in result["answers"]}
        for post, result in zip(posts, response.json()["results"], strict=True)
    }


def distance(found: Mapping[str, Distributions], expected: Expected, scoring: Scoring) -> float:
    """Largest total variation distance over all posts and questions."""
    return max(
        apart(distribution, expected[post][scoring][question])
        for post, distributions in found.items()
        for question, distribution in distributions.items()
    )


@pytest.mark.parametrize("scoring", list(Scoring))
def test_every_distribution_equals_plain_transformers(
    client: httpx.Client, plain: Expected, scoring: Scoring
) -> None:
    found = served(client, POSTS, scoring, MODEL)
    assert [list(one) for one in found.values()] == [list(QUESTIONS)] * len(POSTS)
    assert distance(found, plain, scoring) < TOLERANCE


def test_an_adapter_by_name_equals_the_merged_weights(
    client: httpx.Client, plain: Expected, adapted: Expected
) -> None:
    found = served(client, POSTS, Scoring.BRANCHES, ADAPTER)
    assert distance(found, adapted, Scoring.BRANCHES) < TOLERANCE
    assert distance(found, plain, Scoring.BRANCHES) > 10 * TOLERANCE


def test_a_question_of_the_callers_own_equals_plain_transformers(
    api: openai.OpenAI, reference: Reference
) -> None:
    wording = "Does the poster ask for help?"
    asked = {"type": "predicate", "instructions": wording}
    [answer] = api.decisions.create(model=MODEL, input=POST, questions=[asked]).answers
    question = own_predicate(0, wording)
    [expected] = reference.distributions(POST, [question])[Scoring.BRANCHES].values()
    assert answer.probability == pytest.approx(expected["yes"], abs=TOLERANCE)


def test_an_explanation_is_the_greedy_continuation_of_the_decided_answer(
    analyze, reference: Reference
) -> None:
    """Where it neither quotes nor leaves a character unfinished, which the grammar changes."""
    body = analyze(POST, explanation_tokens=TOKENS, consistency=False)
    compared = 0
    for answer in body["results"][0]["answers"]:
        question = QUESTIONS[answer["question"]]
        expected = reference.explanation(POST, question, answer["label"], TOKENS)
        if not {'"', "\ufffd"} & set(expected):
            assert answer["explanation"] == expected.strip()
            compared += 1
    assert compared >= 5


@pytest.mark.slow
@pytest.mark.parametrize("scoring", list(Scoring))
def test_answers_of_one_token_after_a_chat_template(
    words_server: RunningServer, words: Expected, scoring: Scoring
) -> None:
    with httpx.Client(base_url=words_server.url) as client:
        assert distance(served(client, POSTS, scoring), words, scoring) < TOLERANCE


@pytest.mark.slow
def test_the_embedded_model_and_its_calibration(
    embedded_server: RunningServer, embedded_model: Path
) -> None:
    """Calibration is fitted on branches and applied to them alone."""
    questions = [QUESTIONS["stress"], QUESTIONS["stress_cause"]]
    names = [question.id for question in questions]
    expected = Reference(embedded_model).distributions(POST, questions)
    calibrations = {
        Scoring.BRANCHES: local_manifest(embedded_model).to_calibration(),
        Scoring.SENTENCES: Calibration(),
    }
    with httpx.Client(base_url=embedded_server.url) as client:
        for scoring, calibration in calibrations.items():
            found = served(client, [POST], scoring, questions=names)[POST]
            for question in questions:
                shares = expected[scoring][question.id]
                logs = {label: math.log(share) for label, share in shares.items()}
                wanted = calibration.apply(question, logs)
                assert apart(found[question.id], wanted) < TOLERANCE
