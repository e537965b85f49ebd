"""Splits that no post crosses.

`hold_out` gives a set without validation rows a part for validation; `find_shared` names the train
rows whose post stands in a val or test split of any set. A post is what `post_key` says, so all
questions on it go one way.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from imhi.tasks import DATASETS
from training.data.example import Example, Split


def part(example: Example) -> str:
    """Return the set and split of an example as `set/split`."""
    return f"{example.set}/{example.split}"


def find_shared(examples: Sequence[Example], split: Split) -> dict[str, tuple[str, ...]]:
    """Find the rows of `split` whose post also stands in a later split of any set.

    Test goes before val, val before train.

    Returns:
        Example id to the parts in which the post stands too.
    """
    later = {Split.TRAIN: (Split.VAL, Split.TEST), Split.VAL: (Split.TEST,), Split.TEST: ()}[split]
    places: dict[str, set[str]] = defaultdict(set)
    for example in examples:
        if example.split in later:
            places[example.post_key].add(part(example))
    return {
        example.id: tuple(sorted(places[example.post_key]))
        for example in examples
        if example.split is split and example.post_key in places
    }


def hold_out(examples: Sequence[Example], seed: int) -> tuple[tuple[Example, ...], dict[str, int]]:
    """Move a part of each set that has train rows and no val rows to val.

    The part has as many rows as the benchmark's val split of the set, at most a fifth of what is
    there, and each label's share of them. Posts are taken whole. Those that stand in a val or test
    split of another set go first, since train could not keep them; then posts go in the order of
    SHA-256 of the seed and the post's key, so that the choice depends on no order of rows.

    Returns:
        The examples in the order given, and the number of rows held out by set.
    """
    sets = {e.set for e in examples if e.split is Split.TRAIN}
    sets -= {e.set for e in examples if e.split is Split.VAL}
    measured = {e.post_key for e in examples if e.split is not Split.TRAIN}
    chosen: dict[str, set[str]] = {}
    for set_id in sorted(sets):
        rows = [e for e in examples if e.set == set_id and e.split is Split.TRAIN]
        wanted = min(DATASETS[set_id].val, len(rows) // _AT_MOST)
        chosen[set_id] = _chosen(rows, wanted, measured, seed)
        measured |= chosen[set_id]
    moved = tuple(
        replace(e, split=Split.VAL)
        if e.split is Split.TRAIN and e.post_key in chosen.get(e.set, ())
        else e
        for e in examples
    )
    counts = Counter(
        new.set for new, old in zip(moved, examples, strict=True) if new.split is not old.split
    )
    return moved, dict(sorted(counts.items()))


_AT_MOST = 5  # one row in five


def _chosen(rows: Sequence[Example], wanted: int, measured: Collection[str], seed: int) -> set[str]:
    """Keys of the posts to hold out; a post counts for the question and label of its first row."""
    sizes = Counter(row.post_key for row in rows)
    stratum_of: dict[str, str] = {}
    for row in rows:
        stratum_of.setdefault(row.post_key, f"{row.question.id}/{row.label.id}")
    strata: dict[str, list[str]] = defaultdict(list)
    for key, stratum in stratum_of.items():
        strata[stratum].append(key)
    chosen: set[str] = set()
    for stratum, quota in _quotas(strata, sizes, wanted).items():
        left = quota
        for key in sorted(strata[stratum], key=lambda k: (k not in measured, _place(k, seed))):
            if sizes[key] <= left:
                left -= sizes[key]
                chosen.add(key)
    return chosen


def _quotas(
    strata: Mapping[str, Sequence[str]], sizes: Mapping[str, int], wanted: int
) -> dict[str, int]:
    """Rows of each stratum, by the largest remainders of their exact shares."""
    rows = {stratum: sum(sizes[key] for key in keys) for stratum, keys in sorted(strata.items())}
    exact = {stratum: wanted * count / sum(rows.values()) for stratum, count in rows.items()}
    quotas = {stratum: int(share) for stratum, share in exact.items()}
    by_remainder = sorted(exact, key=lambda stratum: (quotas[stratum] - exact[stratum], stratum))
    for stratum in by_remainder[: wanted - sum(quotas.values())]:
        quotas[stratum] += 1
    return quotas


def _place(key: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()
