"""How an unexpected failure is logged: what it is and where in our code, never what it says.

An exception's message can hold a piece of a post (a tokenizer's, a template's, a parser's), so
neither the message nor the traceback's source lines are written.
"""

from __future__ import annotations

import logging
import traceback

_OURS = ("service", "imhi", "training")

logger = logging.getLogger("mentalllama")


def log_failure(error: BaseException, request_id: str | None) -> None:
    """Log the type of `error` and the places in this project that it came through."""
    places = [
        f"{frame.f_globals['__name__']}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__", "")).split(".")[0] in _OURS
    ]
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    logger.error(
        "unexpected %s [request %s] at %s", kind, request_id, " > ".join(places) or "outside"
    )
