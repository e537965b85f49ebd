"""Rows as batches: padding, and who sees whom."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lazy import torch
from training.sft.collate import COLUMNS, Collator, attention_mask
from training.sft.encoding import Branch, Tree
from training.sft.layout import IGNORED, Layout, lay_out

TREES = [
    Tree((1, 2), (Branch("a", (3,), (1.0,)), Branch("b", (4, 5), (0.0, 1.0), 3.0))),
    Tree((6,), (Branch("c", (7, 8), (0.0, 1.0), 0.5),)),
]


def rows(layout: Layout) -> list[dict[str, Any]]:
    laid = lay_out(TREES, layout, 64)
    return [{name: getattr(row, name) for name in COLUMNS} for row in laid]


def sees(mask: torch.Tensor) -> list[str]:
    """A line for each token, `x` where it sees."""
    return ["".join("x" if seen else "." for seen in line) for line in mask.tolist()]


def test_short_rows_are_filled_up() -> None:
    batch = Collator(pad_token_id=9, multiple=4)(rows(Layout.PADDED))
    assert batch["input_ids"].tolist() == [[1, 2, 3, 9], [1, 2, 4, 5], [6, 7, 8, 9]]
    assert batch["labels"].tolist() == [
        [IGNORED, IGNORED, 3, IGNORED],
        [IGNORED, IGNORED, IGNORED, 5],
        [IGNORED, IGNORED, 8, IGNORED],
    ]
    assert batch["weights"].tolist() == [[0, 0, 1, 0], [0, 0, 0, 3], [0, 0, 0.5, 0]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0], [0, 1, 2, 3], [0, 1, 2, 0]]
    assert batch["examples"].item() == 4.5
    assert batch["tokens"].item() == 10


@pytest.mark.parametrize(("multiple", "length"), [(1, 5), (4, 8), (64, 64)])
def test_lengths_are_rounded_up(multiple, length) -> None:
    batch = Collator(0, multiple)(rows(Layout.SHARED))
    assert batch["input_ids"].shape == (2, length)
    assert batch["attention_mask"].shape == (2, 1, length, length)


def test_a_branch_sees_its_post_and_itself() -> None:
    mask = Collator(0, 7)(rows(Layout.SHARED))["attention_mask"]
    assert mask.dtype is torch.bool
    assert sees(mask[0, 0]) == [
        "x......",
        "xx.....",
        "xxx....",  # the first branch
        "xx.x...",  # the second
        "xx.xx..",
        ".....x.",  # padding
        ".....xx",
    ]


def test_packed_texts_do_not_see_each_other() -> None:
    (row,) = rows(Layout.PACKED)
    mask = Collator(0)([row])["attention_mask"]
    assert row["input_ids"] == (1, 2, 4, 5, 1, 2, 3, 6, 7, 8)
    assert sees(mask[0, 0]) == [
        "x.........",
        "xx........",
        "xxx.......",
        "xxxx......",
        "....x.....",
        "....xx....",
        "....xxx...",
        ".......x..",
        ".......xx.",
        ".......xxx",
    ]


def test_every_token_sees_something() -> None:
    numbers = torch.tensor([[0, 0, -1, -1]])
    mask = attention_mask(numbers, torch.zeros_like(numbers))
    assert mask.any(-1).all()


def test_eager_attention_gets_numbers_to_add() -> None:
    given = Collator(0, 7)(rows(Layout.SHARED))["attention_mask"]
    added = Collator(0, 7, "eager")(rows(Layout.SHARED))["attention_mask"]
    assert torch.equal(added == 0, given)
    assert (added[~given] < -1e30).all()


@pytest.mark.parametrize("attention", ["flash_attention_2", "flex_attention"])
def test_attention_without_a_mask_gets_one_row(attention) -> None:
    batch = Collator(9, 8, attention)(rows(Layout.PADDED))
    assert "attention_mask" not in batch
    assert batch["input_ids"].tolist() == [[1, 2, 3, 1, 2, 4, 5, 6, 7, 8, 9, 9, 9, 9, 9, 9]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 0, 0, 0, 0, 0, 0]]
    assert batch["weights"].tolist() == [[0, 0, 1, 0, 0, 0, 3, 0, 0, 0.5, 0, 0, 0, 0, 0, 0]]
    assert batch["examples"].item() == 4.5
    assert batch["tokens"].item() == 10
