"""What a server holds while it works: memory, open files and threads of all its processes."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]

EVERY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Reading:
    """A server at one moment.

    Attributes:
        after: seconds from the start of the watch.
        resident: bytes in memory, over all its processes; what they share counts for each.
        files: open file descriptors, sockets among them.
        threads: of all its processes.
    """

    after: float
    resident: int
    files: int
    threads: int


@contextlib.asynccontextmanager
async def watched(pid: int, every: float = EVERY_SECONDS) -> AsyncIterator[list[Reading]]:
    """Read a server's vitals until the block is left, into the list that it gives."""
    found: list[Reading] = []
    begun = time.monotonic()

    async def watch() -> None:
        while True:
            with contextlib.suppress(psutil.Error):  # a process that has just ended
                found.append(read(pid, time.monotonic() - begun))
            await asyncio.sleep(every)

    task = asyncio.create_task(watch())
    try:
        yield found
    finally:
        task.cancel()


def read(pid: int, after: float = 0.0) -> Reading:
    """Read the vitals of a process and all it started.

    Raises:
        psutil.Error: a process ended meanwhile.
    """
    first = psutil.Process(pid)
    processes = (first, *first.children(recursive=True))
    return Reading(
        after,
        sum(one.memory_info().rss for one in processes),
        sum(one.num_fds() for one in processes),
        sum(one.num_threads() for one in processes),
    )


def growth(values: Sequence[float]) -> float:
    """How much higher the last quarter of a series lies than its second, as a share of that.

    The first quarter is left out: caches fill, as they should. Medians, since a reading may fall
    on a peak.
    """
    if len(values) < 4:
        return 0.0
    quarter = len(values) // 4
    before = statistics.median(values[quarter : 2 * quarter])
    after = statistics.median(values[-quarter:])
    return (after - before) / before if before else 0.0
