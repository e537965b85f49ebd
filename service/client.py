"""A client of a running service: a request goes out as JSON, its response or an error comes back.

Every failure becomes an error that says what to do. The post travels in the body only: it is in no
URL and no message. Errors that the service itself reports keep their class where it is known, so
that a caller handles them as if the analysis had run here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from service import errors
from service.errors import InvalidRequestError, ServiceError


class UnreachableError(ServiceError):
    """No service answered at the URL."""

    status = 503
    code = "unreachable"
    description = "No service answered at the URL, or not in time."


class RefusedError(ServiceError):
    """Something answered, but not with an analysis and not with an error known here."""

    status = 502
    code = "refused"
    description = "What answered at the URL refused the request or is not this service."


_BY_CODE: Mapping[str, type[ServiceError]] = {
    value.code: value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, ServiceError)
}
_JSON = {"Content-Type": "application/json"}
_CONNECT_SECONDS = 10.0
_LONGEST_MESSAGE = 2_000
_NOT_THERE = frozenset({502, 503, 504})  # what a proxy says in the place of a service

BULK: Mapping[str, str] = {"X-MentalLLaMA-Priority": "bulk"}
"""The header of what waits behind whoever waits for an answer."""

KEY_VARIABLE = "MENTALLLAMA_API_KEY"
"""Where the command line finds the key of a service that asks for one: not in its arguments, which
other users of the machine can see."""


def analyze_over_http(
    url: str, request: Mapping[str, Any], timeout: float, key: str | None = None
) -> dict[str, Any]:
    """Send one request to a service's `POST /analyze`.

    Args:
        url: where the service is, as `http://host:port`, with or without a path before `/analyze`.
        request: the request's fields; sent as the JSON body.
        timeout: seconds to wait for the answer once connected.
        key: the API key, where the service asks for one.

    Returns:
        The response's JSON object.

    Raises:
        InvalidRequestError: the URL is none.
        UnreachableError: nothing answered there, or not in time.
        RefusedError: what answered is not this service, or said something unknown.
        ServiceError: the error that the service reported, in its own class.
    """
    endpoint, place, local = _endpoint(url)
    with _explained(place, timeout):
        response = httpx.post(
            endpoint,
            content=_encoded(request),
            headers=_JSON | _authorization(key),
            timeout=httpx.Timeout(timeout, connect=_CONNECT_SECONDS),
            # What stays on this machine is never sent to a proxy that the environment names.
            trust_env=not local,
        )
    return _body(response, place)


class AsyncService:
    """A running service, asked many things at once; used as an asynchronous context.

    Args:
        url: as `analyze_over_http`.
        timeout: seconds to wait for an answer once connected.
        key: the API key, where the service asks for one.
        connections: most requests at a time.

    Raises:
        InvalidRequestError: the URL or the key is none.
    """

    def __init__(self, url: str, timeout: float, key: str | None, connections: int) -> None:
        self._endpoint, self._place, _ = _endpoint(url)
        self._timeout = timeout
        self._web = open_client(url, timeout, key, connections)

    @property
    def place(self) -> str:
        """The service's scheme, host and port: what may be shown of the URL."""
        return self._place

    async def __aenter__(self) -> Self:
        await self._web.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._web.aclose()

    async def analyze(
        self, request: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Send one request to `POST /analyze`.

        Raises:
            As `analyze_over_http`.
        """
        with _explained(self._place, self._timeout):
            response = await self._web.post(
                self._endpoint, content=_encoded(request), headers=_JSON | dict(headers or {})
            )
        return _body(response, self._place)


@contextmanager
def _explained(place: str, timeout: float) -> Iterator[None]:
    """Turn a failed connection into an error that says what to do."""
    try:
        yield
    except httpx.InvalidURL:
        raise _bad_url() from None
    except httpx.ConnectTimeout as error:
        raise UnreachableError(f"{place} did not accept a connection: is the URL right?") from error
    except httpx.TimeoutException as error:
        raise UnreachableError(
            f"{place} did not answer within {timeout:g} seconds: allow more time, or ask for fewer "
            "questions or explanations."
        ) from error
    except httpx.ConnectError as error:
        raise UnreachableError(
            f"No service answers at {place}: start one with `mentalllama serve`, or see that the "
            "URL is right."
        ) from error
    except httpx.RequestError as error:
        raise UnreachableError(
            f"The connection to {place} broke off ({type(error).__name__}): try again."
        ) from error


def _authorization(key: str | None) -> dict[str, str]:
    if not key:
        return {}
    if not key.isascii() or not key.isprintable():
        raise InvalidRequestError(f"The key in {KEY_VARIABLE} is none: it has other characters.")
    return {"Authorization": f"Bearer {key}"}


def _endpoint(url: str) -> tuple[str, str, bool]:
    """The full URL; the part that may be shown (no user, no password); whether it is local."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _bad_url() from None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise _bad_url()
    shown = f"[{host}]" if ":" in host else host
    place = f"{parts.scheme}://{shown}" + (f":{port}" if port else "")
    path = parts.path.rstrip("/").removesuffix("/analyze")
    local = host in ("localhost", "127.0.0.1", "::1")
    return f"{parts.scheme}://{parts.netloc}{path}/analyze", place, local


def open_client(
    url: str, timeout: float, key: str | None = None, connections: int | None = None
) -> httpx.AsyncClient:
    """A client of all routes of a service, for whoever handles responses and failures itself.

    Args:
        url: as `analyze_over_http`.
        timeout: seconds to wait for an answer once connected.
        key: the API key, where the service asks for one.
        connections: most at a time; None leaves it to the caller to bound what it asks.

    Raises:
        InvalidRequestError: the URL or the key is none.
    """
    endpoint, _, local = _endpoint(url)
    try:
        return httpx.AsyncClient(
            base_url=endpoint.removesuffix("/analyze"),
            headers=_authorization(key),
            timeout=httpx.Timeout(timeout, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=connections, keepalive_expiry=2),
            trust_env=not local,
        )
    except httpx.InvalidURL:
        raise _bad_url() from None


def _bad_url() -> InvalidRequestError:
    return InvalidRequestError(
        "The URL of the service must look like http://localhost:8000.", param="url"
    )


def _encoded(request: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(dict(request), ensure_ascii=False, allow_nan=False).encode()
    except ValueError:  # half of a surrogate pair, or a number that is none
        raise InvalidRequestError(
            "The request holds a character or a number that cannot be sent: is the text UTF-8?"
        ) from None


def _body(response: httpx.Response, place: str) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:  # not JSON, or not text
        body = None
    if isinstance(body, dict):
        if response.is_success and isinstance(body.get("results"), list):
            return body
        if isinstance(reported := body.get("error"), dict) and not response.is_success:
            raise _reported(reported, response, place)
    status, after = response.status_code, retry_after(response)
    if status in _NOT_THERE:
        raise UnreachableError(
            f"{place} answered with HTTP {status}: the service behind it is not there, or busy.",
            retry_after=after,
        )
    raise RefusedError(
        f"{place} answered with HTTP {status}, not as this service does: is the URL right?",
        retry_after=after,
    )


def retry_after(response: httpx.Response) -> int | None:
    """Seconds after which to try again, where the response tells: as a number or as a date."""
    said = response.headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return int(said[:9])
    try:
        then = parsedate_to_datetime(said)
    except ValueError:
        return 1 if response.status_code == httpx.codes.TOO_MANY_REQUESTS else None
    seconds = (then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return max(0, round(seconds))


def _reported(reported: dict[str, Any], response: httpx.Response, place: str) -> ServiceError:
    code, message, param = (reported.get(name) for name in ("code", "message", "param"))
    status, after = response.status_code, retry_after(response)
    if not isinstance(code, str) or not isinstance(message, str):
        return RefusedError(f"{place} refused the request with HTTP {status}.", retry_after=after)
    kind = _BY_CODE.get(code)
    message = message[:_LONGEST_MESSAGE]
    if kind is None:
        message = f"{place} refused the request with HTTP {status}: {message}"
        return RefusedError(message, retry_after=after)
    return kind(message, param=param if isinstance(param, str) else None, retry_after=after)
