"""How often examples come, and explanations without their post."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from imhi.tasks import QUESTIONS
from tests.training.sft.tiny import EXPLANATION, example, recipe
from training.data.example import Example
from training.sft.passes import passes

STRESS = QUESTIONS["stress"]
ROWS = [
    example(
        STRESS,
        set="dreaddit",
        row=row,
        post=f"Post number {row}.",
        explanation=f"{EXPLANATION} {row}" if row % 2 else None,
    )
    for row in range(1, 201)
]
OTHER = [
    example(QUESTIONS["depression"], set="DR", row=row, post=f"Another, {row}.", explanation=None)
    for row in range(1, 5)
]


def parts(*overrides: str) -> list[list[Example]]:
    return passes(recipe("output=out", *overrides), [*ROWS, *OTHER])


def test_by_itself_all_come_once_as_they_are() -> None:
    assert parts() == [[*ROWS, *OTHER]]


def test_a_set_comes_as_often_as_it_is_told() -> None:
    first, second, third = parts("balance.repeats={DR: 3}")
    assert first == [*ROWS, *OTHER]
    assert [one.post for one in second] == [one.post for one in third]
    assert [one.post for one in second] == [one.post for one in OTHER]
    ids = Counter(one.id for part in (first, second, third) for one in part)
    assert set(ids.values()) == {1}


@pytest.mark.parametrize("times", [0.3, 1.3])
def test_of_a_fraction_whole_posts_are_drawn(times: float) -> None:
    twice = [*ROWS, *(example(STRESS, set="dreaddit", row=1000 + r.row, post=r.post) for r in ROWS)]
    found = passes(recipe("output=out", f"balance.repeats={{dreaddit: {times}}}"), twice)
    drawn = Counter(one.post for one in found[-1])
    assert set(drawn.values()) == {2}
    assert 30 < len(drawn) < 90
    again = passes(recipe("output=out", f"balance.repeats={{dreaddit: {times}}}"), twice)
    assert again == found


def test_each_pass_draws_its_own_explanations_alone() -> None:
    found = parts("balance.repeats={dreaddit: 2}", "balance.alone_share=0.3")
    alone = [[one for one in part if one.source.endswith("#alone")] for part in found]
    explanations = {one.explanation for one in ROWS if one.explanation}
    for part in alone:
        assert 15 < len(part) < 50
        assert {one.post for one in part} < explanations
        assert {one.explanation for one in part} == {None}
        assert {one.question for one in part} == {STRESS}
    assert {one.post for one in alone[0]} != {one.post for one in alone[1]}


def test_what_is_said_of_many_rows_stands_alone_once() -> None:
    rows = [replace(one, explanation="The post says so.") for one in ROWS]
    [part] = passes(recipe("output=out", "balance.alone_share=1"), rows)
    alone = [one.post for one in part if one.source.endswith("#alone")]
    assert alone == ["The post says so."]


def test_where_explanations_are_left_out_none_stands_alone() -> None:
    assert parts("balance.alone_share=1", "data.explanations=false") == [[*ROWS, *OTHER]]
