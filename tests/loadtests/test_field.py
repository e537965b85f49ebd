"""Posts that no prefix cache holds."""

from __future__ import annotations

from imhi.tasks import QUESTIONS
from loadtests.clients import Ask
from loadtests.field import Field


def test_every_measurement_has_posts_of_its_own() -> None:
    field = object.__new__(Field)
    field._marks = 0
    asks = [Ask("A post.", (QUESTIONS["stress"],), explained=False)] * 2
    first, second = field.fresh(asks), field.fresh(asks)
    assert {len(one.post) for one in (*first, *second)} == {len("1001. A post.")}
    assert not {one.post for one in first} & {one.post for one in second}
    assert all(one.questions == asks[0].questions and not one.explained for one in first)
