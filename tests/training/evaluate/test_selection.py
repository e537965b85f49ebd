"""Which rows are asked: the same for every model, and a larger sample holds the smaller."""

from __future__ import annotations

import random

import pytest

from tests.training.evaluate.benchmarks import POSTS, stress_rows, wellness_rows
from training.errors import DataError, UsageError
from training.evaluate.journal import Way
from training.evaluate.selection import select

ROWS = [*wellness_rows(range(len(POSTS))), *stress_rows()]


def ids(limit: int | None, seed: int = 0) -> set[str]:
    return {row.id for row in select(ROWS, limit=limit, seed=seed).examples}


def test_sets_come_in_the_benchmarks_order_and_rows_in_their_own() -> None:
    chosen = select(ROWS).examples
    assert [row.set for row in chosen] == ["dreaddit"] * 6 + ["MultiWD"] * 36
    assert list(chosen) == [*stress_rows(), *wellness_rows(range(len(POSTS)))]


def test_a_limit_holds_for_each_set_and_takes_whole_posts() -> None:
    for limit in range(1, 37):
        chosen = select(ROWS, limit=limit).examples
        wellness = [row for row in chosen if row.set == "MultiWD"]
        assert len(wellness) == limit
        assert len({row.post for row in wellness}) == -(-limit // 6)
        assert sum(row.set == "dreaddit" for row in chosen) == min(limit, 6)


def test_a_larger_sample_holds_the_smaller() -> None:
    for seed in range(3):
        for limit in range(1, 36):
            assert ids(limit, seed) < ids(limit + 1, seed)
    assert len({frozenset(ids(2, seed)) for seed in range(10)}) > 1


def test_a_sample_does_not_depend_on_the_order_of_the_rows() -> None:
    shuffled = random.Random(1).sample(ROWS, len(ROWS))
    assert {row.post_key for row in select(shuffled, limit=6).examples} == {
        row.post_key for row in select(ROWS, limit=6).examples
    }


def test_explained_and_free_form_rows_are_counted_by_set() -> None:
    chosen = select(ROWS, explained=4, free_form=None)
    explained = chosen.in_way(Way.EXPLAINED)
    assert [row.set for row in explained] == ["dreaddit"] * 4 + ["MultiWD"] * 4
    assert chosen.in_way(Way.FREE_FORM) == chosen.in_way(Way.READ) == list(chosen.examples)
    assert select(ROWS).in_way(Way.EXPLAINED) == []
    more = select(ROWS, explained=5)
    assert chosen.asked[Way.EXPLAINED] < more.asked[Way.EXPLAINED]


def test_sets_are_chosen_by_id() -> None:
    assert {row.set for row in select(ROWS, sets=["MultiWD"]).examples} == {"MultiWD"}
    with pytest.raises(UsageError, match=r"'Dreaddit'.*dreaddit"):
        select(ROWS, sets=["Dreaddit"])
    with pytest.raises(DataError, match=r"no rows of CAMS.*MultiWD, dreaddit"):
        select(ROWS, sets=["CAMS"])
    with pytest.raises(DataError, match="--split"):
        select([])
