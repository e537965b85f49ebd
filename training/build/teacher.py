"""Asks an OpenAI-compatible endpoint many things at once, each of them until it is answered.

Bounded concurrency, requests and tokens a minute as the recipe says. What may pass (429, 5xx, a
connection that breaks, a request that hangs, an answer that is cut in the middle) is sent again
after a wait that doubles and jitters; where the endpoint names a time (`Retry-After`), all wait for
it. What the endpoint will not answer (400, a refusal) is an answer too, and is kept as one. A key
or a model that is refused ends the run. No message holds any of a request or of a response.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from training.build.cache import Answer, Cache, request_key
from training.build.recipe import TeacherRecipe
from training.errors import TeacherError
from training.workers import work_through

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter
    from openai import AsyncOpenAI
    from tenacity import RetryCallState

REFUSED = "refused"
"""The finish reason of an answer that the endpoint or the model refused to give."""

CHARACTERS_PER_TOKEN = 4
"""Of English text, about; for estimates and limits before a tokenizer has counted."""

Progress = Callable[[int, int, int, int], None]
"""Told how many requests are answered, of how many, and their prompt and completion tokens."""

Ask = Callable[["AsyncOpenAI", dict[str, Any]], Awaitable[Answer]]
"""Sends one request and reads what comes back."""

_LONGEST_WAIT = 60.0
_LONGEST_TOLD_WAIT = 3600.0
_FAILURES_IN_A_ROW = 8


class _BrokenAnswerError(Exception):
    """A response of status 200 that is no answer."""


@dataclass(slots=True)
class Usage:
    """What a run cost.

    Attributes:
        sent: requests that this run sent and that were answered.
        cached: requests that an earlier run had answered.
        prompt_tokens: of both.
        completion_tokens: of both.
        retries: how often a request was sent again, by reason.
    """

    sent: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    retries: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        """Requests that are answered."""
        return self.sent + self.cached

    def add(self, answer: Answer) -> None:
        """Count the tokens of an answer."""
        self.prompt_tokens += answer.prompt_tokens
        self.completion_tokens += answer.completion_tokens


def prompt_tokens(body: Mapping[str, Any]) -> int:
    """About how many tokens a request's prompt has."""
    texts = [message["content"] for message in body.get("messages", ())] or [body.get("prompt", "")]
    return math.ceil(sum(map(len, texts)) / CHARACTERS_PER_TOKEN)


async def chat(client: AsyncOpenAI, body: dict[str, Any]) -> Answer:
    """Send a chat completions request."""
    from openai.types.chat import ChatCompletion

    completion = await client.chat.completions.create(**body)
    # The client does not check what it is sent: a page of HTML comes back as a text.
    if not isinstance(completion, ChatCompletion) or not completion.choices:
        raise _BrokenAnswerError
    choice, usage = completion.choices[0], completion.usage
    if not choice.finish_reason:
        raise _BrokenAnswerError
    return Answer(
        text=choice.message.content or "",
        finish_reason=REFUSED if choice.message.refusal else choice.finish_reason,
        prompt_tokens=usage.prompt_tokens if usage else 0,
        completion_tokens=usage.completion_tokens if usage else 0,
    )


