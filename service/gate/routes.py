"""The closed list of routes that the service exposes.

vLLM registers many more on the same app (tokenizing, pooling, profiling, …); none of them is
reachable unless it stands here. Every GET is answered on HEAD too, and OPTIONS (a browser's
preflight) reaches every path of the list.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from starlette.types import Scope

PLAYGROUND: tuple[str, ...] = (
    "/",
    "/playground/playground.css",
    "/playground/icon.svg",
    "/playground/main.js",
    "/playground/answers.js",
    "/playground/api.js",
    "/playground/batch.js",
    "/playground/dom.js",
    "/playground/errors.js",
    "/playground/events.js",
    "/playground/form.js",
    "/playground/offsets.js",
    "/playground/posts.js",
    "/playground/snippets.js",
)
"""Paths of `service.api.playground`: the page and what it loads."""

ROUTES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(PLAYGROUND, "GET"),
        "/analyze": "POST",
        "/tasks": "GET",
        "/livez": "GET",
        "/readyz": "GET",
        "/health": "GET",
        "/metrics": "GET",
        "/docs": "GET",
        "/static/swagger-ui-bundle.js": "GET",
        "/static/swagger-ui.css": "GET",
        "/openapi.json": "GET",
        "/v1/models": "GET",
        "/v1/chat/completions": "POST",
        "/v1/completions": "POST",
        "/v1/decisions": "POST",
    }
)
"""Path to its method."""

OTHER = "other"
"""What a path outside the list is called in metrics."""


def allowed_methods(path: str) -> tuple[str, ...]:
    """Methods that a listed path answers, for an `Allow` header."""
    return ("GET", "HEAD", "OPTIONS") if ROUTES[path] == "GET" else (ROUTES[path], "OPTIONS")


def route_path(scope: Scope) -> str:
    """The path as the app's routes see it: without the prefix of a proxy (`--root-path`)."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


def route_name(scope: Scope) -> str:
    """The route's name in metrics, from a closed set."""
    path = route_path(scope)
    return path if path in ROUTES else OTHER
