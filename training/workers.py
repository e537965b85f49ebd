"""Works through things that wait, so many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


async def work_through(
    items: Sequence[Item], work: Callable[[Item], Awaitable[None]], concurrency: int
) -> None:
    """Do `work` on all of `items`, in their order, so many at a time.

    The first error ends all of it: what is under way is cancelled, and the error is raised.
    """
    # All workers draw from the one iterator: whoever is free takes the next.
    waiting = iter(items)

    async def take() -> None:
        for item in waiting:
            await work(item)

    workers = [asyncio.create_task(take()) for _ in range(min(concurrency, len(items)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
