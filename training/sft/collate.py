"""Rows into batches: padding and the attention mask that keeps branches apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.sft.layout import IGNORED
from training.sft.recipe import MASKED

if TYPE_CHECKING:
    import torch

COLUMNS = ("input_ids", "labels", "weights", "position_ids", "trees", "branches", "examples")
"""Columns of a row in a data set, beside `length`."""


@dataclass(frozen=True, slots=True)
class Collator:
    """Makes a batch of rows.

    Attributes:
        pad_token_id: what fills up short rows; it is never seen and never counts.
        multiple: lengths are rounded up to a multiple of this, so that fewer shapes occur.
        attention: the model's implementation of attention. One of `MASKED` gets a mask of who sees
            whom. The others read from positions that start anew where a sequence begins, and flash
            attention does so in a batch of one row alone: all rows become one, end to end, and
            must not hold branches that share a post.
    """

    pad_token_id: int
    multiple: int = 1
    attention: str = "sdpa"

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Return a batch.

        Returns:
            `input_ids`, `labels`, `position_ids` and `weights` of shape (rows, tokens); `examples`,
            the sum of the examples' weights; `tokens`, how many there are without padding; and, for
            attention with a mask, `attention_mask` of shape (rows, 1, tokens, tokens): True where
            the token of the third dimension sees that of the fourth, or for `eager`, which adds it
            to the scores, 0 there and the least number elsewhere.
        """
        import torch

        count = sum(len(row["input_ids"]) for row in rows)
        examples = torch.tensor([row["examples"] for row in rows]).sum()
        if self.attention not in MASKED:
            rows = [{column: list(_joined(rows, column)) for column in COLUMNS[:4]}]
        longest = max(len(row["input_ids"]) for row in rows)
        length = -(-longest // self.multiple) * self.multiple

        def padded(column: str, value: float, dtype: torch.dtype) -> torch.Tensor:
            batch = torch.full((len(rows), length), value, dtype=dtype)
            for number, row in enumerate(rows):
                batch[number, : len(row[column])] = torch.tensor(row[column], dtype=dtype)
            return batch

        batch = {
            "input_ids": padded("input_ids", self.pad_token_id, torch.long),
            "labels": padded("labels", IGNORED, torch.long),
            "weights": padded("weights", 0.0, torch.float32),
            "position_ids": padded("position_ids", 0, torch.long),
            "examples": examples,
            "tokens": torch.tensor(count),
        }
        if self.attention in MASKED:
            trees = padded("trees", -1, torch.long)
            branches = padded("branches", 0, torch.long)
            mask = attention_mask(trees, branches)
            if self.attention == "eager":
                least = torch.finfo(torch.float32).min
                mask = torch.zeros(mask.shape).masked_fill(~mask, least)
            batch["attention_mask"] = mask
        return batch


def _joined(rows: Sequence[Mapping[str, Any]], column: str) -> Iterator[Any]:
    """What the rows hold in a column, one after the other."""
    for row in rows:
        yield from row[column]


def attention_mask(trees: torch.Tensor, branches: torch.Tensor) -> torch.Tensor:
    """Who sees whom: a token sees the earlier tokens of its tree's post and of its own branch.

    Args:
        trees: number of each token's tree, -1 for padding; shape (rows, tokens).
        branches: number of each token's branch, 0 for the post; shape (rows, tokens).

    Returns:
        Booleans of shape (rows, 1, tokens, tokens). Padding sees padding, so that no token of a row
        sees nothing (the softmax over nothing is not a number).
    """
    import torch

    seen = branches[:, None, :]
    same_tree = trees[:, :, None] == trees[:, None, :]
    same_branch = (seen == 0) | (branches[:, :, None] == seen)
    causal = torch.ones(trees.shape[1], trees.shape[1], dtype=torch.bool).tril()
    return (same_tree & same_branch & causal)[:, None]
