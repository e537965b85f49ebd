"""From a request's body to its form, or to an error that repeats none of it.

pydantic reads the JSON itself, in one pass: it refuses lone surrogates, broken UTF-8 and endless
nesting as invalid JSON, all of which Python's own parser lets through or breaks on.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from service.errors import InvalidRequestError
from service.gate.fields import describe, safe_path
from service.gate.refusals import UnsupportedMediaTypeError

_NAMED = 5  # more wrong fields than these are only counted
Form = TypeVar("Form", bound=BaseModel)


async def read_body(
    request: Request, form: type[Form], known: Collection[str], tags: Collection[str] = ()
) -> Form:
    """Read and validate the body.

    Args:
        request: whose body it is.
        form: what it must be.
        known: names that an error may repeat.
        tags: what pydantic puts into the path of a field and no request has.

    Raises:
        UnsupportedMediaTypeError: it is not announced as plain JSON.
        InvalidRequestError: it is not JSON, or not of the form the interface asks for.
    """
    _check_headers(request)
    try:
        return form.model_validate_json(await request.body())
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise _invalid(details, known, tags) from None


def _check_headers(request: Request) -> None:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json":
        raise UnsupportedMediaTypeError(
            "Send the body with `Content-Type: application/json`.", param=None
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaTypeError("Send the body uncompressed.", param=None)


def _invalid(
    details: list[Any], known: Collection[str], tags: Collection[str]
) -> InvalidRequestError:
    """One error for all that is wrong; its `param` is the first wrong field."""
    paths = [safe_path(_location(detail, tags), known) for detail in details]
    said = list(dict.fromkeys(describe(d, path) for d, path in zip(details, paths, strict=True)))
    if details[0]["type"] == "json_invalid":
        return InvalidRequestError("The body is not valid JSON in UTF-8.")
    more = f" And {len(said) - _NAMED} more." if len(said) > _NAMED else ""
    return InvalidRequestError(f"{'. '.join(said[:_NAMED])}.{more}", param=paths[0])


def _location(detail: Any, tags: Collection[str]) -> list[str | int]:
    """Where it is wrong; where a field is unknown, what has it: its name may be one of another."""
    parts = [part for part in detail["loc"] if part not in tags]
    return parts[:-1] if detail["type"] == "extra_forbidden" else parts
