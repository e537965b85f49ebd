"""Counts of rows, sequences and steps, by layout and processes."""

from __future__ import annotations

import math

import pytest

from tests.training.sft.recipes import POSTS, examples
from training.data.example import Split
from training.sft.overrides import resolve
from training.sft.work import Work, count_work

TRAIN = [example for example in examples() if example.split is Split.TRAIN]


def work(*overrides: str, processes: int = 1) -> Work:
    fixed = [
        "optimisation.epochs=2",
        "optimisation.batch_sequences=2",
        "optimisation.gradient_accumulation=1",
        "balance.repeats={}",
        "balance.alone_share=0",
    ]
    return count_work(resolve("embedded-135m", [*fixed, *overrides]).recipe, TRAIN, processes)


def test_rows_are_counted_by_set() -> None:
    parts = {part.set: part for part in work("balance.explanation_share=1").sets}
    assert {name: part.rows for name, part in parts.items()} == {
        "dreaddit": 4,
        "DR": 4,
        "MultiWD": 4,
    }
    assert parts["dreaddit"].explained == 4
    assert parts["DR"].explained == 0
    assert parts["MultiWD"].posts == 4
    assert work().rows == len(TRAIN) == 12


@pytest.mark.parametrize(("share", "explained"), [(0, 0), (0.5, 2), (1, 4)])
def test_explanations_are_trained_by_their_share(share: float, explained: int) -> None:
    assert work(f"balance.explanation_share={share}").sets[0].explained == explained


def test_a_set_may_have_a_share_of_its_own() -> None:
    shares = ("balance.explanation_share=1", "balance.explanation_shares={dreaddit: 0.5}")
    parts = {part.set: part.explained for part in work(*shares).sets}
    assert parts["dreaddit"] == 2
    longer, shorter = work("balance.explanation_share=1"), work(*shares)
    assert shorter.tokens < longer.tokens


def test_a_shared_sequence_is_a_post_and_a_padded_one_a_row() -> None:
    posts = len({example.post for example in TRAIN})
    assert work("layout=shared").sequences == posts < len(POSTS)
    assert work("layout=padded").sequences == 12
    assert work("layout=shared").tokens < work("layout=padded").tokens
    assert work("layout=shared").longest > work("layout=padded").longest


def test_packed_sequences_are_full() -> None:
    packed = work("layout=packed", "data.max_tokens=128")
    assert packed.sequences == math.ceil(packed.tokens / 128)


def test_steps_are_what_batches_and_processes_make() -> None:
    assert work("layout=padded").steps == 12
    assert work("layout=padded", "optimisation.gradient_accumulation=3").steps == 4
    assert work("layout=padded", processes=2).steps == 6
    assert work("layout=padded", "optimisation.max_steps=5").steps == 5
    assert work("layout=padded", "optimisation.epochs=0.5").steps == 3


def test_a_long_post_is_cut() -> None:
    assert work("layout=padded", "data.max_tokens=64").longest <= 64


def test_what_repeats_is_work_each_time() -> None:
    once, more = work(), work("balance.repeats={DR: 3, MultiWD: 0.01}")
    rows = {part.set: part.rows for part in more.sets}
    assert (rows["dreaddit"], rows["DR"]) == (4, 12)
    assert rows.get("MultiWD", 0) <= 4
    assert more.tokens > once.tokens
    assert work("balance.alone_share=1").sequences > once.sequences
