"""Stands before the routes that give the engine work, vLLM's and ours alike.

A body comes in whole (`service.gate.body_limit`). It is read once for how much it asks
(`demand`), held against the caller's limits, freed of what steers the engine (`openai_body`), and
waits for its turn (`admission`). Two headers are ours:

- `X-MentalLLaMA-Priority`: `interactive` or `bulk`. Interactive requests are started before bulk
  ones. Without it, a request of few texts is interactive and a larger one bulk. Where the key has
  a priority, that one counts.
- `X-MentalLLaMA-Deadline`: seconds from the arrival of its body in which its answer must be
  complete (a stream's: must have begun). When they are over, the work is stopped and the answer is
  504.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

from service.errors import InvalidRequestError, ServiceError, TextTooLongError
from service.gate.admission import Admission, Ticket
from service.gate.body_limit import replay
from service.gate.caller import Caller, Priority, caller_of
from service.gate.counters import Counters
from service.gate.demand import DEMANDS, TAIL_BYTES, Demand, usage_of, weigh
from service.gate.disconnect import ClientGoneError, unless_gone
from service.gate.openai_body import VLLM_ROUTES, check_fields, salted
from service.gate.refusals import DeadlineExceededError, PostsLimitedError
from service.gate.routes import route_path
from service.gate.shape import error_response

_PRIORITY = b"x-mentalllama-priority"
_DEADLINE = b"x-mentalllama-deadline"
_LONGEST_DEADLINE = 86_400.0
_STOPS_SECONDS = 5.0
_FIELDS = {
    "/analyze": "text",
    "/v1/completions": "prompt",
    "/v1/chat/completions": "messages",
    "/v1/decisions": "input",
}


class Work:
    """ASGI middleware: work for the engine, when it is its turn.

    Args:
        app: what stands behind it.
        admission: the door to the engine.
        counters: what callers have used.
        interactive_texts: most texts of a request that is interactive by itself.
    """

    def __init__(
        self, app: ASGIApp, admission: Admission, counters: Counters, interactive_texts: int
    ) -> None:
        self.app = app
        self.admission = admission
        self.counters = counters
        self.interactive_texts = interactive_texts

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        path = route_path(scope)
        if scope["method"] != "POST" or path not in DEMANDS:
            await self.app(scope, receive, send)
            return
        arrived = self.admission.now()
        body: bytes = (await receive())["body"]
        caller = caller_of(scope)
        try:
            deadline = _deadline(scope, arrived)
            demand, changed = _read(body, path, caller)
            priority = self._priority(scope, demand, caller)
            await self._count_posts(demand, caller)
            if changed is not None:
                body = changed
                scope["headers"] = _with_length(scope["headers"], len(body))
            replayed = replay(body, receive)
            del body, changed  # kept by `replayed` alone, until the app has it
            ticket = await self._ticket(path, demand, priority, deadline, receive)
        except ClientGoneError:
            return
        except (InvalidRequestError, TextTooLongError) as error:
            # OpenAI's clients know 400 where our own routes answer 422.
            status = 400 if path.startswith("/v1/") else error.status
            await error_response(error, scope, status=status)(scope, receive, send)
            return
        except ServiceError as error:
            await error_response(error, scope)(scope, receive, send)
            return
        watch = _Watch(send, demand)
        try:
            await self._run(scope, replayed, watch, deadline)
        finally:
            self.admission.release(ticket, watch.actual(), stopped=watch.stopped)

    async def _ticket(
        self,
        path: str,
        demand: Demand,
        priority: Priority,
        deadline: float | None,
        receive: Receive,
    ) -> Ticket:
        """Wait for the request's turn, for as long as its client stays.

        Raises:
            ClientGoneError, and as `Admission.admit`.
        """
        if deadline is None or deadline > self.admission.now():
            ticket = self.admission.admit_now(path, demand.weight, priority, deadline)
            if ticket is not None:
                return ticket
        return await unless_gone(
            self.admission.admit(path, demand.weight, priority, deadline), receive
        )

    async def _count_posts(self, demand: Demand, caller: Caller) -> None:
        per_minute = caller.limits.posts_per_minute
        if per_minute is None:
            return
        if demand.posts > per_minute:
            raise InvalidRequestError(
                f"This key may send {per_minute} posts a minute; the request has {demand.posts}. "
                "Send them in several requests."
            )
        refusal = await self.counters.count("posts", caller.name, per_minute, demand.posts)
        if refusal is not None:
            raise PostsLimitedError(
                f"This key may send {per_minute} posts a minute. Try again in {refusal.seconds} s.",
                retry_after=refusal.seconds,
            )

    def _priority(self, scope: Connection, demand: Demand, caller: Caller) -> Priority:
        asked = _header(scope, _PRIORITY)
        if asked is not None and asked not in list(Priority):
            raise InvalidRequestError(
                f"The header X-MentalLLaMA-Priority must be one of {', '.join(Priority)}."
            )
        if caller.priority is not None:
            return caller.priority
        if asked is not None:
            return Priority(asked)
        return Priority.BULK if demand.posts > self.interactive_texts else Priority.INTERACTIVE

    async def _run(
        self, scope: Connection, receive: Receive, watch: _Watch, deadline: float | None
    ) -> None:
        """Run the app, until its deadline where it has not begun to answer by then."""
        if deadline is None:
            await self.app(scope, receive, watch.send)
            return
        expired = asyncio.Event()

        async def receive_in_time() -> Message:
            """What the connection says, or that it is closed: that stops the app's work."""
            listening = asyncio.ensure_future(receive())
            waiting = asyncio.ensure_future(expired.wait())
            try:
                await asyncio.wait({listening, waiting}, return_when=asyncio.FIRST_COMPLETED)
                if expired.is_set():
                    return {"type": "http.disconnect"}
                return listening.result()
            finally:
                listening.cancel()
                waiting.cancel()

        async def send_in_time(message: Message) -> None:
            if not expired.is_set():
                await watch.send(message)

        running = asyncio.ensure_future(self.app(scope, receive_in_time, send_in_time))
        try:
            left = max(0.0, deadline - self.admission.now())
            await asyncio.wait({running}, timeout=left)
            if running.done() or watch.status:
                await running
                return
            expired.set()
            error = DeadlineExceededError(
                "The request's deadline passed before its answer was complete; its work was "
                "stopped. Allow more time, or ask for less.",
                retry_after=1,
            )
            await error_response(error, scope)(scope, receive, watch.refuse)
            await asyncio.wait({running}, timeout=_STOPS_SECONDS)
        finally:
            if not running.done():
                running.cancel()
            await asyncio.gather(running, return_exceptions=True)


