"""Trees laid out as the rows that a model is trained on.

Three layouts, one meaning: the loss of every example is the same in all of them, up to rounding.

- `padded`: a row an example, post and branch. Rows of a like length are batched together.
- `packed`: rows of `padded`, one after the other until the length limit, so that nothing is padded.
- `shared`: a row a post, its tokens once and all its branches after it. A branch sees the post and
  itself, never another branch, and its positions go on where the post's ended. A post with six
  questions then costs little more than one with one. The first token of a branch cannot be trained
  here, since the token before it is another branch's: what counts must begin later.

Which token sees which is told by two numbers a token: the tree that it belongs to and the branch
(0 for the post). `training.sft.collate` makes the attention mask of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from training.sft.encoding import Branch, Tree

IGNORED = -100
"""The label of a token that is not trained on."""


class Layout(StrEnum):
    """How examples become rows; see the module."""

    PADDED = "padded"
    PACKED = "packed"
    SHARED = "shared"


@dataclass(frozen=True, slots=True)
class Row:
    """One row; all tuples have one entry a token.

    Attributes:
        input_ids: tokens.
        labels: the token where it counts, else `IGNORED`.
        weights: what the token counts in the loss, the example's own weight included.
        position_ids: position of the token behind the start of its post.
        trees: number of the tree in this row, from 0.
        branches: number of the branch in its tree, from 1; 0 for the post.
        examples: sum of the examples' weights.
    """

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    weights: tuple[float, ...]
    position_ids: tuple[int, ...]
    trees: tuple[int, ...]
    branches: tuple[int, ...]
    examples: float

    @property
    def length(self) -> int:
        """Tokens."""
        return len(self.input_ids)


def lay_out(trees: Sequence[Tree], layout: Layout, max_tokens: int) -> list[Row]:
    """Return the rows of all trees.

    Args:
        trees: from `training.sft.encoding`.
        layout: see the module.
        max_tokens: length that `packed` rows are filled up to. A `shared` row can be longer, by its
            further branches.
    """
    if layout is Layout.SHARED:
        return [_row([tree]) for tree in trees]
    alone = [
        Tree(tree.shared, (branch,), tree.shared_weights)
        for tree in trees
        for branch in tree.branches
    ]
    if layout is Layout.PADDED:
        return [_row([tree]) for tree in alone]
    return [_row(group) for group in _packed(alone, max_tokens)]


def _packed(trees: Sequence[Tree], max_tokens: int) -> Iterator[list[Tree]]:
    """Groups of trees that fill up rows: best fit, longest first."""
    open_groups: dict[int, list[list[Tree]]] = {}  # by the room that is left
    for tree in sorted(trees, key=lambda tree: tree.length, reverse=True):
        room = min((left for left in open_groups if left >= tree.length), default=None)
        if room is None:
            group, left = [tree], max_tokens - tree.length
        else:
            group = open_groups[room].pop()
            if not open_groups[room]:
                del open_groups[room]
            group.append(tree)
            left = room - tree.length
        open_groups.setdefault(max(0, left), []).append(group)
    for groups in open_groups.values():
        yield from groups


def _row(group: Sequence[Tree]) -> Row:
    tokens: list[int] = []
    counts: list[float] = []
    positions: list[int] = []
    trees: list[int] = []
    branches: list[int] = []
    for number, tree in enumerate(group):
        # A post counts once for each branch, as it does where every branch has its own copy.
        count = sum(branch.weight for branch in tree.branches)
        parts = [Branch("", tree.shared, _shared_weights(tree), count), *tree.branches]
        for place, part in enumerate(parts):
            start = len(tree.shared) if place else 0
            tokens.extend(part.tokens)
            counts.extend(weight * part.weight for weight in part.weights)
            positions.extend(range(start, start + len(part.tokens)))
            trees.extend([number] * len(part.tokens))
            branches.extend([place] * len(part.tokens))
        counts[len(counts) - tree.length] = 0.0  # nothing stands before the first token
    labels = [token if count > 0 else IGNORED for token, count in zip(tokens, counts, strict=True)]
    return Row(
        tuple(tokens),
        tuple(labels),
        tuple(counts),
        tuple(positions),
        tuple(trees),
        tuple(branches),
        sum(branch.weight for tree in group for branch in tree.branches),
    )


def _shared_weights(tree: Tree) -> tuple[float, ...]:
    return tree.shared_weights or (0.0,) * len(tree.shared)
