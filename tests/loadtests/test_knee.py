"""Where the knee is, of runs whose attainment is known."""

from __future__ import annotations

from typing import Any

import pytest

from loadtests.knee import knee_of


def runs(*pairs: tuple[float, float]) -> list[dict[str, Any]]:
    return [{"offered": offered, "attained": attained} for offered, attained in pairs]


@pytest.mark.parametrize(
    ("pairs", "knee"),
    [
        ([(1.0, 1.0), (2.0, 1.0), (3.0, 0.8)], 2.5),
        ([(1.0, 1.0), (2.0, 0.9), (3.0, 0.5)], 2.0),
        ([(1.0, 1.0), (2.0, 0.95)], 2.0),
        ([(1.0, 0.5)], 0.0),
        ([], 0.0),
    ],
)
def test_the_knee(pairs: list[tuple[float, float]], knee: float) -> None:
    assert knee_of(runs(*pairs)) == pytest.approx(knee)
