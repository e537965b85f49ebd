"""What vLLM's OpenAI routes take beside OpenAI's fields, as far as it is not a caller's to choose.

Fields that steer the engine or reach past it are refused, not dropped: a caller who sends one
expects an effect. `cache_salt`, which keeps prefix caches apart, is always made of the caller's
own: left to callers, one could choose another's and learn from the time of an answer what the
other has sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from service.errors import InvalidRequestError
from service.gate.caller import ANONYMOUS, Caller

VLLM_ROUTES: frozenset[str] = frozenset({"/v1/chat/completions", "/v1/completions"})
"""Routes whose bodies vLLM reads. Ours take no field that steers the engine, and pass the caller's
salt on themselves (`Options.cache_salt`)."""

REFUSED: Mapping[str, tuple[object, str]] = MappingProxyType(
    {
        "priority": (0, "Send the header X-MentalLLaMA-Priority instead."),
        # Has the engine fetch keys and values from a host that the request names.
        "kv_transfer_params": (None, "Leave it out."),
        "ec_transfer_params": (None, "Leave it out."),
        "mm_payload": (None, "Leave it out."),
        # Arguments of plugins and connectors.
        "vllm_xargs": (None, "Leave it out."),
        "session_id": (None, "Leave it out."),
        "request_id": (None, "Send the header X-Request-Id instead."),
    }
)
"""Fields that steer the engine: the value that asks for nothing, and what to do instead."""


def check_fields(body: Mapping[str, Any]) -> None:
    """Refuse a body that steers the engine.

    Raises:
        InvalidRequestError: it has such a field with a value that asks for something.
    """
    for field, (nothing, instead) in REFUSED.items():
        value = body.get(field)
        if value is not None and value != nothing:
            raise InvalidRequestError(
                f"`{field}` is not for callers to set. {instead}", param=field
            )


def salted(body: Mapping[str, Any], caller: Caller) -> dict[str, Any] | None:
    """The body with the salt of the caller's prefix cache, or None where it stays as it is.

    A caller's own `cache_salt` divides its cache further: the salt is then made of both.

    Raises:
        InvalidRequestError: `cache_salt` is no text.
    """
    if caller is ANONYMOUS:
        return None
    given = body.get("cache_salt")
    if given is None:
        if caller.cache_salt is None:
            return None
        return {**body, "cache_salt": caller.cache_salt}
    if not isinstance(given, str) or not given:
        raise InvalidRequestError("`cache_salt` must be a string.", param="cache_salt")
    both = f"{caller.cache_salt or 'shared'}\0{given}"
    return {**body, "cache_salt": hashlib.sha256(both.encode()).hexdigest()}
