"""Lines of a file in OpenAI's batch format, each a request or the reason why it is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.errors import InvalidRequestError
from service.gate.routes import ROUTES

URLS = tuple(path for path, method in ROUTES.items() if method == "POST")
"""The routes that a line may name."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the input.

    Attributes:
        number: from 1, empty lines counted.
        custom_id: what the caller calls it; None where the line has none.
        url: the route; empty where there is an error.
        body: the request's body, as it is sent.
        error: why it cannot be sent; it holds nothing of the body.
    """

    number: int
    custom_id: str | None
    url: str = ""
    body: bytes = b""
    error: str | None = None


class _Request(BaseModel):
    model_config = ConfigDict(extra="ignore")

    custom_id: str = Field(min_length=1)
    method: str
    url: str
    body: dict[str, Any]


def read_lines(path: Path) -> Iterator[Line]:
    """The file's lines in their order, empty ones left out.

    Args:
        path: a file of JSON lines in UTF-8.

    Raises:
        InvalidRequestError: the file cannot be read. What is wrong with a line is in the line.
    """
    seen: set[str] = set()
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                if not raw.strip():
                    continue
                line = _line(number, raw)
                name = line.custom_id
                if name is not None and name in seen:
                    line = Line(number, name, error="custom_id: Must be used once.")
                elif name is not None:
                    seen.add(name)
                yield line
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidRequestError(f"{path} cannot be read: {reason}.", param="input") from None


def _line(number: int, raw: bytes) -> Line:
    try:
        value = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
    except (ValueError, RecursionError):  # neither UTF-8 nor JSON, or nested without end
        return Line(number, None, error="The line is no JSON object in UTF-8.")
    if not isinstance(value, dict):
        return Line(number, None, error="The line is no JSON object in UTF-8.")
    given = value.get("custom_id")
    custom_id = given if isinstance(given, str) else None
    try:
        request = _Request.model_validate(value)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        said = " ".join(f"{detail['loc'][0]}: {detail['msg']}." for detail in details)
        return Line(number, custom_id, error=said)
    if request.method != "POST":
        return Line(number, custom_id, error="method: Must be POST.")
    if request.url not in URLS:
        return Line(number, custom_id, error=f"url: Must be one of {', '.join(URLS)}.")
    if request.body.get("stream"):
        return Line(number, custom_id, error="body.stream: A batch has no streams.")
    return Line(number, custom_id, request.url, json.dumps(request.body).encode())
