"""Clients that misbehave, by the thousand: afterwards the process is as it was."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from loadtests.servers import Running
from tests.chaos.client import WORD, analysis, ask, connected, message

pytestmark = pytest.mark.slow

SETTLE_SECONDS = 5.0


@pytest.fixture(scope="module")
def server(start) -> Iterator[Running]:
    with start(delay=0.02, words=400, body_seconds=1, reader_seconds=1) as running:
        yield running


def total(server: Running, name: str, **labels: str) -> float:
    text = httpx.get(f"{server.url}/metrics", timeout=10).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


@dataclass(frozen=True)
class Held:
    """What a request could leave behind."""

    files: int
    tasks: float
    engine: float
    in_flight: float


def held(server: Running) -> Held:
    return Held(
        files=psutil.Process(server.process.pid).num_fds(),
        tasks=total(server, "chaos_tasks"),
        engine=total(server, "chaos_engine_requests"),
        in_flight=total(server, "mentalllama_requests_in_flight"),
    )


@pytest.fixture
def nothing_left(server: Running) -> Iterator[None]:
    """After the test the server holds what it held before, and still answers."""
    asyncio.run(ask(server.url, message(analysis(explain="never"))))
    time.sleep(0.2)
    before, memory = held(server), psutil.Process(server.process.pid).memory_info().rss
    yield
    end = time.monotonic() + SETTLE_SECONDS
    while (now := held(server)) != before and time.monotonic() < end:
        time.sleep(0.1)
    assert now == before
    grown = psutil.Process(server.process.pid).memory_info().rss - memory
    assert grown < 64 * 2**20
    answer = asyncio.run(ask(server.url, message(analysis(explain="never"))))
    assert answer.answered()


async def many(count: int, at_once: int, one: Callable[[int], object]) -> list[object]:
    """Run `one` for each number, so many at once."""
    gate = asyncio.Semaphore(at_once)

    async def bounded(number: int) -> object:
        async with gate:
            return await one(number)

    return await asyncio.gather(*(bounded(number) for number in range(count)))


@pytest.mark.usefixtures("nothing_left")
async def test_a_thousand_clients_that_leave(server: Running):
    """Half of them in the middle of a stream; the engine is free within a step, all are counted."""
    cancelled = total(server, "mentalllama_cancellations_total", route="/analyze")

    async def leave(number: int) -> None:
        stream = number % 2 == 0
        async with connected(server.url) as (reader, writer):
            writer.write(message(analysis(stream=stream, explanation_tokens=400)))
            if stream:
                await reader.readuntil(b"event: label\n")
            else:
                await asyncio.sleep(0.2)

    await many(1000, 100, leave)
    await asyncio.sleep(0.3)
    assert total(server, "chaos_engine_requests") == 0
    assert total(server, "mentalllama_cancellations_total", route="/analyze") == cancelled + 1000


@pytest.mark.usefixtures("nothing_left")
async def test_half_sent_bodies_are_given_up(server: Running):
    answers = await many(
        300, 300, lambda _: ask(server.url, message(analysis()[:20], length=5000), seconds=10)
    )
    assert {(one.status, one.code()) for one in answers} == {(408, "request_timeout")}
    assert max(one.ended - one.begun for one in answers) < 8


@pytest.mark.usefixtures("nothing_left")
async def test_clients_that_leave_within_their_body_are_forgotten(server: Running):
    async def leave(_: int) -> None:
        async with connected(server.url) as (_, writer):
            writer.write(message(analysis()[:20], length=5000))
            await asyncio.sleep(0.01)

    await many(1000, 200, leave)


@pytest.mark.usefixtures("nothing_left")
async def test_a_client_that_does_not_read_is_closed(server: Running):
    """And one that reads slowly is not."""
    sent = message(analysis(stream=True, texts=30, explanation_tokens=400))
    cancelled = total(server, "mentalllama_cancellations_total", route="/analyze")

    async def stare(_: int) -> None:
        async with connected(server.url, receive_buffer=4096) as (reader, writer):
            writer.write(sent)
            await reader.readuntil(b"event: label\n")
            writer.transport.pause_reading()
            end = time.monotonic() + 15
            while await asyncio.to_thread(total, server, "mentalllama_requests_in_flight") > 2:
                assert time.monotonic() < end, "it is still being answered"
                await asyncio.sleep(0.5)

    async def sip() -> int:
        taken = 0
        async with connected(server.url, receive_buffer=4096) as (reader, writer):
            writer.write(message(analysis(stream=True, explanation_tokens=400)))
            while piece := await reader.read(2048):
                taken += len(piece)
                await asyncio.sleep(0.03)
                if b"event: result" in piece:
                    break
        return taken

    sipping = asyncio.create_task(sip())
    await many(5, 5, stare)
    assert await sipping > 50_000
    assert total(server, "mentalllama_cancellations_total", route="/analyze") >= cancelled + 5


def broken(number: int) -> bytes:
    """One of a few ways of asking wrongly."""
    text = WORD.encode()
    kinds = [
        b"\x16\x03\x01\x02\x00" + text,  # TLS to a plain port
        b"GET /" + text + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"DELETE /analyze HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST /analyze HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n" + text,
        b"POST /analyze HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + text,
        message(b'{"text": "' + text),
        message(b"\xff\xfe" + text),
        message(b'{"text": ["' + text + b'"]}'),
        message(b"[" * 2000),
        message(text, length=10**9),
        message(b'{"text": ""}'),
        message(b'{"text": "' + text + b'", "tasks": ["' + text + b'"]}'),
        message(text).replace(b"application/json", b"text/plain"),
        text,
    ]
    return kinds[number % len(kinds)]


@pytest.mark.usefixtures("nothing_left")
async def test_ten_thousand_broken_requests(server: Running):
    async def one(number: int) -> int | None:
        sent = broken(number)
        if number % 14 == 13:  # never a whole request line: it leaves
            async with connected(server.url) as (_, writer):
                writer.write(sent)
            return 400
        return (await ask(server.url, sent, seconds=10)).status

    statuses = set(await many(10_000, 100, one))
    assert statuses == {400, 404, 405, 413, 415, 422}
