"""Which rows of a split are measured, and which of them are explained.

A split's examples go in, a `Selection` comes out. Samples are drawn by a seeded hash of the post or
the row: the same rows for every model, and a larger sample holds the smaller one, so that a run can
be widened. Rows of one set are drawn by post: all questions on a post come together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from imhi.tasks import DATASETS
from training.data.example import Example
from training.errors import DataError, UsageError
from training.evaluate.journal import Way


@dataclass(frozen=True, slots=True)
class Selection:
    """What a run asks.

    Attributes:
        examples: the rows that are measured, by set in the order of `DATASETS`.
        asked: way to the ids of the rows that are asked in it.
    """

    examples: tuple[Example, ...]
    asked: Mapping[Way, frozenset[str]]

    def in_way(self, way: Way) -> list[Example]:
        """The rows that are asked in a way, in order."""
        return [example for example in self.examples if example.id in self.asked[way]]


def select(
    examples: Iterable[Example],
    *,
    sets: Collection[str] | None = None,
    limit: int | None = None,
    explained: int | None = 0,
    free_form: int | None = 0,
    seed: int = 0,
) -> Selection:
    """Choose what is measured.

    Args:
        examples: the rows of one split.
        sets: ids of the sets to measure; None for all that have rows.
        limit: most rows a set; None for all.
        explained: how many rows a set are explained; None for all.
        free_form: how many rows a set are asked for a whole response; None for all.
        seed: of the samples.

    Raises:
        UsageError: a set does not exist.
        DataError: there are no rows, or none of a set that was named.
    """
    by_set: dict[str, list[Example]] = {}
    for example in examples:
        by_set.setdefault(example.set, []).append(example)
    for name in sets or ():
        if name not in DATASETS:
            raise UsageError(
                f"There is no set {name!r}; choose from: {', '.join(DATASETS)}. Case counts."
            )
        if name not in by_set:
            raise DataError(
                f"The data has no rows of {name} in this split; it has: "
                f"{', '.join(by_set) or 'none at all'}."
            )
    chosen = [name for name in DATASETS if name in by_set and (sets is None or name in sets)]
    if not chosen:
        raise DataError("The data has no rows in this split: choose another --split.")
    kept = {name: _by_post(by_set[name], limit, seed) for name in chosen}
    rows = tuple(example for name in chosen for example in kept[name])
    return Selection(
        rows,
        {
            Way.READ: frozenset(example.id for example in rows),
            Way.EXPLAINED: _by_row(kept.values(), explained, seed, Way.EXPLAINED),
            Way.FREE_FORM: _by_row(kept.values(), free_form, seed, Way.FREE_FORM),
        },
    )


def _by_post(rows: Sequence[Example], limit: int | None, seed: int) -> list[Example]:
    """At most `limit` rows, in their order: whole posts, and of the last one what fits."""
    if limit is None or len(rows) <= limit:
        return list(rows)
    posts: dict[str, list[Example]] = {}
    for row in rows:
        posts.setdefault(row.post_key, []).append(row)
    drawn = [row for key in sorted(posts, key=lambda key: _draw(seed, key)) for row in posts[key]]
    kept = {row.id for row in drawn[:limit]}
    return [row for row in rows if row.id in kept]


def _by_row(
    sets: Iterable[Sequence[Example]], number: int | None, seed: int, way: Way
) -> frozenset[str]:
    """Ids of at most `number` rows of each set."""
    ids: list[str] = []
    for rows in sets:
        drawn = sorted((row.id for row in rows), key=lambda one: _draw(seed, f"{way} {one}"))
        ids += drawn[:number]
    return frozenset(ids)


def _draw(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed} {key}".encode()).digest()
