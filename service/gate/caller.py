"""Who is asking: one frozen `Caller` in the request's state, for everything behind the keys.

`service.gate.authenticate` puts it there, under `CALLER`; `caller_of` reads it. Logs may name a
caller by `name`, which the operator chose; the key itself is nowhere behind the gate.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum

from starlette.types import Scope as Connection

from service.gate.scopes import Scope
from service.gate.shape import state_of

CALLER = "mentalllama_caller"
"""Where in the ASGI scope's `state` the `Caller` stands."""


class Priority(StrEnum):
    """Which of two waiting requests goes first."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one caller may ask; None is no limit beside the deployment's own.

    Attributes:
        requests_per_minute: requests in any 60 seconds, refused ones included.
        posts_per_minute: texts of /analyze, prompts and chats of the OpenAI routes.
        concurrent_requests: requests that are being answered at one time.
        body_bytes: bytes of a request's body.
        texts: texts (or prompts) in one request.
        characters: Unicode code points of one text, prompt or chat.
    """

    requests_per_minute: int | None = None
    posts_per_minute: int | None = None
    concurrent_requests: int | None = None
    body_bytes: int | None = None
    texts: int | None = None
    characters: int | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """One caller, as its key describes it.

    Attributes:
        name: the key's; unique in the deployment, safe to log.
        scopes: what the key is for.
        limits: what it may ask.
        cache_salt: keeps its prefix cache apart from everybody else's; None shares one.
        priority: the priority of all its requests, whatever they ask for; None leaves it to them.
    """

    name: str
    scopes: frozenset[Scope]
    limits: Limits = field(default_factory=Limits)
    cache_salt: str | None = None
    priority: Priority | None = None


ANONYMOUS = Caller("anonymous", frozenset(Scope))
"""Everybody, where the deployment has no keys; on open routes, everywhere."""


def caller_of(scope: Connection) -> Caller:
    """Who sent the request; `ANONYMOUS` where nobody had to say."""
    caller: Caller = state_of(scope).get(CALLER, ANONYMOUS)
    return caller


def set_caller(scope: Connection, caller: Caller) -> None:
    """Say who sent the request."""
    state_of(scope)[CALLER] = caller


def cache_salt(name: str) -> str:
    """The salt of a caller's prefix cache.

    Made of the name alone, so that all processes and replicas of a deployment agree and a rotated
    key keeps its cache. It need not be secret: no caller can choose a salt, only be given its own
    (`service.gate.openai_body`).
    """
    return hashlib.sha256(b"mentalllama prefix cache\0" + name.encode()).hexdigest()
