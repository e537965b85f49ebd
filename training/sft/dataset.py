"""From prepared examples to the rows of a run, and the validation rows it is watched by."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from service.analysis.manifest import PromptStyle
from service.analysis.prompt import PromptEncoder
from service.analysis.types import Truncation
from training.data.example import Example, Split
from training.data.prepared import Prepared
from training.errors import DataError
from training.sft.balance import Balance, example_weights
from training.sft.collate import COLUMNS
from training.sft.encoding import EncodingReport, Supervision, Tree, TreeEncoder, chosen
from training.sft.layout import Layout, Row, lay_out
from training.sft.passes import passes
from training.sft.recipe import Recipe

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """What a run is trained on.

    Attributes:
        rows: in the recipe's layout.
        examples: what they were made of, without those that do not fit.
        report: what encoding did.
    """

    rows: tuple[Row, ...]
    examples: tuple[Example, ...]
    report: EncodingReport

    def to_dataset(self) -> Dataset:
        """The rows as a data set with the collator's columns and `length`."""
        from datasets import Dataset

        columns: dict[str, list[Any]] = {
            name: [getattr(row, name) for row in self.rows] for name in COLUMNS
        }
        return Dataset.from_dict({**columns, "length": [row.length for row in self.rows]})


def training_rows(recipe: Recipe, prepared: Prepared, tokenizer: Any) -> TrainingRows:
    """Choose, weigh, encode and lay out the training examples.

    Raises:
        DataError: the recipe's choice leaves no row, or none fits.
        ModelError: the tokenizer cannot tell a question's labels apart.
    """
    examples = chosen_examples(recipe, prepared.examples[Split.TRAIN])
    if not examples:
        raise DataError(
            "The prepared data holds no training rows that the recipe takes. Look at `data.sets` "
            "and `data.origins`, and at the data's README.md for what is there."
        )
    parts = passes(recipe, examples)
    weights = example_weights(
        [example for part in parts for example in part],
        sets=Balance(recipe.balance.sets),
        labels=Balance(recipe.balance.labels),
        set_weights=recipe.balance.set_weights,
    )
    encoder = TreeEncoder(
        tokenizer,
        PromptEncoder(tokenizer, PromptStyle(recipe.model.prompt_style)),
        Supervision(
            answer_weight=recipe.loss.answer_weight,
            explanation_weight=recipe.loss.explanation_weight,
            by_example=recipe.loss.normalise == "example",
            whole_sentence=recipe.loss.answer_span == "sentence",
            full_text=recipe.loss.full_text,
        ),
        recipe.data.max_tokens,
        Truncation(recipe.data.truncation),
    )
    trees: list[Tree] = []
    report = EncodingReport()
    for part in parts:
        explained = (
            chosen(part, recipe.balance.share_explained, recipe.seed)
            if recipe.data.explanations
            else frozenset()
        )
        found, _ = encoder.encode(part, weights=weights, explained=explained, report=report)
        trees += found
    if not trees:
        raise DataError(
            f"No training row fits {recipe.data.max_tokens} tokens: raise data.max_tokens."
        )
    rows = lay_out(trees, Layout(recipe.layout), recipe.data.max_tokens)
    left_out = set(report.left_out)
    first = {example.id for example in parts[0]}  # with less than one pass not all come
    kept = tuple(e for e in examples if e.id in first and e.id not in left_out)
    return TrainingRows(tuple(rows), kept, report)


def chosen_examples(recipe: Recipe, examples: Iterable[Example]) -> list[Example]:
    """The examples whose set and origin the recipe takes, at most its limit of each set."""
    data = recipe.data
    kept = [
        example
        for example in examples
        if (data.sets is None or example.set in data.sets)
        and (data.origins is None or example.origin.value in data.origins)
    ]
    return kept if data.row_limit is None else sample(kept, data.row_limit, recipe.seed)


def sample(examples: Sequence[Example], rows: int, seed: int) -> list[Example]:
    """At most `rows` examples of each set, whole posts as long as they fit, in the given order.

    The draw depends on the seed and the posts alone: a set's sample is the same whatever the other
    sets are.
    """
    by_set: dict[str, dict[str, list[Example]]] = {}
    for example in examples:
        by_set.setdefault(example.set, {}).setdefault(example.post_key, []).append(example)
    kept: set[str] = set()
    for name, posts in by_set.items():
        keys = sorted(posts)
        random.Random(f"{seed}:{name}").shuffle(keys)
        room = rows
        for key in keys:
            members = posts[key][:room]
            kept.update(example.id for example in members)
            room -= len(members)
            if not room:
                break
    return [example for example in examples if example.id in kept]
