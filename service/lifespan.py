"""From a server that listens to a process that has ended: signals, the watchdog, the drain.

`add_lifespan` puts `supervised` around the app's own lifespan, which vLLM's server enters after it
has set its handlers for SIGTERM and SIGINT and before it listens. Ours take their place: vLLM's
would have the engine refuse new requests at once, and an analysis that was accepted still needs
several. After the drain the HTTP server is asked to end as vLLM itself does it, by `should_exit`,
and vLLM's own shutdown stops the engine.

Where the engine fails there is nothing to be saved: open requests are told, and the process ends
with `EXIT_CODE` without asking anybody, so that a supervisor starts it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from fastapi import FastAPI

from service.errors import EngineError, NotReadyError
from service.failures import logger
from service.lifecycle import ATTRIBUTE, FAILED, Lifecycle, Phase
from service.settings import STOP_SECONDS, Settings
from service.watchdog import Watchdog
from service.work_lock import WorkLock

EXIT_CODE = 1
"""Of a process whose engine failed; `service.cli.exit_codes` calls it FAILURE."""

WATCHDOG = "mentalllama_watchdog"
"""The watchdog's name on the app's state, where the plugin puts it."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_OWN_END_SECONDS = 1.0
"""How long requests may take to fail by themselves after the engine has died."""

_TELL_SECONDS = 2.5
"""How long telling the rest may take; with the above well under 5 seconds."""

_CLOSE_SECONDS = 1.0
"""How long connections without work may take to close."""

_ENGINE_SECONDS = STOP_SECONDS - _TELL_SECONDS - _CLOSE_SECONDS - 0.5
"""How long the engine may take to stop once the server has ended."""


def add_lifespan(app: FastAPI, settings: Settings) -> None:
    """Give an app that has not started a lifecycle, and have its lifespan supervised."""
    lifecycle = Lifecycle()
    setattr(app.state, ATTRIBUTE, lifecycle)
    theirs = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(served: Any) -> AsyncIterator[Any]:
        async with theirs(served) as state, supervised(served, lifecycle, settings):
            yield state

    app.router.lifespan_context = lifespan


@contextlib.asynccontextmanager
async def supervised(
    app: FastAPI,
    lifecycle: Lifecycle,
    settings: Settings,
    leave: Callable[[int], None] | None = None,
) -> AsyncIterator[None]:
    """Supervise the process while the block runs.

    Args:
        app: what the server serves; its state holds the server and, on an engine, the watchdog.
        lifecycle: the app's.
        settings: the deployment's.
        leave: ends the process with a code; for tests.
    """
    supervisor = _Supervisor(app, lifecycle, settings, leave or _leave)
    supervisor.start()
    try:
        yield
    finally:
        await supervisor.stop()


