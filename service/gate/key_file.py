"""Changes a file of keys for the command line; the running service reads it again by itself.

The file is replaced as a whole, so that a reader sees the old one or the new one. It holds hashes
alone; that nobody but its owner may read it is only caution.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from service.errors import InvalidRequestError, UnknownNameError
from service.gate.keys import KeyEntry, KeyFile, hash_key, new_key, read_key_file
from service.settings import InvalidSettingsError

_OWNER_ONLY = 0o600


def dump_entry(entry: KeyEntry) -> dict[str, Any]:
    """An entry as JSON values, without what was left at its default."""
    return entry.model_dump(mode="json", exclude_defaults=True) | {"scopes": sorted(entry.scopes)}


def add_key(path: Path, entry: KeyEntry) -> None:
    """Add an entry to a file, which is made where there is none.

    Raises:
        InvalidRequestError: the file has a key of this name.
        InvalidSettingsError: the file is no file of keys, or cannot be written.
    """
    keys = read_key_file(path).keys if path.exists() else ()
    if any(one.name == entry.name for one in keys):
        raise InvalidRequestError(
            f"There is a key called {entry.name} already. Choose another name, or give it a new "
            f"key with `mentalllama keys rotate {entry.name}`."
        )
    _write(path, (*keys, entry))


def rotate_key(path: Path, name: str, *, now: bool) -> str:
    """Give a caller a new key.

    Args:
        path: the file.
        name: the caller's.
        now: whether its old keys cease to work; else the newest of them works until the next
            rotation.

    Returns:
        The new key.

    Raises:
        UnknownNameError: the file has no key of this name.
        InvalidSettingsError: the file is no file of keys, or cannot be written.
    """
    keys = read_key_file(path).keys
    key = new_key()
    old = _named(keys, name)
    kept = () if now else old.sha256[:1]
    entry = old.model_copy(update={"sha256": (hash_key(key), *kept)})
    _write(path, tuple(entry if one is old else one for one in keys))
    return key


def revoke_key(path: Path, name: str) -> None:
    """Take a caller out of a file.

    Raises:
        As `rotate_key`.
    """
    keys = read_key_file(path).keys
    gone = _named(keys, name)
    _write(path, tuple(one for one in keys if one is not gone))


def _named(keys: tuple[KeyEntry, ...], name: str) -> KeyEntry:
    for entry in keys:
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in keys) or "none"
    raise UnknownNameError(f"The file has no key of this name. It has: {known}.", param="name")


def _write(path: Path, keys: tuple[KeyEntry, ...]) -> None:
    KeyFile(keys=keys)
    content = json.dumps({"keys": [dump_entry(entry) for entry in keys]}, indent=2) + "\n"
    try:
        _replace(path, content)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidSettingsError(f"{path} cannot be written: {reason}.") from None


def _replace(path: Path, content: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    mode = path.stat().st_mode & 0o777 if path.exists() else _OWNER_ONLY
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
