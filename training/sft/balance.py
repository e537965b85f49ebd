"""What each example counts, so that large sets and frequent labels do not drown the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum

from training.data.example import Example


class Balance(StrEnum):
    """How much of a group's size its weight takes back.

    NATURAL: nothing; every example counts the same. SQRT: its square root. EQUAL: all of it; every
    group counts the same.
    """

    NATURAL = "natural"
    SQRT = "sqrt"
    EQUAL = "equal"


_EXPONENTS = {Balance.NATURAL: 0.0, Balance.SQRT: 0.5, Balance.EQUAL: 1.0}


def example_weights(
    examples: Sequence[Example],
    *,
    sets: Balance = Balance.NATURAL,
    labels: Balance = Balance.NATURAL,
    set_weights: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """What each example counts in the loss; the mean over all examples is 1.

    A group of n examples gets the weight 1/n to the power of 0, 1/2 or 1. Labels are balanced
    within their set and question, and that leaves the question's share of the whole as it was.

    Args:
        examples: all that are trained on.
        sets: how sets are balanced against each other.
        labels: how the labels of a question are balanced against each other.
        set_weights: set id to a further factor.

    Returns:
        Example id to weight.
    """
    by_set = Counter(example.set for example in examples)
    by_question = Counter((example.set, example.question.id) for example in examples)
    by_label = Counter((example.set, example.question.id, example.label.id) for example in examples)
    raw_label = {key: count ** -_EXPONENTS[labels] for key, count in by_label.items()}
    total: Counter[tuple[str, str]] = Counter()
    for key, count in by_label.items():
        total[key[:2]] += count * raw_label[key]
    weights = {}
    for example in examples:
        question = (example.set, example.question.id)
        label = raw_label[*question, example.label.id] * by_question[question] / total[question]
        group = by_set[example.set] ** -_EXPONENTS[sets]
        factor = (set_weights or {}).get(example.set, 1.0)
        weights[example.id] = label * group * factor
    mean = sum(weights.values()) / max(1, len(weights))
    return {name: weight / mean for name, weight in weights.items()}
