"""Refuses what a caller has no right to any more: requests a minute, and requests at one time.

Both are known before the body is read. What a body holds (texts, characters, posts a minute) is
looked at in `service.gate.work`, and its bytes in `service.gate.body_limit`.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from service.gate.caller import caller_of
from service.gate.counters import Counters
from service.gate.refusals import ConcurrencyLimitedError, RateLimitedError


class Quota:
    """ASGI middleware: a caller's requests, as many as it may send."""

    def __init__(self, app: ASGIApp, counters: Counters) -> None:
        self.app = app
        self.counters = counters

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Handle one connection.

        Raises:
            RateLimitedError: the caller's requests a minute are used up.
            ConcurrencyLimitedError: all of its places are taken.
        """
        caller = caller_of(scope)
        per_minute = caller.limits.requests_per_minute
        if per_minute is not None:
            refusal = await self.counters.count("requests", caller.name, per_minute)
            if refusal is not None:
                raise RateLimitedError(
                    f"This key may send {per_minute} requests a minute. Try again in "
                    f"{refusal.seconds} s.",
                    retry_after=refusal.seconds,
                )
        places = caller.limits.concurrent_requests
        if places is None:
            await self.app(scope, receive, send)
            return
        async with self.counters.place(caller.name, places) as free:
            if not free:
                raise ConcurrencyLimitedError(
                    f"This key may have {places} requests answered at one time. Wait for one of "
                    "them to end.",
                    retry_after=1,
                )
            await self.app(scope, receive, send)
