"""Lets a request through when its key has a scope that the route asks for, and says who asked.

The key comes as `Authorization: Bearer KEY`, as OpenAI's clients send it. A browser's preflight
(OPTIONS) cannot carry one and gets nothing but headers. Without keys in the deployment every
request is `ANONYMOUS`'.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from service.errors import ServiceError
from service.gate.caller import Caller, set_caller
from service.gate.keys import KeyRing
from service.gate.refusals import ForbiddenError, KeyExpiredError, UnauthorizedError
from service.gate.routes import route_path
from service.gate.scopes import OPEN, PAGES, scopes_of
from service.gate.shape import error_response

_CHALLENGE = {"www-authenticate": "Bearer"}
_LONGEST_KEY = 1024


class Authenticate:
    """ASGI middleware: a key in, a `Caller` in the request's state.

    Args:
        app: what stands behind it.
        keys: the deployment's keys; None asks nobody for one.
        public_pages: whether the pages for people answer without a key.
    """

    def __init__(self, app: ASGIApp, keys: KeyRing | None, *, public_pages: bool) -> None:
        self.app = app
        self.keys = keys
        self.public = OPEN | PAGES if public_pages else OPEN

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if self.keys is None or scope["type"] != "http" or scope["method"] == "OPTIONS":
            await self.app(scope, receive, send)
            return
        path = route_path(scope)
        if path in self.public:
            await self.app(scope, receive, send)
            return
        try:
            caller = _identify(scope, self.keys)
        except ServiceError as error:
            await error_response(error, scope, headers=_CHALLENGE)(scope, receive, send)
            return
        set_caller(scope, caller)
        needed = scopes_of(path)
        if not needed & caller.scopes:
            raise ForbiddenError(
                f"This key is not for this path, which asks for one of the scopes "
                f"{', '.join(sorted(needed))}. Ask the operator for a key that has it."
            )
        await self.app(scope, receive, send)


def _identify(scope: Connection, keys: KeyRing) -> Caller:
    """Who sent the request.

    Raises:
        UnauthorizedError: no key was sent, or one that is not known.
        KeyExpiredError: the key was known once.
    """
    key = _presented(scope)
    found = keys.find(key) if key is not None else None
    if found is None:
        raise UnauthorizedError(
            "The API key is missing or wrong. Send it as `Authorization: Bearer KEY`."
        )
    if found.expired:
        raise KeyExpiredError("This API key has expired. Ask the operator for a new one.")
    return found.caller


def _presented(scope: Connection) -> str | None:
    """The key in the request's only Authorization header."""
    values = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
    if len(values) != 1 or len(values[0]) > _LONGEST_KEY:
        return None
    scheme, _, key = values[0].decode("latin-1").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None
