"""Who is let through to the engine, and when: work weighed in tokens, a bounded queue, honest noes.

`Admission` lets work through until the engine has as much as it does in half a minute, at the rate
that was last measured (`service.gate.rate`). What does not fit waits, interactive requests before
bulk ones and otherwise in order. Nothing is begun or waits in vain: a request that, at that rate,
cannot be started within the longest wait or cannot be finished by its deadline is refused at once,
and so is one that finds the queue full. Before the first measurement only the queue's bound and the
deadlines themselves refuse. An engine with nothing to do takes whatever comes.

Estimates need not be right, only wrong in the same way: the rate is measured in the same weighted
tokens that it is divided by. Where they are wrong differently on each route, `release` learns by
how much.

One `Admission` serves one process. While that drains, nothing new comes this far
(`service.gate.drain`), and what waits still has its turn.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from service.errors import OverloadedError, ServiceError
from service.gate.caller import Priority
from service.gate.rate import Rate
from service.gate.refusals import DeadlineExceededError, DeadlineUnreachableError
from service.metrics import (
    QUEUE_SECONDS,
    QUEUED_REQUESTS,
    QUEUED_TOKENS,
    RUNNING_TOKENS,
    SERVICE_RATE,
)

_HORIZON_SECONDS = 30.0
_LEAST_RUNNING_TOKENS = 65_536
_CORRECTION_WEIGHT = 0.1  # of the newest request
_CORRECTIONS = (0.02, 4.0)
_MARGIN = 2.0  # a rate is a mean: half of what it predicts exactly comes later
_FEW_REQUESTS, _FEW_TOKENS = 4, 4096  # no engine is slower for so little beside what it does
_LONGEST_RETRY_SECONDS = 60
_UNMEASURED_RETRY_SECONDS = 5


@dataclass(slots=True, eq=False)
class Ticket:
    """Work that was let through; it is given back to `Admission.release`.

    Attributes:
        route: whose correction it teaches.
        estimate: weighted tokens as they were estimated, uncorrected.
        weight: weighted tokens that it counts as.
    """

    route: str
    estimate: int
    weight: int


@dataclass(slots=True, eq=False)
class _Waiting:
    ticket: Ticket
    priority: Priority
    since: float
    started: asyncio.Future[None]


class Admission:
    """The door to one engine.

    Args:
        max_running: most weighted tokens let through at one time; None goes by the measured rate.
            A request that weighs more is let through when nothing else runs.
        max_queued: most weighted tokens that wait.
        max_wait: longest that a request waits, in seconds.
        clock: seconds, monotonic.
        max_requests: most requests that wait.
    """

    def __init__(
        self,
        max_running: int | None,
        max_queued: int,
        max_wait: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        max_requests: int = 4096,
    ) -> None:
        self._max_running = max_running
        self._max_queued = max_queued
        self._max_wait = max_wait
        self._max_requests = max_requests
        self._clock = clock
        self._rate = Rate()
        self._corrections: dict[str, float] = {}
        self._queues: dict[Priority, deque[_Waiting]] = {one: deque() for one in Priority}
        self._queued = 0
        self._running = 0
        self._started = 0

    @property
    def running(self) -> int:
        """Weighted tokens that were let through and not given back."""
        return self._running

    @property
    def queued(self) -> int:
        """Weighted tokens that wait."""
        return self._queued

    @property
    def rate(self) -> float | None:
        """Weighted tokens a second that the engine does; None before it was measured."""
        return self._rate.value

    @property
    def capacity(self) -> int:
        """Weighted tokens that are let through at one time."""
        measured = int((self._rate.value or 0.0) * _HORIZON_SECONDS)
        capacity = max(_LEAST_RUNNING_TOKENS, measured)
        return capacity if self._max_running is None else self._max_running

    def now(self) -> float:
        """Seconds on the clock that deadlines are on."""
        return self._clock()

    def admit_now(
        self, route: str, estimate: int, priority: Priority, deadline: float | None = None
    ) -> Ticket | None:
        """Let work through at once, or None where it has to wait or to be refused.

        Arguments as `admit`.
        """
        ticket = Ticket(route, estimate, self._corrected(route, estimate))
        if self._ahead(priority) or not self._fits(ticket):
            return None
        if self._missed(self._running + ticket.weight, deadline) > 0 and not self._few(ticket):
            return None
        QUEUE_SECONDS.labels(priority).observe(0.0)
        self._start(ticket)
        return ticket

    async def admit(
        self, route: str, estimate: int, priority: Priority, deadline: float | None = None
    ) -> Ticket:
        """Let work through as soon as it is its turn.

        Args:
            route: what is asked.
            estimate: the work, in weighted tokens.
            priority: whether it goes before bulk work.
            deadline: when its answer must be complete, on the clock of `now`.

        Raises:
            OverloadedError: the queue is full, or the wait is or would be too long.
            DeadlineUnreachableError: the deadline cannot be kept.
            DeadlineExceededError: it passed while the request waited.
        """
        since = self._clock()
        if deadline is not None and deadline <= since:
            raise self._late()
        ticket = self.admit_now(route, estimate, priority, deadline)
        if ticket is not None:
            return ticket
        ticket = Ticket(route, estimate, self._corrected(route, estimate))
        self._check(ticket, priority, since, deadline)
        started = asyncio.get_running_loop().create_future()
        waiting = _Waiting(ticket, priority, since, started)
        self._queues[priority].append(waiting)
        self._queue(priority, ticket.weight)
        longest = self._max_wait if deadline is None else min(self._max_wait, deadline - since)
        try:
            async with asyncio.timeout(longest):
                await started
        except BaseException as error:
            if started.done() and not started.cancelled():
                self.release(ticket, None)  # it was its turn, at the moment at which it gave up
            else:
                self._leave(waiting)
            if not isinstance(error, TimeoutError):
                raise
            if deadline is not None and deadline - since <= self._max_wait:
                raise self._late() from None
            raise self._overloaded(0.0) from None
        return ticket

    def release(self, ticket: Ticket, actual: int | None, *, stopped: bool = False) -> None:
        """Say that work is over.

        Args:
            ticket: what `admit` gave.
            actual: weighted tokens that it took; None where it was not finished or nobody knows.
            stopped: whether the engine was at work on it when it was stopped.
        """
        self._running -= ticket.weight
        self._started -= 1
        RUNNING_TOKENS.dec(ticket.weight)
        if actual is not None:
            self._learn(ticket, actual)
            self._rate.done(actual, self._clock())
        elif stopped:  # in the mean it was half done
            self._rate.done(ticket.weight // 2, self._clock())
        self._start_waiting()
        self._tell_rate()
        SERVICE_RATE.set(self._rate.value or 0.0)

    def _fits(self, ticket: Ticket) -> bool:
        return not self._running or self._running + ticket.weight <= self.capacity

    def _few(self, ticket: Ticket) -> bool:
        """Whether so little runs that the rate says nothing of how long more will take."""
        few = self._started <= _FEW_REQUESTS and self._running + ticket.weight <= _FEW_TOKENS
        return few or not self._running

    def _ahead(self, priority: Priority) -> int:
        """Weighted tokens that wait and go before a new request of this priority."""
        if priority is Priority.BULK:
            return self._queued
        return sum(waiting.ticket.weight for waiting in self._queues[Priority.INTERACTIVE])

    def _check(
        self, ticket: Ticket, priority: Priority, now: float, deadline: float | None
    ) -> None:
        """Refuse what would wait in vain.

        Raises:
            As `admit`.
        """
        rate = self._rate.value
        before = self._running + self._ahead(priority) + ticket.weight
        # What weighs more than the capacity starts when nothing else runs.
        room = max(self.capacity, ticket.weight)
        wait = 0.0 if not rate else max(0, before - room) / rate
        full = (
            self._queued + ticket.weight > self._max_queued
            or sum(map(len, self._queues.values())) >= self._max_requests
        )
        if full or wait > self._max_wait:
            raise self._overloaded(wait)
        missed = self._missed(before, deadline)
        if missed > 0:
            self._rate.refused(now)
            raise DeadlineUnreachableError(
                "At the rate of the moment the answer may take "
                f"{math.ceil(self._needed(before))} s, which is past the request's deadline. Try "
                "again later, or allow more time.",
                retry_after=self._retry_after(missed),
            )

    def _needed(self, weight: int) -> float:
        """Seconds until so many weighted tokens are done: what runs, what waits, and the request.

        The engine shares its time: a request is done when about as much is as runs beside it.
        """
        return _MARGIN * weight / self._rate.value if self._rate.value else 0.0

    def _missed(self, weight: int, deadline: float | None) -> float:
        """Seconds by which so many weighted tokens are done too late, less than 0 if in time."""
        return -1.0 if deadline is None else self._clock() + self._needed(weight) - deadline

    def _start(self, ticket: Ticket) -> None:
        self._running += ticket.weight
        self._started += 1
        RUNNING_TOKENS.inc(ticket.weight)
        self._tell_rate()

    def _tell_rate(self) -> None:
        self._rate.running(self._running, self._clock(), waits=self._queued > 0)

    def _start_waiting(self) -> None:
        """Start whatever it is the turn of."""
        for priority in (Priority.INTERACTIVE, Priority.BULK):
            queue = self._queues[priority]
            while queue:
                waiting = queue[0]
                if waiting.started.done():  # it has given up and is about to leave
                    queue.popleft()
                    self._queue(priority, -waiting.ticket.weight)
                    continue
                if not self._fits(waiting.ticket):
                    return
                queue.popleft()
                self._queue(priority, -waiting.ticket.weight)
                self._start(waiting.ticket)
                QUEUE_SECONDS.labels(priority).observe(self._clock() - waiting.since)
                waiting.started.set_result(None)

    def _leave(self, waiting: _Waiting) -> None:
        """Take out of the queue what waits no more, if it still stands there."""
        queue = self._queues[waiting.priority]
        if waiting in queue:
            queue.remove(waiting)
            self._queue(waiting.priority, -waiting.ticket.weight)
            self._start_waiting()  # what stood behind it may be light enough

    def _queue(self, priority: Priority, weight: int) -> None:
        self._queued += weight
        self._tell_rate()
        QUEUED_TOKENS.inc(weight)
        QUEUED_REQUESTS.labels(priority).inc(1 if weight > 0 else -1)

    def _corrected(self, route: str, estimate: int) -> int:
        return max(1, round(estimate * self._corrections.get(route, 1.0)))

    def _learn(self, ticket: Ticket, actual: int) -> None:
        low, high = _CORRECTIONS
        ratio = min(high, max(low, actual / ticket.estimate))
        old = self._corrections.get(ticket.route, 1.0)
        self._corrections[ticket.route] = old + _CORRECTION_WEIGHT * (ratio - old)

    def _retry_after(self, seconds: float) -> int:
        if self._rate.value is None:
            return _UNMEASURED_RETRY_SECONDS
        return min(_LONGEST_RETRY_SECONDS, max(1, math.ceil(seconds)))

    def _overloaded(self, wait: float) -> ServiceError:
        over = max(wait - self._max_wait, self._queued / (2 * (self._rate.value or 1.0)))
        return OverloadedError(
            "The service has more work than it can start in time. Try again later.",
            retry_after=self._retry_after(over),
        )

    def _late(self) -> ServiceError:
        return DeadlineExceededError(
            "The request's deadline passed before its work began. Try again, or allow more time.",
            retry_after=self._retry_after((self._running + self._queued) / (self._rate.value or 1)),
        )
