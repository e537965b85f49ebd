"""Counts what callers use, in this process or in Redis: events a minute, and requests at one time.

Events are counted by the `limits` package's sliding window counter: two numbers a caller, in any
60 seconds never more than the limit by more than its approximation (it takes the last full minute
for evenly spread). Requests at one time are, in Redis, a sorted set of leases a caller: a process
that dies leaves its places taken until their lease ends, and a request that runs longer than a
lease is not counted to its end.

Where Redis does not answer, the limits are counted in the process until it does: callers may then
have their limit once for every process, which is better than refusing them all. It is logged and
counted (`mentalllama_limit_store_errors`).
"""

from __future__ import annotations

import math
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import ConfigurationError

from service.failures import logger
from service.metrics import LIMIT_STORE_ERRORS
from service.settings import PREFIX, InvalidSettingsError

T = TypeVar("T")

_MINUTE = 60
_LEASE_SECONDS = 600
_REDIS_TIMEOUT_SECONDS = 0.5
_TRY_REDIS_AGAIN_SECONDS = 5.0
_KEYS = "mentalllama"

# Takes a place among at most ARGV[1], for ARGV[3] seconds by the clock of Redis, so that the clocks
# of the replicas need not agree.
_TAKE_PLACE = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A limit that is used up.

    Attributes:
        seconds: until the same is likely to be let through.
    """

    seconds: int


class Counters:
    """The counts of all callers.

    Args:
        redis_url: where they are kept for several processes; None keeps them here.
        clock: seconds, monotonic; says when Redis is tried again.

    Raises:
        InvalidSettingsError: the URL is none, or the extra `redis` is not installed.
    """

    def __init__(
        self, redis_url: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._memory = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._here: Counter[str] = Counter()
        store = None if redis_url is None else _redis(redis_url)
        self._shared = None if store is None else SlidingWindowCounterRateLimiter(store)
        # The client of the package redis, which has no types that could be said briefly.
        bridge: Any = None if store is None else store.bridge
        self._client: Any = None if bridge is None else bridge.get_connection()
        self._redis_from = -math.inf

    async def count(
        self, name: str, caller: str, amount_per_minute: int, cost: int = 1
    ) -> Refusal | None:
        """Count `cost` events of a caller, or none of them where they are too many.

        Args:
            name: what is counted.
            caller: whose.
            amount_per_minute: how many are let through in a minute.
            cost: how many events this is, at most `amount_per_minute`.
        """
        item = RateLimitItemPerMinute(amount_per_minute, namespace=_KEYS)

        async def counted(limiter: SlidingWindowCounterRateLimiter) -> Refusal | None:
            if await limiter.hit(item, name, caller, cost=cost):
                return None
            # Every store of `limits` that the strategy takes has it.
            store: Any = limiter.storage
            window = await store.get_sliding_window(item.key_for(name, caller), item.get_expiry())
            return Refusal(_seconds_until(*window, allowed=amount_per_minute - cost))

        shared = self._shared
        if shared is None:
            return await counted(self._memory)
        return await self._in_redis(lambda: counted(shared), lambda: counted(self._memory))

    @asynccontextmanager
    async def place(self, caller: str, amount: int) -> AsyncIterator[bool]:
        """Hold one of a caller's `amount` places; gives whether there was one."""
        client, key, member = self._client, f"{_KEYS}:places:{caller}", uuid.uuid4().hex

        async def take_here() -> bool:
            return self._here[caller] < amount

        async def take() -> bool:
            return bool(await client.eval(_TAKE_PLACE, 1, key, amount, member, _LEASE_SECONDS))

        free = await (take_here() if client is None else self._in_redis(take, take_here))
        if not free:
            yield False
            return
        self._here[caller] += 1  # also where Redis counts: it may cease to
        try:
            yield True
        finally:
            self._here[caller] -= 1
            if not self._here[caller]:
                del self._here[caller]
            if client is not None:
                await self._in_redis(lambda: client.zrem(key, member), _nothing)

    async def _in_redis(
        self, shared: Callable[[], Awaitable[T]], here: Callable[[], Awaitable[T]]
    ) -> T:
        """Do it in Redis, or here while Redis does not answer."""
        if self._clock() >= self._redis_from:
            try:
                return await shared()
            except _redis_failures() as error:
                LIMIT_STORE_ERRORS.inc()
                self._redis_from = self._clock() + _TRY_REDIS_AGAIN_SECONDS
                logger.error(
                    "Redis does not answer (%s): the limits of keys are counted in this process "
                    "alone until it does.",
                    type(error).__name__,
                )
        return await here()

    async def aclose(self) -> None:
        """Give back the connections to Redis."""
        if self._client is not None:
            await self._client.aclose()


async def _nothing() -> None:
    pass


def _redis_failures() -> tuple[type[BaseException], ...]:
    from redis.exceptions import RedisError

    return (RedisError, OSError)


def _redis(url: str) -> RedisStorage:
    variable = f"{PREFIX}REDIS_URL"
    if not url.startswith(("redis://", "rediss://", "redis+unix://")):
        raise InvalidSettingsError(
            f"{variable} must begin with redis://, rediss:// or redis+unix://."
        )
    try:
        return RedisStorage(
            f"async+{url}",
            implementation="redispy",
            socket_timeout=_REDIS_TIMEOUT_SECONDS,
            socket_connect_timeout=_REDIS_TIMEOUT_SECONDS,
        )
    except ConfigurationError:
        raise InvalidSettingsError(
            f"{variable} needs the Python package redis: install the extra `redis`."
        ) from None
    except ValueError:
        raise InvalidSettingsError(f"{variable} is no URL of a Redis server.") from None


def _seconds_until(
    previous: int, previous_left: float, current: int, current_left: float, *, allowed: int
) -> int:
    """Seconds until a sliding window counter has come down to `allowed`, if nothing is added.

    Args:
        previous: events of the last full window, which count less and less.
        previous_left: seconds until they count no more.
        current: events of the window that runs.
        current_left: seconds until these count no more, a minute after the window is full.
        allowed: how many may still count.
    """
    if current <= allowed:
        # previous * (previous_left - t) / minute + current = allowed
        until = previous_left - (allowed - current) * _MINUTE / max(previous, 1)
    else:
        # The window that runs becomes the last one, and fades: current * left / minute = allowed
        until = current_left - allowed * _MINUTE / current
    return max(1, math.ceil(until))
