"""Trees as rows: the three layouts, positions, who belongs where, what counts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.sft.encoding import Branch, Tree
from training.sft.layout import IGNORED, Layout, Row, lay_out


def branch(name: str, *tokens: int, weight: float = 1.0) -> Branch:
    """A branch whose last token counts 1."""
    return Branch(name, tokens, (0.0,) * (len(tokens) - 1) + (1.0,), weight)


TREES = [
    Tree((1, 2, 3), (branch("a", 10, 11), branch("b", 20, 21, 22, weight=3.0))),
    Tree((4, 5), (branch("c", 30, 31, weight=0.5),)),
]


def test_padded_has_a_row_an_example() -> None:
    rows = lay_out(TREES, Layout.PADDED, 64)
    assert [row.input_ids for row in rows] == [
        (1, 2, 3, 10, 11),
        (1, 2, 3, 20, 21, 22),
        (4, 5, 30, 31),
    ]
    assert rows[1] == Row(
        input_ids=(1, 2, 3, 20, 21, 22),
        labels=(IGNORED,) * 5 + (22,),
        weights=(0.0,) * 5 + (3.0,),
        position_ids=(0, 1, 2, 3, 4, 5),
        trees=(0,) * 6,
        branches=(0, 0, 0, 1, 1, 1),
        examples=3.0,
    )


def test_shared_has_a_row_a_post_and_branches_that_begin_where_it_ends() -> None:
    rows = lay_out(TREES, Layout.SHARED, 64)
    assert rows[0] == Row(
        input_ids=(1, 2, 3, 10, 11, 20, 21, 22),
        labels=(IGNORED, IGNORED, IGNORED, IGNORED, 11, IGNORED, IGNORED, 22),
        weights=(0, 0, 0, 0, 1.0, 0, 0, 3.0),
        position_ids=(0, 1, 2, 3, 4, 3, 4, 5),
        trees=(0,) * 8,
        branches=(0, 0, 0, 1, 1, 2, 2, 2),
        examples=4.0,
    )
    assert [row.length for row in rows] == [tree.length for tree in TREES]


def test_packed_has_examples_end_to_end_and_positions_that_start_anew() -> None:
    (row,) = lay_out(TREES, Layout.PACKED, 64)
    assert row.input_ids == (1, 2, 3, 20, 21, 22, 1, 2, 3, 10, 11, 4, 5, 30, 31)
    assert row.position_ids == (0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 0, 1, 2, 3)
    assert row.trees == (0,) * 6 + (1,) * 5 + (2,) * 4
    assert row.examples == 4.5


def test_packed_rows_hold_every_example_once_and_are_filled() -> None:
    lengths = [40, 30, 30, 20, 20, 20, 10, 5, 5]
    trees = [
        Tree((number,) * (length - 2), (branch(str(number), 0, number),))
        for number, length in enumerate(lengths)
    ]
    rows = lay_out(trees, Layout.PACKED, 60)
    assert all(row.length <= 60 for row in rows)
    assert len(rows) == 3  # 180 tokens
    counted = [label for row in rows for label in row.labels if label != IGNORED]
    assert sorted(counted) == list(range(len(lengths)))


def test_a_row_longer_than_a_pack_stands_alone() -> None:
    trees = [Tree((1,) * 70, (branch("a", 2, 3),)), Tree((4,), (branch("b", 5, 6),))]
    assert sorted(row.length for row in lay_out(trees, Layout.PACKED, 60)) == [3, 72]


@pytest.mark.parametrize("layout", [Layout.PADDED, Layout.PACKED])
def test_the_first_token_of_a_text_is_not_trained(layout) -> None:
    trees = [
        Tree((1, 2), (Branch("a", (3, 4), (1.0, 1.0)),), (1.0, 1.0)),
        Tree((5, 6), (Branch("b", (7, 8), (1.0, 1.0)),), (1.0, 1.0)),
    ]
    rows = lay_out(trees, layout, 64)
    labels = [label for row in rows for label in row.labels]
    weights = [weight for row in rows for weight in row.weights]
    assert labels == [IGNORED, 2, 3, 4, IGNORED, 6, 7, 8]
    assert weights == [0, 1, 1, 1, 0, 1, 1, 1]


@pytest.mark.parametrize("layout", Layout)
def test_a_post_that_counts_does_so_for_each_of_its_examples(layout) -> None:
    tree = Tree(
        (1, 2, 3),
        (branch("a", 10, 11, weight=2.0), branch("b", 20, 21, weight=0.5)),
        (1.0, 1.0, 1.0),
    )
    rows = lay_out([tree], layout, 64)
    by_token: dict[int, float] = {}
    for row in rows:
        for token, weight in zip(row.input_ids, row.weights, strict=True):
            by_token[token] = by_token.get(token, 0.0) + weight
    assert by_token == {1: 0, 2: 2.5, 3: 2.5, 10: 0, 11: 2.0, 20: 0, 21: 0.5}


trees = st.lists(
    st.builds(
        lambda post, ends: Tree(
            tuple(range(post)),
            tuple(branch(str(end), *range(100, 100 + end), weight=end / 4) for end in ends),
        ),
        st.integers(1, 30),
        st.lists(st.integers(2, 12), min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=8,
)


@given(trees, st.sampled_from(Layout))
def test_no_layout_loses_what_counts(made, layout) -> None:
    rows = lay_out(made, layout, 64)
    branches = [one for tree in made for one in tree.branches]
    assert math.fsum(row.examples for row in rows) == pytest.approx(
        math.fsum(one.weight for one in branches)
    )
    assert math.fsum(w for row in rows for w in row.weights) == pytest.approx(
        math.fsum(w * one.weight for one in branches for w in one.weights)
    )
    for row in rows:
        columns = (row.labels, row.weights, row.position_ids, row.trees, row.branches)
        assert {len(column) for column in columns} == {row.length}
