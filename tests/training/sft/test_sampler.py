"""The order of rows: by the seed and the epoch alone, like lengths together."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.sft.sampler import LengthSampler


def order(lengths: list[int], *, batch: int = 4, seed: int = 1, epoch: int = 0) -> list[int]:
    sampler = LengthSampler(lengths, batch, seed)
    sampler.set_epoch(epoch)
    assert len(sampler) == len(lengths)
    return list(sampler)


LENGTHS = [random.Random(0).randrange(10, 500) for _ in range(203)]


@given(st.lists(st.integers(1, 1000), max_size=300), st.integers(1, 20), st.integers(0, 3))
def test_every_row_comes_once(lengths, batch, epoch) -> None:
    assert sorted(order(lengths, batch=batch, epoch=epoch)) == list(range(len(lengths)))


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    first = order(LENGTHS)
    random.seed(99)
    assert order(LENGTHS) == first
    assert order(LENGTHS, epoch=1) != first
    assert order(LENGTHS, seed=2) != first


@pytest.mark.parametrize("epoch", range(3))
def test_a_batch_holds_rows_of_a_like_length(epoch) -> None:
    rows = order(LENGTHS, epoch=epoch)
    spans = [
        max(lengths) - min(lengths)
        for lengths in (
            [LENGTHS[row] for row in rows[at : at + 4]] for at in range(0, len(rows) - 4, 4)
        )
    ]
    assert sum(spans) / len(spans) < 20  # of 490 where rows are drawn blindly


def test_the_longest_rows_come_first() -> None:
    rows = order(LENGTHS)
    assert LENGTHS[rows[0]] == max(LENGTHS)


def test_a_short_batch_comes_last() -> None:
    rows = order(LENGTHS)
    # 203 rows are 50 batches and 3 rows: the rows of a batch are next to each other in length.
    whole = [rows[at : at + 4] for at in range(0, 200, 4)]
    for batch in whole:
        lengths = [LENGTHS[row] for row in batch]
        assert lengths == sorted(lengths, reverse=True)