async def ask_all(
    bodies: Sequence[dict[str, Any]],
    settings: TeacherRecipe,
    cache: Cache,
    progress: Progress,
    ask: Ask = chat,
) -> Usage:
    """Answer all requests that `cache` does not answer yet, and put the answers into it.

    Args:
        bodies: of the requests; equal ones are sent once.
        settings: of the endpoint.
        cache: where the answers are and go.
        progress: told after each answer.
        ask: sends a request; it raises what `openai` raises.

    Raises:
        TeacherError: the key or model is refused, or requests are left without an answer after
            all attempts. What was answered is in `cache`.
        RecipeError: the key's variable is not set.
    """
    from openai import AsyncOpenAI

    wanted = {request_key(body): body for body in bodies}
    usage = Usage()
    waiting: list[tuple[str, dict[str, Any]]] = []
    for key, body in wanted.items():
        if (answer := cache.get(key)) is None:
            waiting.append((key, body))
        else:
            usage.cached += 1
            usage.add(answer)
    total = len(wanted)
    progress(usage.done, total, usage.prompt_tokens, usage.completion_tokens)
    if not waiting:
        return usage
    # At DEBUG both would write out what is sent and received.
    for name in ("openai", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    key_text = settings.key().get_secret_value()
    async with AsyncOpenAI(
        base_url=settings.base_url, api_key=key_text, max_retries=0, timeout=settings.timeout
    ) as client:
        run = _Run(client, settings, ask, _Limits(settings, [body for _, body in waiting]), usage)

        async def work(one: tuple[str, dict[str, Any]]) -> None:
            key, body = one
            answer = await run.answer(body)
            if answer is not None:
                cache.put(key, answer)
                usage.sent += 1
                usage.add(answer)
                progress(usage.done, total, usage.prompt_tokens, usage.completion_tokens)

        await work_through(waiting, work, settings.concurrency)
    if run.failed:
        raise TeacherError(run.said())
    return usage


class _Run:
    """One run's requests: how they are sent, sent again, and given up."""

    def __init__(
        self,
        client: AsyncOpenAI,
        settings: TeacherRecipe,
        ask: Ask,
        limits: _Limits,
        usage: Usage,
    ) -> None:
        self._client = client
        self._settings = settings
        self._ask = ask
        self._limits = limits
        self._usage = usage
        self._in_a_row = 0
        self.failed: Counter[str] = Counter()

    async def answer(self, body: dict[str, Any]) -> Answer | None:
        """The answer, or None after all attempts."""
        from openai import APIStatusError
        from tenacity import AsyncRetrying, RetryError, retry_if_exception, stop_after_attempt

        attempts = AsyncRetrying(
            stop=stop_after_attempt(self._settings.attempts),
            wait=self._wait,
            retry=retry_if_exception(lambda error: _passing(error) is not None),
        )
        try:
            answer: Answer = await attempts(self._once, body)
        except RetryError as error:
            problem = error.last_attempt.exception()
            self._give_up(_passing(problem) if problem else None)
            return None
        except APIStatusError as error:
            if error.status_code in (400, 413, 422):
                return Answer("", REFUSED, 0, 0)
            raise TeacherError(self._refused(error.status_code)) from None
        self._in_a_row = 0
        return answer

    async def _once(self, body: dict[str, Any]) -> Answer:
        await self._limits.wait_for(body)
        return await self._ask(self._client, body)

    def _wait(self, state: RetryCallState) -> float:
        """Seconds until a request is sent again."""
        problem = state.outcome.exception() if state.outcome else None
        self._usage.retries[(_passing(problem) if problem else None) or "unknown"] += 1
        told = _retry_after(problem)
        if told is not None:
            self._limits.hold(told)
        backoff = self._settings.backoff * 2.0 ** (state.attempt_number - 1)
        # Full jitter: those that failed together do not come back together.
        return random.uniform(0.5, 1.0) * min(backoff, _LONGEST_WAIT)

    def _give_up(self, reason: str | None) -> None:
        self.failed[reason or "unknown"] += 1
        self._in_a_row += 1
        if self._in_a_row >= max(_FAILURES_IN_A_ROW, self._settings.concurrency):
            raise TeacherError(self.said())

    def said(self) -> str:
        """What became of the requests without an answer."""
        reasons = ", ".join(f"{reason} ({n:,})" for reason, n in self.failed.most_common())
        return (
            f"{self.failed.total():,} requests to {self._settings.base_url} have no answer after "
            f"{self._settings.attempts} attempts each: {reasons}. What was answered is kept: run "
            "the same command again, and only the others are asked."
        )

    def _refused(self, status: int) -> str:
        where = self._settings.base_url
        kept = "What was answered is kept: then run the same command again."
        if status in (401, 403):
            variable = self._settings.api_key_env
            told = f"the variable {variable}" if variable else "`api_key_env` (none is named)"
            return f"{where} refuses the key (status {status}): check {told}. {kept}"
        if status == 404:
            return (
                f"{where} knows no model {self._settings.model!r}, or is no OpenAI-compatible "
                f"endpoint (status 404): check `model` and `base_url`. {kept}"
            )
        return f"{where} refuses requests with status {status}. {kept}"


class _Limits:
    """Requests and tokens a minute, and a time before which nothing is sent."""

    def __init__(self, settings: TeacherRecipe, bodies: Sequence[Mapping[str, Any]]) -> None:
        from aiolimiter import AsyncLimiter

        self._until = 0.0
        self._completion = settings.max_tokens
        # Buckets as small as they can be: a full one would let twice the rate pass at the start.
        self._requests: AsyncLimiter | None = None
        if settings.requests_per_minute:
            self._requests = AsyncLimiter(1, 60 / settings.requests_per_minute)
        self._tokens: AsyncLimiter | None = None
        if settings.tokens_per_minute:
            largest = max(map(self._size, bodies))
            self._tokens = AsyncLimiter(largest, 60 * largest / settings.tokens_per_minute)

    def _size(self, body: Mapping[str, Any]) -> int:
        return prompt_tokens(body) + int(body.get("max_tokens", self._completion))

    def hold(self, seconds: float) -> None:
        """Send nothing for so long."""
        self._until = max(self._until, time.monotonic() + min(seconds, _LONGEST_TOLD_WAIT))

    async def wait_for(self, body: Mapping[str, Any]) -> None:
        """Return when the request may be sent."""
        if self._tokens is not None:
            await self._tokens.acquire(self._size(body))
        if self._requests is not None:
            await self._requests.acquire()
        left = self._until - time.monotonic()
        if left > 0:
            await asyncio.sleep(left)
            # Another 429 may have moved the time meanwhile; it is this request's turn after both.
            await asyncio.sleep(max(self._until - time.monotonic(), 0))


def _passing(error: BaseException | None) -> str | None:
    """What went wrong in words, where it may go well the next time; else None."""
    import httpx
    import openai

    if isinstance(error, openai.APITimeoutError | httpx.TimeoutException):
        return "it hung"
    if isinstance(error, openai.APIStatusError):
        status = error.status_code
        return f"status {status}" if status in (408, 409, 425, 429) or status >= 500 else None
    if isinstance(
        error, _BrokenAnswerError | openai.APIResponseValidationError | json.JSONDecodeError
    ):
        return "a broken answer"
    if isinstance(error, openai.APIConnectionError | httpx.HTTPError):
        return "no connection"
    return None


def _retry_after(error: BaseException | None) -> float | None:
    """Seconds that the endpoint asks to wait; the header is a number or a date (RFC 9110)."""
    import openai

    if not isinstance(error, openai.APIStatusError):
        return None
    told = error.response.headers.get("retry-after", "").strip()
    try:
        seconds = float(told)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(told).timestamp() - time.time()
        except (TypeError, ValueError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
