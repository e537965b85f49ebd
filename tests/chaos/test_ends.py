"""How the process ends, asked to or not: nobody is left without an answer."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from pathlib import Path

import pytest

from loadtests.servers import Running, spawn, stop
from tests.chaos.client import Answer, analysis, ask, keep_asking, message, probe

pytestmark = pytest.mark.slow

KINDS = [message(analysis(stream=stream)) for stream in (False, True)]

PROBES = ("readyz", "livez", "health")


async def load(server: Running, clients: int) -> tuple[list[Answer], list[asyncio.Task[None]]]:
    """Clients that ask until nobody answers, and the answers so far; once each has had one."""
    answers: list[Answer] = []
    tasks = [
        asyncio.create_task(keep_asking(server.url, KINDS[number % 2], answers))
        for number in range(clients)
    ]
    while len(answers) < clients:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return answers, tasks


async def ended(server: Running, within: float) -> int:
    """The exit code of a server that has to end."""
    end = time.monotonic() + within
    while server.process.poll() is None:
        assert time.monotonic() < end, "the process still runs"
        await asyncio.sleep(0.02)
    return server.process.returncode


async def test_no_accepted_request_is_lost_on_sigterm(start):
    with start(delay=0.15) as server:
        answers, tasks = await load(server, 40)
        await asyncio.sleep(0.3)
        asked_at = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.05)
        ready, live, health = await asyncio.gather(
            *(asyncio.to_thread(probe, server.url, f"/{path}") for path in PROBES)
        )
        await asyncio.gather(*tasks)
        code = await ended(server, 10)
    assert (ready, live, health) == ((503, "draining"), (200, "draining"), (503, "draining"))
    assert code == 0
    before = [one for one in answers if one.begun < asked_at]
    running = [one for one in before if one.ended > asked_at]
    assert len(running) == 40
    assert all(one.answered() for one in before)
    refused = [one for one in answers if one.begun > asked_at and one.status is not None]
    assert refused
    for one in refused:
        if not one.answered():  # it may still have been before the signal came through
            assert (one.status, one.code(), one.whole) == (503, "not_ready", True)
            assert one.headers["retry-after"] == "1"
    # Nobody stays to be refused for longer than the work took.
    assert max(one.ended for one in answers) - asked_at < 5


async def test_what_is_not_done_when_the_grace_period_ends_is_told_so(start):
    with start(delay=30, grace_seconds=0.5) as server:
        asking = [asyncio.create_task(ask(server.url, kind)) for kind in KINDS * 5]
        await asyncio.sleep(0.5)
        asked_at = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        answers = await asyncio.gather(*asking)
        code = await ended(server, 5)
    assert code == 0
    for one in answers:
        # A stream that has not begun gets a status, as every request does.
        assert (one.status, one.code(), one.whole) == (503, "not_ready", True)
        assert 0.4 < one.ended - asked_at < 3


async def test_streams_end_with_an_event_when_the_grace_period_ends(start):
    with start(delay=0.02, words=500, grace_seconds=0.5) as server:
        sent = message(analysis(stream=True, explanation_tokens=500))
        asking = [asyncio.create_task(ask(server.url, sent)) for _ in range(10)]
        await asyncio.sleep(1)
        server.process.send_signal(signal.SIGTERM)
        answers = await asyncio.gather(*asking)
        code = await ended(server, 5)
    assert code == 0
    for one in answers:
        assert (one.status, one.code(), one.whole) == (200, "not_ready", True)
        assert "event: label\n" in one.body


async def test_a_second_signal_ends_the_grace_period(start):
    with start(delay=30, grace_seconds=25) as server:
        asking = asyncio.create_task(ask(server.url, KINDS[0]))
        await asyncio.sleep(0.3)
        for _ in range(2):
            server.process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.2)
        answer = await asking
        assert await ended(server, 5) == 0
    assert (answer.status, answer.code()) == (503, "not_ready")


async def failing(server: Running, number: signal.Signals) -> list[Answer]:
    """Let the engine fail under load; check that all is told and the process ends."""
    answers, tasks = await load(server, 30)
    failed_at = time.monotonic()
    server.process.send_signal(number)
    seen = set()
    while server.process.poll() is None:
        try:
            seen.add(await asyncio.to_thread(probe, server.url, "/livez"))
        except OSError:
            break
        except Exception:  # noqa: BLE001 - the process ended while it answered
            break
        await asyncio.sleep(0.02)
    await asyncio.gather(*tasks)
    assert await ended(server, 5) == 1
    assert {status for status, said in seen if said in ("dead", "stalled")} == {503}
    running = [one for one in answers if one.ended > failed_at and one.status is not None]
    assert len(running) >= 30
    for one in running:
        if not one.answered():
            assert one.code() in ("engine_error", "not_ready")
            assert one.whole
    return [one for one in running if one.begun < failed_at]


async def test_a_dead_engine_ends_every_request_and_the_process(start):
    with start(delay=0.05) as server:
        failed_at = time.monotonic()
        running = await failing(server, signal.SIGUSR2)
    assert max(one.ended for one in running) - failed_at < 10


async def test_a_stalled_engine_ends_every_request_and_the_process(start):
    with start(delay=0.05, stall_seconds=1) as server:
        running = await failing(server, signal.SIGUSR1)
    told = [one for one in running if not one.answered()]
    assert told
    assert {one.code() for one in told} == {"engine_error"}


async def insist(url: str, sent: bytes) -> list[Answer]:
    """Ask until there is an answer, as a client does that tries again; all that came back."""
    answers: list[Answer] = []
    while not (answers and answers[-1].answered()):
        assert len(answers) < 600, "nobody answers any more"
        answers.append(await ask(url, sent))
        await asyncio.sleep(0.1)
    return answers


async def test_what_a_supervisor_starts_again_answers_everybody_once(start, tmp_path: Path):
    """The engine dies under load; whoever tries again is answered by the next process."""
    sent = [message(analysis(stream=number % 2 == 0)) for number in range(30)]
    log = tmp_path / "log"
    with start(delay=0.2) as server:
        asking = [asyncio.create_task(insist(server.url, one)) for one in sent]
        await asyncio.sleep(0.5)
        server.process.send_signal(signal.SIGUSR2)
        assert await ended(server, 10) == 1
        command = server.process.args
        assert isinstance(command, list)
        again = spawn(command, log, {})
        try:
            answers = await asyncio.gather(*asking)
        finally:
            await asyncio.to_thread(stop, again)
    assert "Traceback" not in log.read_text()
    ids = []
    for attempts in answers:
        *failed, last = attempts
        assert failed, "it was answered before the engine died"
        # What failed said so, once, and gave no result beside it.
        for one in failed:
            assert one.status is None or (one.whole and one.code() is not None)
            assert "event: result\n" not in one.body
            assert '"results":[' not in one.body
        ids += re.findall(r'"id":"(analysis-\w+)"', last.body)
        assert last.body.count('"answers":[') == 1
    assert len(set(ids)) == len(ids) == len(sent)
