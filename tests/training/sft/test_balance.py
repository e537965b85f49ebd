"""What each example counts beside others."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from imhi.tasks import QUESTIONS
from tests.training.sft.tiny import example
from training.data.example import Example
from training.sft.balance import Balance, example_weights


def rows(**counts: int) -> list[Example]:
    """So many of `stress_0` (question and number of the label), and so on."""
    made = []
    for name, count in counts.items():
        question, label = name.split("_")
        for _ in range(count):
            made.append(example(QUESTIONS[question], label=int(label), row=len(made)))
    return made


def total(examples: list[Example], weights: dict[str, float], by: str) -> Counter[str]:
    sums: Counter[str] = Counter()
    for one in examples:
        key = one.set if by == "set" else f"{one.question.id}:{one.label.id}"
        sums[key] += weights[one.id]
    return sums


def test_naturally_every_example_counts_the_same() -> None:
    examples = rows(stress_0=6, stress_1=2, depression_0=1)
    assert set(example_weights(examples).values()) == {1.0}


@pytest.mark.parametrize(("balance", "ratio"), [(Balance.SQRT, 2.0), (Balance.EQUAL, 1.0)])
def test_sets_weigh_as_asked(balance, ratio) -> None:
    examples = rows(stress_0=8, depression_0=2)
    weights = example_weights(examples, sets=balance)
    sums = total(examples, weights, "set")
    assert sums[examples[0].set] / sums[examples[-1].set] == pytest.approx(ratio)
    assert math.fsum(weights.values()) == pytest.approx(len(examples))


@pytest.mark.parametrize(("balance", "ratio"), [(Balance.SQRT, 3.0), (Balance.EQUAL, 1.0)])
def test_labels_weigh_as_asked_and_their_question_as_before(balance, ratio) -> None:
    examples = rows(stress_0=9, stress_1=1, depression_0=5, depression_1=5)
    weights = example_weights(examples, labels=balance)
    sums = total(examples, weights, "label")
    names = [f"stress:{label.id}" for label in QUESTIONS["stress"].labels]
    assert sums[names[0]] / sums[names[1]] == pytest.approx(ratio)
    sets = total(examples, weights, "set")
    assert list(sets.values()) == pytest.approx([10, 10])


def test_a_factor_comes_on_top() -> None:
    examples = rows(stress_0=4, depression_0=4)
    name = examples[0].set
    sums = total(examples, example_weights(examples, set_weights={name: 3.0}), "set")
    assert sums[name] == pytest.approx(6)
    assert sum(sums.values()) == pytest.approx(8)


def test_nothing_weighs_nothing() -> None:
    assert example_weights([]) == {}
