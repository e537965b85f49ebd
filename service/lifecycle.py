"""Where the service stands between start and stop, and the work that it has accepted.

    starting → warming → ready → draining → stopped
                           └──→ dead, or stalled: the engine's end, and soon the process's

One `Lifecycle` stands at `app.state.mentalllama_lifecycle` in each process that serves HTTP.
`service.gate.drain` asks it whether new work may begin and registers what runs, `service.lifespan`
moves it from phase to phase, `service.api.health` shows it. Nothing here knows of HTTP.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Any

from service.errors import NotReadyError, ServiceError
from service.failures import logger
from service.metrics import PHASE

ATTRIBUTE = "mentalllama_lifecycle"
"""Its name on an app's state."""


class Phase(StrEnum):
    """Where the service stands."""

    STARTING = "starting"
    WARMING = "warming"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"
    DEAD = "dead"
    STALLED = "stalled"


ENDING = frozenset({Phase.DRAINING, Phase.STOPPED, Phase.DEAD, Phase.STALLED})
"""Phases from which there is no way back: no new work begins."""

FAILED = frozenset({Phase.DEAD, Phase.STALLED})
"""Phases in which the engine does nothing any more."""


class Running:
    """One request that is being answered.

    Attributes:
        over: gets the error that the request is to end with, when it has to end early.
    """

    def __init__(self) -> None:
        self.over: asyncio.Future[ServiceError] = asyncio.get_running_loop().create_future()


class Lifecycle:
    """The phase, and the requests that run."""

    def __init__(self) -> None:
        self.phase = Phase.STARTING
        self._running: set[Running] = set()
        self._idle: asyncio.Event | None = None
        PHASE.labels(self.phase).set(1)

    def move(self, phase: Phase) -> None:
        """Go on to another phase; from one of `ENDING` only to a later end."""
        if phase is self.phase or (self.phase in ENDING and phase not in ENDING):
            return
        logger.info("phase: %s, after %s", phase, self.phase)
        PHASE.labels(self.phase).set(0)
        PHASE.labels(phase).set(1)
        self.phase = phase

    @property
    def running(self) -> int:
        """How many requests are being answered."""
        return len(self._running)

    def begin(self) -> Running:
        """Accept a request.

        Raises:
            NotReadyError: the service is on its way to its end.
        """
        if self.phase in ENDING:
            raise NotReadyError(
                f"The service is {self.phase} and takes no new work. Send this to another replica, "
                "or again when /readyz answers 200."
            )
        running = Running()
        self._running.add(running)
        return running

    def finish(self, running: Running) -> None:
        """Strike off a request that was answered, however."""
        self._running.discard(running)
        if not self._running and self._idle is not None:
            self._idle.set()

    async def idle(self, seconds: float) -> bool:
        """Wait until no request runs, at most `seconds`; whether it came to that."""
        if not self._running:
            return True
        self._idle = asyncio.Event()
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def end_all(self, error: ServiceError) -> int:
        """Have every request that runs end with `error`; returns how many there were."""
        for running in self._running:
            if not running.over.done():
                running.over.set_result(error)
        return len(self._running)


def lifecycle_of(app: Any) -> Lifecycle | None:
    """The lifecycle of the process that an app serves in; None on an app that is not ours."""
    found: Lifecycle | None = getattr(getattr(app, "state", None), ATTRIBUTE, None)
    return found
