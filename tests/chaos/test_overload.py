"""More work than the engine can do: what is answered is right, the rest is refused at once.

The five minutes on the real engine are `make overload`; here the same run takes seconds on an
engine that takes a fixed time a step, and less may run at once than comes.
"""

from __future__ import annotations

import asyncio

import pytest

from loadtests.overload import overload
from loadtests.workload import Item
from tests.chaos.client import WORD
from tests.chaos.conftest import Start

pytestmark = pytest.mark.slow

ITEMS = tuple(Item("dreaddit", f"{WORD} number {n}", 8) for n in range(96))


def test_four_times_what_it_can_do(start: Start) -> None:
    # So that a few requests run at a time.
    with start(0.02, 8, max_running_tokens=1500) as server:
        run = overload(server.url, server.process.pid, ITEMS, seconds=4, times=4, deadline=2)
        found = asyncio.run(run)
    checks = {one.what: one for one in found.checks}
    memory = [what for what in checks if what.startswith("memory")]
    assert memory  # of a run this short, it says nothing
    for what in checks.keys() - set(memory):
        assert checks[what].passed, (what, checks[what].seen)
    assert found.counts["refused"] > found.counts["requests"] / 3
    assert found.counts["answered"] + found.counts["refused"] == found.counts["requests"]
    codes = (count for name, count in found.counts.items() if name.startswith("refused: "))
    assert sum(codes) == found.counts["refused"]