class _Supervisor:
    def __init__(
        self, app: FastAPI, lifecycle: Lifecycle, settings: Settings, leave: Callable[[int], None]
    ) -> None:
        self.server: Any = getattr(app.state, "server", None)
        self.watchdog: Watchdog | None = getattr(app.state, WATCHDOG, None)
        self.lifecycle = lifecycle
        self.settings = settings
        self.leave = leave
        self.asked = asyncio.Event()
        self.impatient = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
        self.work = WorkLock()

    def start(self) -> None:
        self.work.take()
        loop = asyncio.get_running_loop()
        # Without a server to end, as under another host than vLLM's, signals stay the host's.
        for number in _SIGNALS if self.server is not None else ():
            # Only the main thread hears signals; elsewhere a test is the host.
            with contextlib.suppress(ValueError, RuntimeError):
                loop.add_signal_handler(number, self.interrupt)
        self.tasks = [asyncio.create_task(self.drain()), asyncio.create_task(self.listeners())]
        if self.watchdog is not None:
            self.tasks.append(asyncio.create_task(self.watch(self.watchdog)))

    async def stop(self) -> None:
        """The server has ended: asked to, or because vLLM saw first that the engine is dead."""
        self.work.let_go()
        for task in self.tasks:
            task.cancel()
        if self.watchdog is not None and await self.watchdog.is_dead():
            self.lifecycle.move(Phase.DEAD)
        if self.lifecycle.phase in FAILED:
            self.leave(EXIT_CODE)
            return
        self.lifecycle.move(Phase.STOPPED)
        if self.server is not None:
            # vLLM stops its engine next, and waits for it longer than a supervisor may wait for us.
            late = threading.Timer(_ENGINE_SECONDS, self.leave, (0,))
            late.daemon = True
            late.start()

    def interrupt(self) -> None:
        """SIGTERM or SIGINT: begin to drain; the second time, end the drain."""
        if self.asked.is_set():
            self.impatient.set()
        # Not only by the task that waits for it: from here on nothing new is accepted.
        self.lifecycle.move(Phase.DRAINING)
        self.asked.set()

    async def drain(self) -> None:
        """Let what runs finish, at most as long as the settings allow, and end the server."""
        await self.asked.wait()
        grace = self.settings.grace_seconds
        logger.info("draining: %d requests run, %g s of grace", self.lifecycle.running, grace)
        finished = asyncio.create_task(self.lifecycle.idle(grace))
        impatient = asyncio.create_task(self.impatient.wait())
        await asyncio.wait({finished, impatient}, return_when=asyncio.FIRST_COMPLETED)
        impatient.cancel()
        if not (finished.done() and finished.result()):
            finished.cancel()
            ended = self.lifecycle.end_all(
                NotReadyError(
                    "The service is stopping, and this was not done when its grace period ended. "
                    "Send it again."
                )
            )
            logger.warning("draining: %d requests are ended before they are done", ended)
            await self.lifecycle.idle(_TELL_SECONDS)
        if self.lifecycle.phase in FAILED:
            return  # `watch` ends the process
        await self.end_server()

    async def end_server(self) -> None:
        """Have the HTTP server end, and close what would keep it from that."""
        self.work.let_go()
        self.server.should_exit = True
        await asyncio.sleep(_CLOSE_SECONDS)
        while True:
            # Only looks are left here, and clients that do not read or that never sent a whole
            # request; uvicorn would wait for them without end.
            for connection in list(self.server.server_state.connections):
                connection.transport.abort()
            await asyncio.sleep(0.1)

    async def watch(self, watchdog: Watchdog) -> None:
        """Wait for the engine's failure, tell every open request of it, and end the process."""
        phase = await watchdog.until_failure()
        logger.critical("the engine is %s: this process ends", phase)
        self.lifecycle.move(phase)
        if phase is Phase.DEAD:
            await self.lifecycle.idle(_OWN_END_SECONDS)
        self.lifecycle.end_all(
            EngineError("The engine has failed and is started again. Send this again later.")
        )
        await self.lifecycle.idle(_TELL_SECONDS)
        await asyncio.sleep(0.1)  # for the last bytes to leave
        self.leave(EXIT_CODE)

    async def listeners(self) -> None:
        """Have the kernel close connections whose client takes nothing of what waits for it."""
        seconds = self.settings.reader_seconds
        if self.server is None:
            return
        while not self.server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.05)
        for listener in self.server.servers:
            bound_reading(listener.sockets, seconds)


def bound_reading(listeners: Iterable[Any], seconds: float) -> None:
    """Set how long a client of these listening sockets may leave its data unread.

    Connections inherit the option (Linux's tcp(7), TCP_USER_TIMEOUT). What a client does not take
    for this long ends its connection, and with it the request, on every route.
    """
    for listener in listeners:
        # A duplicate is the same socket to the kernel; uvloop's own objects set no options.
        with socket.socket(fileno=os.dup(listener.fileno())) as same:
            if same.family in (socket.AF_INET, socket.AF_INET6):
                milliseconds = max(1, round(seconds * 1000))
                same.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def _leave(code: int) -> None:
    """End this process now, and the engine with it."""
    for child in multiprocessing.active_children():
        child.kill()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
