"""Sends the lines of a batch to a service, many at a time, and writes a line for each.

Results stand in the order of the input. A line that fails, in whatever way, is a line with an
error; what the service cannot take yet (429, 503 with `Retry-After`) is sent again. Only a service
that has gone ends the run.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TextIO

import httpx

from service.batch.lines import Line
from service.client import BULK, UnreachableError, retry_after

_BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_TRIES = 20
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_AHEAD = 4  # lines read for each that is being answered, so that a slow one does not hold up all


@dataclass(slots=True)
class Count:
    """How many lines came to what.

    Attributes:
        answered: with a status of 2xx.
        failed: all others.
    """

    answered: int = 0
    failed: int = 0


async def exchange(
    client: httpx.AsyncClient,
    lines: Iterable[Line],
    output: TextIO,
    *,
    concurrency: int,
    progress: Callable[[Count], None] = lambda _: None,
) -> Count:
    """Answer every line.

    Args:
        client: knows the service's address and key.
        lines: the input.
        output: gets one JSON line for each, as soon as those before it are there.
        concurrency: most requests at a time.
        progress: told after each line.

    Returns:
        How many were answered and how many failed.

    Raises:
        UnreachableError: the service has gone; `output` holds what was answered before.
    """
    count, places = Count(), asyncio.Semaphore(concurrency)
    ahead: deque[asyncio.Task[dict[str, Any]]] = deque()

    async def write_first() -> None:
        result = await ahead[0]
        ahead.popleft()
        output.write(json.dumps(result) + "\n")
        if result["error"] is None:
            count.answered += 1
        else:
            count.failed += 1
        progress(count)

    try:
        for line in lines:
            ahead.append(asyncio.create_task(_answer(client, line, places)))
            if len(ahead) > concurrency * _AHEAD:
                await write_first()
        while ahead:
            await write_first()
    finally:
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)
    return count


async def _answer(
    client: httpx.AsyncClient, line: Line, places: asyncio.Semaphore
) -> dict[str, Any]:
    if line.error is not None:
        where = f"Line {line.number}: {line.error}"
        return _result(line, None, {"code": "invalid_line", "message": where})
    async with places:
        try:
            response = await _send(client, line)
        except httpx.TimeoutException:
            said = "The service did not answer in time."
            return _result(line, None, {"code": "timeout", "message": said})
        except httpx.RequestError as error:
            raise UnreachableError(
                f"The service cannot be reached ({type(error).__name__}): line {line.number} and "
                "those after it are not answered."
            ) from error
    return _of_response(line, response)


async def _send(client: httpx.AsyncClient, line: Line) -> httpx.Response:
    """Send until the service takes it, or has refused it often enough."""
    headers = {"Content-Type": "application/json", **BULK}
    wait = _FIRST_WAIT
    for _ in range(_TRIES - 1):
        response = await client.post(line.url, content=line.body, headers=headers)
        if response.status_code not in _BUSY or not response.headers.get("retry-after"):
            return response
        told = retry_after(response)
        await asyncio.sleep(min(wait if told is None else told, _LONGEST_WAIT))
        wait *= 2
    return await client.post(line.url, content=line.body, headers=headers)


def _of_response(line: Line, response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    answered = {
        "status_code": response.status_code,
        "request_id": response.headers.get("x-request-id", ""),
        "body": body,
    }
    if response.is_success and isinstance(body, dict):
        return _result(line, answered, None)
    reported = body.get("error") if isinstance(body, dict) else None
    reported = reported if isinstance(reported, dict) else {}
    error = {
        "code": str(reported.get("code") or response.status_code),
        "message": str(reported.get("message") or "The service refused the request."),
    }
    return _result(line, answered, error)


def _result(
    line: Line, response: dict[str, Any] | None, error: dict[str, str] | None
) -> dict[str, Any]:
    identity = f"batch_req_{uuid.uuid4().hex}"
    return {"id": identity, "custom_id": line.custom_id, "response": response, "error": error}
