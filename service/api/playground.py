"""`GET /`: a page to try the service with, for people who want to see it before they program it.

Plain files from `static/`, read once: no build step and nothing from another host. The page keeps
nothing: what is written into it goes to `POST /analyze` of the same service and nowhere else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from importlib.resources import files
from types import MappingProxyType

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.gate.routes import PLAYGROUND

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}

HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "content-security-policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
            "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "permissions-policy": "camera=(), microphone=(), geolocation=()",
        "cache-control": "no-cache",  # asked for anew, and not sent again where it is the same
    }
)
"""Of every one of them."""


def add_playground(app: FastAPI) -> None:
    """Put the page and what it loads on an app."""
    folder = files("service.api") / "static"
    for path in PLAYGROUND:
        name = path.rpartition("/")[2] or "playground.html"
        content = (folder / name).read_bytes()
        app.router.routes.append(Route(path, _serve(content, name), include_in_schema=False))


def _serve(content: bytes, name: str) -> Callable[[Request], Awaitable[Response]]:
    tag = f'"{sha256(content).hexdigest()[:32]}"'
    kind = _TYPES[name.rpartition(".")[2]]
    headers = {**HEADERS, "etag": tag}

    async def serve(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=kind)

    return serve
