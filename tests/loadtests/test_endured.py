"""What a long run's samples and readings come to."""

from __future__ import annotations

import asyncio
import os
from collections import Counter

import pytest

from loadtests.endured import Endured, Verdict, document, over_time, to_json, verdict_table
from loadtests.latency import Sample
from loadtests.overload import flat_memory, honest
from loadtests.vitals import Reading, growth, watched
from training.evaluate.report_html import to_html


def sample(due: float, taken: float, error: str | None = None) -> Sample:
    return Sample(due, due, None, None, due + taken, 1, 1, error)


def reading(after: float, resident: int) -> Reading:
    return Reading(after, resident, 20, 8)


@pytest.mark.parametrize(
    ("values", "grown"),
    [
        ([1, 9, 10, 10, 10, 10, 11, 11], 0.1),
        ([5, 5, 5, 5], 0.0),
        ([4, 2, 1, 1], -0.5),
        ([1, 2, 3], 0.0),
        ([], 0.0),
    ],
)
def test_growth_is_of_the_last_quarter_over_the_second(values: list[float], grown: float) -> None:
    assert growth(values) == pytest.approx(grown)


def test_memory_that_grows_does_not_hold() -> None:
    flat = [reading(n, 1000) for n in range(8)]
    assert flat_memory(flat).held
    leaking = [reading(n, 1000 + 100 * n) for n in range(8)]
    assert not flat_memory(leaking).held
    assert not flat_memory([]).held


def test_wrong_and_broken_answers_do_not_hold() -> None:
    right, refused = honest(Counter(RefusedError=5))
    assert right.held
    assert refused.held
    right, refused = honest(Counter(RefusedError=5, WrongAnswerError=1, ServerDisconnectedError=2))
    assert (right.held, right.seen) == (False, "1 are wrong")
    assert (refused.held, refused.seen) == (False, "2 are neither")


def test_time_is_cut_into_equal_parts() -> None:
    samples = [sample(float(n), 0.5, "RefusedError" if n % 2 else None) for n in range(10)]
    rows = over_time(samples, parts=3)
    assert [row["asked"] for row in rows] == [3, 3, 4]
    assert [row["answered"] for row in rows] == [2, 1, 2]
    assert rows[0]["total"]["p50"] == pytest.approx(500)
    assert over_time([]) == []


def test_the_page_and_the_json_say_what_did_not_hold() -> None:
    endured = Endured(
        title="Overload",
        about="Much was sent.",
        seconds=10,
        verdicts=[Verdict("all is well", "it is not", held=False)],
        samples=[sample(float(n), 0.5) for n in range(10)],
        readings=[reading(n, 2**30) for n in range(10)],
        counts={"refused: overloaded": 3},
    )
    page = to_html(document(endured, {"model": "embedded"}))
    assert "does not hold" in page
    assert page.count("<svg") == 4
    found = to_json(endured, {"model": "embedded"})
    assert found["verdicts"] == [{"what": "all is well", "seen": "it is not", "held": False}]
    assert found["counts"] == {"refused: overloaded": 3}
    assert verdict_table(endured).rows[0][-1] == "does not hold"


def test_a_process_is_watched() -> None:
    async def watch() -> list[Reading]:
        async with watched(os.getpid(), every=0.01) as readings:
            await asyncio.sleep(0.1)
        return readings

    readings = asyncio.run(watch())
    assert len(readings) > 1
    assert all(one.resident > 2**20 and one.files and one.threads for one in readings)
    assert readings[-1].after > readings[0].after
