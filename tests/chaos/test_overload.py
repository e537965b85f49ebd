"""More work than the engine can do: what is answered is right, the rest is refused at once.

The five minutes on the real engine are `make overload`; here the same run takes seconds on an
engine that takes a fixed time a step, and less may run at once than comes.
"""

from __future__ import annotations

import asyncio

from loadtests.clients import session
from loadtests.endured import Endured
from loadtests.overload import Load, overload
from loadtests.workload import Item
from tests.chaos.client import WORD
from tests.chaos.conftest import Start

ITEMS = tuple(Item("dreaddit", f"{WORD} number {n}", 8) for n in range(96))
LOAD = Load(seconds=4, times=4, deadline=2)


async def run(url: str, pid: int) -> Endured:
    async with session() as web:
        return await overload(web, url, pid, ITEMS, LOAD)


def test_four_times_what_it_can_do(start: Start) -> None:
    # So that a few requests run at a time.
    with start(0.02, 8, max_running_tokens=1500) as server:
        endured = asyncio.run(run(server.url, server.process.pid))
    verdicts = {one.what: one for one in endured.verdicts}
    memory = [what for what in verdicts if what.startswith("memory")]
    assert memory
    for what in verdicts.keys() - set(memory):
        assert verdicts[what].held, (what, verdicts[what].seen)
    refused = sum(count for name, count in endured.counts.items() if name.startswith("refused: "))
    assert refused > len(endured.samples) / 3
    assert endured.counts["answered"] + refused == len(endured.samples)
