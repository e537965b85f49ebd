"""Says how far a long run is, now and then."""

from __future__ import annotations

import time

from loadtests.drive import Answered, Send, Work
from service.cli.terminal import notice

EVERY_SECONDS = 15.0


def told(send: Send[Work], number: int) -> Send[Work]:
    """The same way of sending, that tells how many of so many requests have ended."""
    begun = said = time.monotonic()
    ended = 0

    async def counted(one: Work) -> Answered:
        nonlocal ended, said
        try:
            return await send(one)
        finally:
            ended += 1
            now = time.monotonic()
            if now - said >= EVERY_SECONDS or ended == number:
                said = now
                notice(f"{ended:,} of {number:,} requests have ended, after {now - begun:.0f} s")

    return counted
