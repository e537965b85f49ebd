"""The soak of `make soak`, for seconds: every kind of work on the running server."""

from __future__ import annotations

import asyncio

import pytest

from loadtests.clients import session
from loadtests.endured import Endured
from loadtests.soak import TURN, soak
from loadtests.workload import of_length
from tests.servers import RunningServer

pytestmark = pytest.mark.engine

ITEMS = of_length(len(TURN), 20, lambda text: len(text.split()), seed=5)


def test_every_kind_of_work_is_answered_as_it_should_be(server: RunningServer) -> None:
    async def run() -> Endured:
        async with session() as web:
            return await soak(web, server.url, server.process.pid, ITEMS, seconds=4)

    endured = asyncio.run(run())
    assert endured.readings
    assert sum(endured.counts[kind] for kind in set(TURN)) >= len(TURN)
    # Of a run this short, memory and times say nothing.
    for one in endured.verdicts[:4] + endured.verdicts[-1:]:
        assert one.held, (one.what, one.seen)
