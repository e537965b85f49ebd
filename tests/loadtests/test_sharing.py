"""Posts per second: the order of the measurements and the sums made of them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from rich.console import Console

from loadtests import sharing
from loadtests.posts import POSTS
from loadtests.sharing import Measurement, rows, table, to_json
from loadtests.ways import Done, Way
from service.analysis.types import Usage
from tests.loadtests.benches import FakeClient, fake_bench

DONE = Done(Usage(54_000, 43_000), labels=90, answers=120)


def took(*seconds: float, done: Done = DONE) -> list[Measurement]:
    return [Measurement(8, one, done) for one in seconds]


FOUND = {
    Way.FREE_FORM: took(32.0, 16.0, 8.0, done=Done(Usage(1, 0, 9_600), 30, 120)),
    Way.AS_SHIPPED: took(1.0, 4.0, 2.0),
    Way.QUESTION_FIRST: took(8.0, 8.0, 8.0),
}


def test_rows_hold_medians_and_how_much_faster_the_shipped_way_is() -> None:
    found = rows(FOUND)
    assert [row.way for row in found] == list(Way)
    assert [row.median for row in found] == [4.0, 1.0, 0.5]
    assert [row.ratio for row in found] == [1.0, 4.0, 8.0]


def test_the_table_shows_every_round() -> None:
    console = Console(width=140)
    with console.capture() as capture:
        console.print(table(rows(FOUND)))
    lines = capture.get().splitlines()
    shipped = next(line for line in lines if "(a) as shipped" in line)
    assert "8.00 2.00 4.00" in shipped
    assert "54,000" in shipped
    assert "43,000" in shipped
    assert "75.0%" in shipped
    free = next(line for line in lines if "(c) free form" in line)
    assert "8.0 times" in free
    assert "25.0%" in free


def test_the_file_holds_every_measurement_and_no_post() -> None:
    written = json.dumps(to_json(rows(FOUND), {"cores": 2}))
    read = json.loads(written)
    assert read["machine"] == {"cores": 2}
    assert read["posts"] == 8
    assert list(read["ways"]) == [way.value for way in Way]
    free = read["ways"]["free_form"]
    assert free["shipped_is_faster"] == 8.0
    assert [one["seconds"] for one in free["rounds"]] == [32.0, 16.0, 8.0]
    assert free["rounds"][0]["completion_tokens"] == 9_600
    assert free["rounds"][0]["answers_with_label"] == 30
    assert not any(post[:40] in written for post in POSTS)


async def test_ways_take_turns_and_each_starts_with_an_empty_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, asked = FakeClient(), []

    class Recorded:
        def __init__(self, way: Way) -> None:
            self.way = way

        async def ask(self, posts: Sequence[str], request_id: str) -> Done:
            asked.append((self.way, len(posts), client.emptied, request_id))
            return DONE

    monkeypatch.setattr(sharing, "all_ways", lambda _: {way: Recorded(way) for way in Way})
    found = await sharing.measure(fake_bench(client=client), POSTS[:5], rounds=2)
    a, b, c = Way
    assert [one[:3] for one in asked] == [
        *((way, 2, 0) for way in Way),
        *((a, 5, 1), (b, 5, 2), (c, 5, 3)),
        *((a, 5, 4), (b, 5, 5), (c, 5, 6)),
    ]
    assert len({one[3] for one in asked}) == 9
    assert {way: len(measured) for way, measured in found.items()} == dict.fromkeys(Way, 2)
    assert all(one.posts == 5 and one.done is DONE for way in Way for one in found[way])
