"""How much work a recipe is on its data, by estimate: rows, sequences, tokens, steps.

Rows and posts are counted; tokens are guessed from characters, since no tokenizer is loaded for a
plan.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from training.data.example import Example
from training.sft.passes import passes
from training.sft.recipe import Recipe

_CHARACTERS = 4
"""Characters to a token of English, about."""
_DENSE = 3
"""The same where a text is dense; for the longest sequence, which is to fit."""
_TAIL = 30
"""Tokens of a question, its answer and `Reasoning:`, about."""


@dataclass(frozen=True, slots=True)
class SetWork:
    """One set's part.

    Attributes:
        set: id of the data set.
        rows: examples in an epoch; one that repeats counts each time.
        explained: of these, with an explanation that is trained.
        posts: different texts.
    """

    set: str
    rows: int
    explained: int
    posts: int


@dataclass(frozen=True, slots=True)
class Work:
    """What a run is to do.

    Attributes:
        sets: in the order of the data.
        sequences: in an epoch, about, as the layout makes them.
        tokens: in an epoch, about, without padding.
        longest: tokens of the longest sequence, about and rather too many.
        steps: of the optimizer in all, about.
    """

    sets: tuple[SetWork, ...]
    sequences: int
    tokens: int
    longest: int
    steps: int

    @property
    def rows(self) -> int:
        """Examples of all sets."""
        return sum(part.rows for part in self.sets)


def count_work(recipe: Recipe, examples: Sequence[Example], processes: int) -> Work:
    """Count what a recipe does with examples.

    Args:
        recipe: what is done.
        examples: those that it takes, at least one.
        processes: how many share the work.
    """
    parts = passes(recipe, examples)
    coming = [example for part in parts for example in part]
    sets = []
    for name in dict.fromkeys(example.set for example in examples):
        members = [example for example in coming if example.set == name]
        explained = sum(example.explanation is not None for example in members)
        posts = len({example.post for example in members})
        sets.append(SetWork(name, len(members), round(_share(recipe, name) * explained), posts))

    lengths = [length for part in parts for length in _lengths(recipe, part, _CHARACTERS)]
    tokens = round(sum(lengths))
    if recipe.layout == "packed":
        sequences = math.ceil(tokens / recipe.data.max_tokens)
    else:
        sequences = len(lengths)
    how = recipe.optimisation
    in_step = how.batch_sequences * how.gradient_accumulation * processes
    steps = math.ceil(math.ceil(sequences / in_step) * how.epochs)
    return Work(
        sets=tuple(sets),
        sequences=sequences,
        tokens=tokens,
        longest=round(max(max(_lengths(recipe, part, _DENSE), default=0) for part in parts)),
        steps=min(steps, how.max_steps or steps),
    )


def _share(recipe: Recipe, set_id: str) -> float:
    """The share of a set's explained rows that are trained with their explanation."""
    return recipe.balance.share_explained(set_id) if recipe.data.explanations else 0.0


def _lengths(recipe: Recipe, examples: Sequence[Example], characters: int) -> list[float]:
    """Tokens of each sequence, before packing."""
    most = recipe.data.max_tokens

    def branch(example: Example) -> float:
        said = len(example.explanation or "") / characters
        return _TAIL + _share(recipe, example.set) * said

    if recipe.layout != "shared":
        return [min(most, len(one.post) / characters + branch(one)) for one in examples]
    branches: dict[str, list[float]] = {}
    for example in examples:
        branches.setdefault(example.post, []).append(branch(example))
    return [
        min(most - max(found), len(post) / characters) + sum(found)
        for post, found in branches.items()
    ]
