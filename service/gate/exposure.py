"""Who can reach the server, and whether that is safe: without keys, this machine alone.

Whoever reaches the port can have posts read by the model, fill the engine, and see what it does.
Looked at twice: on the command line, before a model is built, and again in the server, where
vLLM's own parser has read its options, a configuration file included.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence

from service.gate.keys import hash_key
from service.gate.scopes import Scope
from service.settings import PREFIX, InvalidSettingsError, Settings

VLLM_KEY = "vllm-api-key"
"""The name of the caller that sends the key of vLLM's `--api-key`."""

_LOCAL_NAMES = ("localhost", "ip6-localhost", "ip6-loopback")


class UnprotectedError(InvalidSettingsError):
    """A server that anybody on the network could use."""

    code = "unprotected"
    description = "Without keys the service listens on this machine alone."


def is_local(host: str | None) -> bool:
    """Whether only this machine can reach a server that listens on `host`; None is everywhere."""
    if not host:
        return False
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() in _LOCAL_NAMES


def has_keys(settings: Settings) -> bool:
    """Whether the deployment asks for keys."""
    return settings.keys_file is not None or settings.keys is not None


def check_exposure(
    settings: Settings, host: str | None, *, socket: bool = False, api_key: bool = False
) -> None:
    """Refuse a server that others can reach and that asks nobody for a key.

    Args:
        settings: the deployment's.
        host: where it is to listen; None or nothing is everywhere.
        socket: whether it listens on a Unix socket instead, which file permissions guard.
        api_key: whether vLLM was given a key of its own.

    Raises:
        UnprotectedError: the server would be open to others.
        InvalidSettingsError: keys of both kinds were given.
    """
    keys = has_keys(settings)
    if keys and api_key:
        raise InvalidSettingsError(
            "Both vLLM's --api-key (or VLLM_API_KEY) and keys of this service are set, and a "
            "request can carry only one. Leave out --api-key: the keys guard every route, which "
            "vLLM's does not."
        )
    if keys or api_key or socket or settings.external_authentication or is_local(host):
        return
    raise UnprotectedError(
        f"Without keys the service listens on this machine alone, not on {host or 'every address'}"
        ": whoever reached it could use it. Make a key with `mentalllama keys create NAME --scope "
        f"analyze --file keys.json` and set {PREFIX}KEYS_FILE=keys.json; or, where a proxy before "
        f"it asks for authentication, set {PREFIX}EXTERNAL_AUTHENTICATION=true."
    )


def keys_of_vllm(api_keys: Sequence[str]) -> str:
    """VLLM's own keys as one caller of ours, so that they guard every route and not a few.

    Returns:
        A value for the setting `keys`. The caller has every scope but `admin`.
    """
    entry = {
        "name": VLLM_KEY,
        "sha256": [hash_key(key) for key in api_keys],
        "scopes": sorted(set(Scope) - {Scope.ADMIN}),
    }
    return json.dumps({"keys": [entry]})
