"""The label trie and the distributions read from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imhi.tasks import QUESTIONS
from service.analysis.labels import LabelTrie
from service.analysis.types import Scoring
from service.errors import ModelError

STRESS = QUESTIONS["stress"]
CAUSE = QUESTIONS["depression_cause"]
LABELS = [label.id for label in CAUSE.labels]


def test_a_question_whose_answers_part_at_once_is_one_read() -> None:
    trie = LabelTrie.build(STRESS, {"yes": [5, 1, 2], "no": [6, 1, 2, 3]})
    assert [(branch.path, branch.children) for branch in trie.branches] == [((), (5, 6))]


def test_answers_that_part_twice_are_read_at_both_nodes() -> None:
    answers = {label: [1, 2, 3, 10 + index] for index, label in enumerate(LABELS[:-1])}
    trie = LabelTrie.build(CAUSE, answers | {LABELS[-1]: [1, 9]})
    assert [(branch.path, branch.children) for branch in trie.branches] == [
        ((1,), (2, 9)),
        ((1, 2, 3), (10, 11, 12, 13, 14)),
    ]
    read = trie.read([[math.log(0.3), math.log(0.1)], [math.log(0.02)] * 5])
    assert math.exp(read.log_probabilities[LABELS[-1]]) == pytest.approx(0.25)
    assert math.exp(read.log_probabilities[LABELS[0]]) == pytest.approx(0.75 / 5)
    assert read.label_mass == pytest.approx(0.1 + 0.3 * 5 * 0.02)


def test_sentences_weigh_every_token() -> None:
    trie = LabelTrie.build(STRESS, {"yes": [5, 1], "no": [6, 2]}, Scoring.SENTENCES)
    assert [(branch.path, branch.children) for branch in trie.branches] == [
        ((), (5, 6)),
        ((5,), (1,)),
        ((6,), (2,)),
    ]
    read = trie.read([[math.log(0.4), math.log(0.2)], [math.log(0.1)], [math.log(0.6)]])
    assert math.exp(read.log_probabilities["yes"]) == pytest.approx(0.04 / 0.16)
    assert read.label_mass == pytest.approx(0.16)


@pytest.mark.parametrize("no", [[5, 1], [5, 1, 2], [5]])
def test_labels_that_cannot_be_told_apart_are_named(no: list[int]) -> None:
    with pytest.raises(ModelError, match=r"`(yes|no)` and `(yes|no)` of question `stress`"):
        LabelTrie.build(STRESS, {"yes": [5, 1], "no": no})


def test_a_model_that_gives_the_labels_nothing_prefers_none() -> None:
    trie = LabelTrie.build(STRESS, {"yes": [5], "no": [6]})
    read = trie.read([[-math.inf, -math.inf]])
    assert read.log_probabilities == {"yes": -math.log(2), "no": -math.log(2)}
    assert read.label_mass == 0.0


@st.composite
def answers_and_model(draw: st.DrawFn) -> tuple[dict[str, list[int]], int]:
    token = st.integers(0, 3)
    answers = draw(
        st.lists(
            st.lists(token, min_size=1, max_size=5), min_size=len(LABELS), max_size=len(LABELS)
        )
    )
    # A closing token of its own makes no answer the beginning of another.
    return {label: [*one, 4] for label, one in zip(LABELS, answers, strict=True)}, draw(
        st.integers(0, 1000)
    )


def model(seed: int, path: Sequence[int]) -> list[float]:
    """Log-probabilities of tokens 0 to 5 after `path`; token 5 is in no answer."""
    weights = [1 + hash((seed, tuple(path), token)) % 97 for token in range(6)]
    return [math.log(weight / sum(weights)) for weight in weights]


def reads(trie: LabelTrie, seed: int) -> list[list[float]]:
    return [
        [model(seed, branch.path)[child] for child in branch.children] for branch in trie.branches
    ]


def by_sentence(answers: Mapping[str, list[int]], seed: int, *, relative: bool) -> dict[str, float]:
    """Each answer scored token by token, relative to the tokens that answers allow or not."""
    scores = {}
    for label, tokens in answers.items():
        score = 0.0
        for depth, token in enumerate(tokens):
            after = model(seed, tokens[:depth])
            allowed = {one[depth] for one in answers.values() if one[:depth] == tokens[:depth]}
            score += after[token]
            score -= math.log(sum(math.exp(after[one]) for one in allowed)) if relative else 0.0
        scores[label] = math.exp(score)
    return {label: score / sum(scores.values()) for label, score in scores.items()}


@given(answers_and_model())
def test_both_distributions_equal_scoring_each_answer_token_by_token(
    drawn: tuple[dict[str, list[int]], int],
) -> None:
    answers, seed = drawn
    if len({tuple(one) for one in answers.values()}) < len(answers):
        with pytest.raises(ModelError):
            LabelTrie.build(CAUSE, answers)
        return
    for scoring in Scoring:
        trie = LabelTrie.build(CAUSE, answers, scoring)
        read = trie.read(reads(trie, seed))
        expected = by_sentence(answers, seed, relative=scoring is Scoring.BRANCHES)
        found = {label: math.exp(value) for label, value in read.log_probabilities.items()}
        assert found == pytest.approx(expected)
        assert sum(found.values()) == pytest.approx(1)
        assert 0 < read.label_mass <= 1
