"""Counting in this process and in a real Redis: the same behaviour, but for who shares it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from service.gate.counters import Counters, _seconds_until
from service.settings import InvalidSettingsError
from tests.redis import RunningRedis, running_redis
from tests.service.test_metrics import sample

Make = Callable[[], Counters]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRedis]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """Makes counters, as every process of a deployment does."""
    made = []
    url = request.getfixturevalue("redis").url if request.param == "redis" else None

    def counters() -> Counters:
        made.append(Counters(url))
        return made[-1]

    yield counters
    for one in made:
        await one.aclose()


@pytest.fixture
def caller(request: pytest.FixtureRequest) -> str:
    """A caller whom no other test knows."""
    return request.node.name


async def test_as_many_as_allowed_and_no_more(make: Make, caller: str):
    counters = make()
    assert [await counters.count("requests", caller, 3) for _ in range(3)] == [None] * 3
    refusal = await counters.count("requests", caller, 3)
    assert refusal is not None
    assert 1 <= refusal.seconds <= 120
    # Another caller, and another thing that is counted, have their own.
    assert await counters.count("requests", f"{caller}-other", 3) is None
    assert await counters.count("posts", caller, 3) is None


async def test_a_cost_is_counted_as_a_whole_or_not_at_all(make: Make, caller: str):
    counters = make()
    assert await counters.count("posts", caller, 10, 7) is None
    assert await counters.count("posts", caller, 10, 4) is not None
    assert await counters.count("posts", caller, 10, 3) is None
    assert await counters.count("posts", caller, 10, 1) is not None


async def test_as_many_places_as_allowed(make: Make, caller: str):
    counters = make()
    async with counters.place(caller, 2) as first, counters.place(caller, 2) as second:
        assert (first, second) == (True, True)
        async with counters.place(caller, 2) as third:
            assert third is False
        async with counters.place(f"{caller}-other", 2) as other:
            assert other is True
    async with counters.place(caller, 1) as again:
        assert again is True


async def test_a_place_is_given_back_when_its_request_is_cancelled(make: Make, caller: str):
    counters = make()
    held = asyncio.Event()

    async def request() -> None:
        async with counters.place(caller, 1):
            held.set()
            await asyncio.Event().wait()

    running = asyncio.create_task(request())
    await held.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    async with counters.place(caller, 1) as free:
        assert free is True


async def test_processes_share_what_redis_counts(redis: RunningRedis, caller: str):
    one, other = Counters(redis.url), Counters(redis.url)
    try:
        assert await one.count("requests", caller, 1) is None
        assert await other.count("requests", caller, 1) is not None
        async with one.place(caller, 1), other.place(caller, 1) as second:
            assert second is False
    finally:
        await one.aclose()
        await other.aclose()


async def test_processes_share_nothing_without_it(caller: str):
    one, other = Counters(), Counters()
    assert await one.count("requests", caller, 1) is None
    assert await other.count("requests", caller, 1) is None


async def test_a_lease_that_ended_frees_its_place(redis: RunningRedis, caller: str, monkeypatch):
    monkeypatch.setattr("service.gate.counters._LEASE_SECONDS", 1)
    counters = Counters(redis.url)
    try:
        async with counters.place(caller, 1):
            await asyncio.sleep(1.1)  # as if its process had died
            async with counters.place(caller, 1) as free:
                assert free is True
    finally:
        await counters.aclose()


async def test_without_redis_the_process_counts(tmp_path, caller: str, caplog):
    now = [0.0]
    with running_redis(tmp_path) as server:
        counters = Counters(server.url, clock=lambda: now[0])
        assert await counters.count("requests", caller, 2) is None
        async with counters.place(caller, 1):
            server.stop()
            before = sample("mentalllama_limit_store_errors_total")
            with caplog.at_level(logging.ERROR):
                assert await counters.count("requests", caller, 2) is None
                assert await counters.count("requests", caller, 2) is None
                assert await counters.count("requests", caller, 2) is not None
                async with counters.place(caller, 1) as second:
                    assert second is False
            # It is asked again only after a while, and said once.
            assert sample("mentalllama_limit_store_errors_total") == before + 1
            assert len(caplog.records) == 1
            assert "Redis does not answer" in caplog.text
        server.start()
        now[0] = 10
        assert await counters.count("requests", caller, 1) is None  # Redis lost its counts
        assert await counters.count("requests", caller, 1) is not None
        await counters.aclose()


async def test_a_redis_that_hangs_holds_nobody_up(tmp_path, caller: str):
    with running_redis(tmp_path) as server:
        counters = Counters(server.url)
        assert await counters.count("requests", caller, 2) is None
        server.hang()
        begun = time.monotonic()
        for _ in range(20):
            await counters.count("requests", caller, 2)
        assert time.monotonic() - begun < 2
        await counters.aclose()


@pytest.mark.parametrize(
    "url", ["localhost:6379", "http://localhost", "memory://", "redis://localhost:port"]
)
def test_a_wrong_url_is_told_of_without_it(url: str):
    with pytest.raises(InvalidSettingsError, match="MENTALLLAMA_REDIS_URL") as caught:
        Counters(url)
    assert url not in caught.value.message


@pytest.mark.parametrize(
    ("window", "allowed", "seconds"),
    [
        # The last minute's 60 fade by one a second: 60 * 30/60 = 30 now.
        ((60, 30.0, 0, 0.0), 29, 1),
        ((60, 30.0, 0, 0.0), 20, 10),
        ((60, 30.0, 10, 90.0), 20, 20),
        # This minute's 10 become the last minute's in 40 s, and fade to 5 in 30 more.
        ((0, 0.0, 10, 100.0), 5, 70),
        ((0, 0.0, 1, 60.5), 0, 61),
        ((0, 0.0, 0, 0.0), 0, 1),
    ],
)
def test_when_it_is_worth_trying_again(window, allowed: int, seconds: int):
    assert _seconds_until(*window, allowed=allowed) == seconds
