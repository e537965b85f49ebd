"""Watches whether the engine goes on with its work.

`Progress` sees every request to the engine, the analysis's and those of vLLM's own routes, since
all of them call `generate` of one client. `Watchdog` looks at it once a second. A process whose
HTTP loop answers while its engine hangs is of no use to anybody, so both ways of failing, dead and
stalled, end the process (`service.lifespan`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Protocol, TypeVar

from service.failures import log_failure
from service.lifecycle import Phase
from service.metrics import ENGINE_SILENCE

T = TypeVar("T")

TICK_SECONDS = 1.0


class Generates(Protocol):
    """The part of vLLM's `EngineClient` that is watched."""

    generate: Callable[..., AsyncGenerator[Any, None]]


class Progress:
    """What the engine has to do, and when it last did some of it.

    Attributes:
        requests: how many requests the engine has not finished.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.requests = 0
        self._clock = clock
        self._last = clock()

    def watch(self, client: Generates) -> None:
        """See every request that is sent through `client` from now on."""
        generate = client.generate

        def watched(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
            return self.outputs(generate(*args, **kwargs))

        client.generate = watched

    async def outputs(self, outputs: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """Pass on one request's outputs; closing this closes them."""
        if not self.requests:
            self._last = self._clock()  # it was idle, which is no silence
        self.requests += 1
        try:
            async with aclosing(outputs):
                async for output in outputs:
                    self._last = self._clock()
                    yield output
        finally:
            self.requests -= 1

    @property
    def silence(self) -> float:
        """Seconds for which the engine has had work and said nothing; 0 when it has none."""
        return self._clock() - self._last if self.requests else 0.0


class Watchdog:
    """Waits for the engine's end.

    Args:
        check_engine: raises (anything) when the engine is dead.
        progress: what the engine does.
        patience: seconds of silence after which the engine counts as stalled.
        tick: seconds between two looks.
    """

    def __init__(
        self,
        check_engine: Callable[[], Awaitable[None]],
        progress: Progress,
        patience: float,
        tick: float = TICK_SECONDS,
    ) -> None:
        self._check_engine = check_engine
        self._progress = progress
        self._patience = patience
        self._tick = min(tick, patience)

    async def is_dead(self) -> bool:
        """Whether the engine is dead; logged where it is."""
        try:
            await self._check_engine()
        except Exception as error:  # noqa: BLE001 - any failure of the check is the answer
            log_failure(error, None)
            return True
        return False

    async def until_failure(self) -> Phase:
        """Return `DEAD` or `STALLED` once the engine is it."""
        while True:
            await asyncio.sleep(self._tick)
            if await self.is_dead():
                return Phase.DEAD
            silence = self._progress.silence
            ENGINE_SILENCE.set(silence)
            if silence > self._patience:
                return Phase.STALLED
