"""Supervision in one process; `tests/chaos` does it with signals and real ones."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from types import SimpleNamespace

import pytest
import uvloop
from fastapi import FastAPI

from service import lifespan
from service.errors import NotReadyError
from service.lifecycle import Lifecycle, Phase
from service.lifespan import WATCHDOG, bound_reading, supervised
from service.settings import Settings


class Server:
    """Stands for uvicorn's server."""

    def __init__(self, connections: int = 0) -> None:
        self.started = True
        self.should_exit = False
        self.servers: list[object] = []
        self.aborted = 0
        transport = SimpleNamespace(abort=self.abort)
        self.server_state = SimpleNamespace(
            connections=[SimpleNamespace(transport=transport)] * connections
        )

    def abort(self) -> None:
        self.aborted += 1
        self.server_state.connections = []


class Doomed:
    """A watchdog that finds something at once."""

    def __init__(self, phase: Phase) -> None:
        self.phase = phase

    async def until_failure(self) -> Phase:
        return self.phase

    async def is_dead(self) -> bool:
        return self.phase is Phase.DEAD


class Hopeful(Doomed):
    """A watchdog that has not looked yet."""

    async def until_failure(self) -> Phase:
        await asyncio.sleep(3600)
        raise AssertionError


class Supervised:
    """A supervised app, and whether its process was ended."""

    def __init__(self, watchdog: Doomed | None = None, connections: int = 0, **settings: object):
        self.app = FastAPI()
        self.app.state.server = self.server = Server(connections)
        if watchdog is not None:
            setattr(self.app.state, WATCHDOG, watchdog)
        self.lifecycle = Lifecycle()
        self.lifecycle.move(Phase.READY)
        self.left = asyncio.Event()
        self.code: int | None = None
        loop = asyncio.get_running_loop()

        def leave(code: int) -> None:  # from a thread too, and then maybe when the test has ended
            self.code = code
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self.left.set)

        chosen = Settings.model_validate(settings)
        self.running = supervised(self.app, self.lifecycle, chosen, leave)


async def test_a_server_that_ends_unasked_has_lost_its_engine():
    """The engine died and its server saw it first."""
    one = Supervised(Hopeful(Phase.DEAD))
    async with one.running:
        assert one.code is None
    assert one.code == 1
    assert one.lifecycle.phase is Phase.DEAD


async def test_a_server_that_was_asked_to_end_has_stopped():
    one = Supervised(Hopeful(Phase.STALLED))
    async with one.running:
        one.lifecycle.move(Phase.DRAINING)
    assert one.code is None
    assert one.lifecycle.phase is Phase.STOPPED


async def test_an_engine_that_does_not_stop_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(lifespan, "_ENGINE_SECONDS", 0.05)
    one = Supervised(Hopeful(Phase.STALLED))
    async with one.running:
        one.lifecycle.move(Phase.DRAINING)
    await asyncio.wait_for(one.left.wait(), 1)
    assert one.code == 0


async def test_under_another_host_a_lifespan_ends_as_any_other():
    one = Supervised()
    del one.app.state.server
    async with one.running:
        pass
    await asyncio.sleep(0.05)
    assert one.code is None
    assert one.lifecycle.phase is Phase.STOPPED


@pytest.mark.parametrize("phase", [Phase.DEAD, Phase.STALLED])
async def test_a_failed_engine_ends_the_process_once_all_are_told(phase: Phase):
    one = Supervised(Doomed(phase))
    running = one.lifecycle.begin()
    async with one.running:
        error = await asyncio.wait_for(running.over, 2)
        assert error.code == "engine_error"
        assert not one.left.is_set()
        one.lifecycle.finish(running)
        await asyncio.wait_for(one.left.wait(), 1)
        assert one.lifecycle.phase is phase


async def test_a_request_that_cannot_be_told_does_not_keep_a_failed_process(monkeypatch):
    monkeypatch.setattr(lifespan, "_TELL_SECONDS", 0.2)
    one = Supervised(Doomed(Phase.STALLED))
    one.lifecycle.begin()
    async with one.running:
        await asyncio.wait_for(one.left.wait(), 2)


async def test_a_drain_ends_the_server_and_closes_what_stays(monkeypatch):
    interrupts = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "add_signal_handler", lambda _, call: interrupts.append(call))
    monkeypatch.setattr(lifespan, "_CLOSE_SECONDS", 0.2)
    one = Supervised(connections=3)
    async with one.running:
        running = one.lifecycle.begin()
        interrupts[0]()
        assert one.lifecycle.phase is Phase.DRAINING
        await asyncio.sleep(0.05)
        assert not one.server.should_exit
        one.lifecycle.finish(running)
        await asyncio.sleep(0.05)
        assert one.server.should_exit
        assert not running.over.done()
        assert one.server.aborted == 0
        await asyncio.sleep(0.3)
        assert one.server.aborted == 3


async def test_the_grace_period_ends(monkeypatch):
    interrupts = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "add_signal_handler", lambda _, call: interrupts.append(call))
    one = Supervised(grace_seconds=0.05)
    async with one.running:
        running = one.lifecycle.begin()
        interrupts[0]()
        error = await asyncio.wait_for(running.over, 1)
        assert isinstance(error, NotReadyError)
        one.lifecycle.finish(running)
        await asyncio.sleep(0.05)
        assert one.server.should_exit


async def test_a_failure_that_the_server_sees_first_ends_the_process_too():
    one = Supervised()
    async with one.running:
        one.lifecycle.move(Phase.DEAD)
    assert one.code == 1


@pytest.mark.parametrize("policy", [asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy])
def test_connections_inherit_how_long_they_may_go_unread(policy):
    async def inherited() -> int:
        accepted = asyncio.get_running_loop().create_future()
        server = await asyncio.start_server(
            lambda _, writer: accepted.set_result(writer), "127.0.0.1", 0
        )
        bound_reading(server.sockets, 1.5)
        _, client = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer = await accepted
        found = writer.get_extra_info("socket")
        with socket.socket(fileno=os.dup(found.fileno())) as same:
            value = same.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        client.close()
        writer.close()
        server.close()
        return value

    loop = policy().new_event_loop()
    try:
        assert loop.run_until_complete(inherited()) == 1500
    finally:
        loop.close()
