"""What a key may be for, and which scope each route asks of it.

The table is explicit: a route of `service.gate.routes` that does not stand in it asks for `admin`,
and a test fails until somebody has decided. Three kinds of routes: `OPEN` ones answer everybody,
because a probe carries no key; `PAGES` are for people in front of a browser, which sends no key
when it opens a page, so a deployment may open them (`public_pages`); every other needs one of its
scopes.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from service.gate.routes import PLAYGROUND


class Scope(StrEnum):
    """One thing that a key may be for."""

    ANALYZE = "analyze"
    OPENAI = "openai"
    METRICS = "metrics"
    ADMIN = "admin"


OPEN: frozenset[str] = frozenset({"/livez", "/readyz"})
"""Routes that need no key."""

PAGES: frozenset[str] = frozenset(
    {
        *PLAYGROUND,
        "/docs",
        "/static/swagger-ui-bundle.js",
        "/static/swagger-ui.css",
        "/openapi.json",
    }
)
"""Pages for people and what they load."""

_PEOPLE = frozenset({Scope.ANALYZE, Scope.OPENAI})
_SCOPES: Mapping[str, frozenset[Scope]] = MappingProxyType(
    {
        "/analyze": frozenset({Scope.ANALYZE}),
        "/tasks": frozenset({Scope.ANALYZE}),
        "/metrics": frozenset({Scope.METRICS}),
        "/health": frozenset({Scope.METRICS}),
        # `model` of /analyze takes the names that this route tells.
        "/v1/models": _PEOPLE,
        "/v1/chat/completions": frozenset({Scope.OPENAI}),
        "/v1/completions": frozenset({Scope.OPENAI}),
        "/v1/decisions": frozenset({Scope.OPENAI}),
        **dict.fromkeys(PAGES, _PEOPLE),
    }
)


def scopes_of(path: str) -> frozenset[Scope]:
    """The scopes of which a key needs one to ask the route; `admin` always suffices.

    Empty for a route of `OPEN`.
    """
    if path in OPEN:
        return frozenset()
    return _SCOPES.get(path, frozenset()) | {Scope.ADMIN}


def decided(path: str) -> bool:
    """Whether somebody has decided what the route asks for."""
    return path in OPEN or path in _SCOPES
