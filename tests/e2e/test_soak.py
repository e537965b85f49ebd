"""The soak of `make soak`, for seconds: every kind of work on the running server."""

from __future__ import annotations

import asyncio

import pytest

from loadtests.soak import TURN, soak
from loadtests.workload import of_length
from tests.servers import RunningServer

pytestmark = [pytest.mark.engine, pytest.mark.slow]

ITEMS = of_length(len(TURN), 20, lambda text: len(text.split()), seed=5)


def test_every_kind_of_work_is_answered_as_it_should_be(embedded_server: RunningServer) -> None:
    found = asyncio.run(soak(embedded_server.url, embedded_server.process.pid, ITEMS, seconds=4))
    assert found.readings
    assert sum(found.counts[kind] for kind in set(TURN)) >= len(TURN)
    # Of a run this short, memory and times say nothing.
    for one in (*found.checks[:4], found.checks[-1]):
        assert one.passed, (one.what, one.seen)
