"""How often an example comes in an epoch, and explanations that are read without their post.

Small sets need more passes than large ones before they are learned, and a pass over a large one
costs many times as much. A set's posts come as often as `balance.repeats` says, each time drawn
anew for `balance.explanation_share`; the set then weighs as if it had that many rows.

The service reads the question of each explanation alone to see whether it supports the answer (the
paper's consistency). `balance.alone_share` trains that read: the explanation stands where the post
does.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import ceil

from training.data.example import Example
from training.sft.encoding import chosen
from training.sft.recipe import Recipe


def passes(recipe: Recipe, examples: Sequence[Example]) -> list[list[Example]]:
    """What comes in an epoch, in parts: the examples on one post in a part stand together.

    An example that comes again has another `source`, and so another id.

    Args:
        recipe: its balance and seed count.
        examples: what the recipe takes.
    """
    times = {name: recipe.balance.repeats.get(name, 1.0) for name in {e.set for e in examples}}
    parts = [
        _drawn(examples, times, number, recipe.seed)
        for number in range(ceil(max(times.values(), default=0.0)))
    ]
    if recipe.data.explanations and recipe.balance.alone_share:
        parts = [[*part, *_alone(part, recipe.balance.alone_share, recipe.seed)] for part in parts]
    return parts


def _drawn(
    examples: Iterable[Example], times: Mapping[str, float], number: int, seed: int
) -> list[Example]:
    """Those that come at least `number` times and once more.

    Of a set with only a fraction of a time left, whole posts are drawn.
    """

    def comes(example: Example) -> bool:
        left = times[example.set] - number
        if left >= 1 or left <= 0:
            return left > 0
        return random.Random(f"{seed}:{number}:{example.set}:{example.post_key}").random() < left

    kept = [example for example in examples if comes(example)]
    if not number:
        return kept
    return [replace(example, source=f"{example.source}#{number}") for example in kept]


def _alone(examples: Sequence[Example], share: float, seed: int) -> list[Example]:
    """A share of the explanations, each as the post of its question.

    What is said of many rows in the same words comes once: all of it would stand on one post.
    """
    renamed = {
        (example.question.id, example.explanation): replace(
            example, source=f"{example.source}#alone", post=example.explanation
        )
        for example in reversed(examples)
        if example.explanation is not None
    }
    alone = list(reversed(renamed.values()))
    taken = chosen(alone, lambda _: share, seed)
    return [replace(example, explanation=None) for example in alone if example.id in taken]
