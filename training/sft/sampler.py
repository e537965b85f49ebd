"""The order of rows: shuffled by epoch, rows of a like length together.

transformers has such a sampler; its order hangs on the global random state at the epoch's start, so
a run that resumes in the middle of an epoch would see another order. Here the order follows from
the seed and the epoch alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

_BATCHES = 50
"""Batches' worth of rows that are sorted by length together, as in transformers."""


class LengthSampler:
    """Indices of rows, in batches of a like length.

    Args:
        lengths: tokens of each row.
        batch: rows in one step of one process: batch size times accumulated batches times
            processes.
        seed: with the epoch it decides the order.
    """

    def __init__(self, lengths: Sequence[int], batch: int, seed: int) -> None:
        self._lengths = lengths
        self._batch = batch
        self._seed = seed
        self._epoch = 0

    def __len__(self) -> int:
        return len(self._lengths)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; accelerate's loaders call it."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        order = list(range(len(self._lengths)))
        draw = random.Random(f"{self._seed}:{self._epoch}")
        draw.shuffle(order)
        group = self._batch * _BATCHES
        batches = []
        for start in range(0, len(order), group):
            rows = sorted(order[start : start + group], key=lambda row: -self._lengths[row])
            batches += [rows[at : at + self._batch] for at in range(0, len(rows), self._batch)]
        # The short one stays last: loaders cut the order into batches from its start.
        last = batches.pop() if batches and len(batches[-1]) < self._batch else []
        draw.shuffle(batches)
        longest = max(
            range(len(batches)), key=lambda place: self._lengths[batches[place][0]], default=0
        )
        if batches:  # first, so that a run that does not fit fails at once
            batches[0], batches[longest] = batches[longest], batches[0]
        yield from (row for rows in [*batches, last] for row in rows)