class _Watch:
    """Passes a response on and keeps what it says of the work that it took."""

    def __init__(self, send: Send, demand: Demand) -> None:
        self._send = send
        self._demand = demand
        self._tail = b""
        self._events = 0
        self._complete = False
        self.status = 0

    async def send(self, message: Message) -> None:
        """Send a message of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            body = message.get("body", b"")
            self._events += body.startswith(b"data: ")
            self._tail = (self._tail + body[-TAIL_BYTES:])[-TAIL_BYTES:]
            self._complete = not message.get("more_body", False)
        await self._send(message)

    async def refuse(self, message: Message) -> None:
        """Send a message of a response that says nothing of the work."""
        await self._send(message)

    @property
    def stopped(self) -> bool:
        """Whether the response ended before it was whole: the client left, or time was over."""
        return self.status in (0, 200) and not self._complete

    def actual(self) -> int | None:
        """Weighted tokens that the work took; None where it was not done to its end."""
        if self.status != 200 or not self._complete:
            return None
        said = usage_of(self._tail)
        if said is None and self._events:
            # vLLM sends an event a token, and says no usage on a stream unless asked.
            return weigh(self._demand.prompt_tokens, self._events)
        return said if said is not None else self._demand.weight


def _read(body: bytes, path: str, caller: Caller) -> tuple[Demand, bytes | None]:
    """How much a body asks for, and what vLLM is to get in its place; None where it stays as it is.

    Raises:
        InvalidRequestError, TextTooLongError: the caller may not ask this, or nobody may.
    """
    parsed = _parsed(body, path)
    demand = DEMANDS[path](parsed, len(body))
    _check(demand, caller, path, parsed)
    if path not in VLLM_ROUTES:
        return demand, None
    check_fields(parsed)
    changed = salted(parsed, caller)
    return demand, None if changed is None else to_json(changed, inf_nan_mode="constants")


def _parsed(body: bytes, path: str) -> Mapping[str, Any]:
    """The body's JSON object.

    Of a route of ours, anything else is left to it, which says what is wrong.

    Raises:
        InvalidRequestError: it is none, and goes to one of vLLM's routes.
    """
    try:
        parsed = from_json(body)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict):
        return parsed
    if path not in VLLM_ROUTES:
        return {}
    raise InvalidRequestError("The body is not a valid JSON object in UTF-8.")


def _check(demand: Demand, caller: Caller, path: str, parsed: Mapping[str, Any]) -> None:
    """Hold the body against the caller's limits.

    Raises:
        InvalidRequestError: it has too many texts.
        TextTooLongError: one of them has too many characters.
    """
    limits = caller.limits
    several = isinstance(parsed.get("texts"), list)
    if limits.texts is not None and demand.posts > limits.texts:
        raise InvalidRequestError(
            f"The request has {demand.posts} texts; this key may send {limits.texts} a request.",
            param="texts" if several else _FIELDS.get(path),
        )
    if limits.characters is not None and demand.characters > limits.characters:
        raise TextTooLongError(
            f"A text has {demand.characters} characters; this key may send {limits.characters}. "
            "Shorten it.",
            param=f"texts.{demand.longest}" if several else _FIELDS.get(path),
        )


def _deadline(scope: Connection, arrived: float) -> float | None:
    """When the request's answer must be complete, on the clock of `Admission.now`.

    Raises:
        InvalidRequestError: the header is no number of seconds.
    """
    value = _header(scope, _DEADLINE)
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _LONGEST_DEADLINE:
        raise InvalidRequestError(
            "The header X-MentalLLaMA-Deadline must be seconds, more than 0 and at most "
            f"{_LONGEST_DEADLINE:,.0f}."
        )
    return arrived + seconds


def _header(scope: Connection, name: bytes) -> str | None:
    """The value of a header, of several the last."""
    values = [value for key, value in scope["headers"] if key.lower() == name]
    return values[-1].decode("latin-1").strip().lower() if values else None


def _with_length(headers: list[tuple[bytes, bytes]], length: int) -> list[tuple[bytes, bytes]]:
    others = [pair for pair in headers if pair[0].lower() != b"content-length"]
    return [*others, (b"content-length", str(length).encode())]
