"""API keys: how one is made, how it is stored, and which caller a presented one stands for.

A key is 256 random bits. The deployment stores only its SHA-256. That is the right hash here, where
for passwords it is the wrong one: a slow, salted hash protects secrets that people choose and that
can be guessed; 2^256 random values cannot be guessed at any speed, so slowness would buy nothing
and cost every request. A stolen file of hashes opens nothing.

`KeyRing` holds the entries of a file, an environment variable or both, and reads the file again
when it has changed: keys are added, rotated and revoked without a restart.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.failures import logger
from service.gate.caller import ANONYMOUS, Caller, Limits, Priority, cache_salt
from service.gate.scopes import Scope
from service.metrics import KEY_FILE_ERRORS
from service.settings import PREFIX, InvalidSettingsError, Settings, validation_reasons

KEY_PREFIX = "mentalllama_"
"""What every key begins with, so that scanners for leaked secrets know one."""

_RANDOM_BYTES = 32
_LOOK_AGAIN_SECONDS = 1.0

Amount = Annotated[int, Field(ge=1)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LimitsEntry(_Entry):
    """Limits of one key, all optional."""

    requests_per_minute: Amount | None = None
    posts_per_minute: Amount | None = None
    concurrent_requests: Amount | None = None
    body_bytes: Amount | None = None
    texts: Amount | None = None
    characters: Amount | None = None


class KeyEntry(_Entry):
    """One caller, as the file of keys has it."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="Unique; appears in logs.")
    sha256: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] = Field(
        min_length=1,
        max_length=8,
        description="Hashes of the keys that are accepted, the newest first.",
    )
    scopes: frozenset[Scope] = Field(min_length=1, description="What the key is for.")
    limits: LimitsEntry = Field(default_factory=LimitsEntry)
    expires: AwareDatetime | None = Field(default=None, description="When it ceases to work.")
    share_cache: bool = Field(
        default=False,
        description="Whether its prefix cache is shared with every other key that shares its own.",
    )
    priority: Priority | None = Field(
        default=None, description="The priority of all its requests, whatever they ask for."
    )

    def caller(self) -> Caller:
        """Who the key stands for."""
        return Caller(
            name=self.name,
            scopes=self.scopes,
            limits=Limits(**self.limits.model_dump()),
            cache_salt=None if self.share_cache else cache_salt(self.name),
            priority=self.priority,
        )


class KeyFile(_Entry):
    """A file of keys, or the value of the environment variable."""

    keys: tuple[KeyEntry, ...] = ()

    @model_validator(mode="after")
    def _unique(self) -> KeyFile:
        names = [entry.name for entry in self.keys]
        if len(set(names)) != len(names):
            raise ValueError("two keys have the same name")
        if ANONYMOUS.name in names:
            raise ValueError(f"no key may be called `{ANONYMOUS.name}`")
        hashes = [digest for entry in self.keys for digest in entry.sha256]
        if len(set(hashes)) != len(hashes):
            raise ValueError("the same hash stands in it twice")
        return self


def new_key() -> str:
    """A key that nobody has seen before."""
    return KEY_PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def hash_key(key: str) -> str:
    """What is stored of a key: its SHA-256, in hexadecimal digits."""
    return hashlib.sha256(key.encode()).hexdigest()


def parse_keys(content: bytes | str, source: str) -> KeyFile:
    """Read entries from JSON.

    Args:
        content: the JSON.
        source: what it was read from, for the message.

    Raises:
        InvalidSettingsError: it is not of the form of `KeyFile`.
    """
    try:
        return KeyFile.model_validate_json(content)
    except ValidationError as error:
        raise InvalidSettingsError(f"{source}: {validation_reasons(error)}") from None


def read_key_file(path: Path) -> KeyFile:
    """Read a file of keys.

    Raises:
        InvalidSettingsError: it cannot be read, or what it holds are no keys.
    """
    source = f"{PREFIX}KEYS_FILE: {path}"
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidSettingsError(f"{source} cannot be read: {reason}.") from None
    return parse_keys(content, source)


@dataclass(frozen=True, slots=True)
class Found:
    """The caller that a key stands for, and whether the key still works."""

    caller: Caller
    expired: bool


class KeyRing:
    """All keys of a deployment.

    Args:
        path: the file of keys, or None.
        fixed: entries that no file holds.
        clock: seconds, monotonic; says when the file is looked at again.

    Raises:
        InvalidSettingsError: the file cannot be used, or both sources use the same name or hash.
    """

    def __init__(
        self,
        path: Path | None,
        fixed: Iterable[KeyEntry] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._fixed = tuple(fixed)
        self._clock = clock
        self._looked = clock()
        self._seen = self._stamp()
        self._entries = self._read()

    def find(self, key: str) -> Found | None:
        """The caller of a key, or None where it is not known.

        Every stored hash is compared, in constant time and without stopping at a match, so that
        how long it takes says nothing about any of them.
        """
        self._refresh()
        presented = bytes.fromhex(hash_key(key))
        found: Found | None = None
        for digest, caller, expires in self._entries:
            if hmac.compare_digest(presented, digest):
                found = Found(caller, expires is not None and datetime.now(UTC) >= expires)
        return found

    def _refresh(self) -> None:
        """Read the file again where it has changed; a broken one leaves the keys as they were."""
        now = self._clock()
        if self._path is None or now - self._looked < _LOOK_AGAIN_SECONDS:
            return
        self._looked = now
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._entries = self._read()
        except InvalidSettingsError as error:
            KEY_FILE_ERRORS.inc()
            logger.error("The keys stay as they were until the file is right: %s", error.message)
        else:
            logger.info("The file of keys was read again: %d hashes.", len(self._entries))

    def _stamp(self) -> tuple[int, int, int] | None:
        """What changes with the file; None while there is none."""
        if self._path is None:
            return None
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> tuple[tuple[bytes, Caller, datetime | None], ...]:
        entries = self._fixed
        if self._path is not None:
            entries = (*read_key_file(self._path).keys, *entries)
            try:
                KeyFile(keys=entries)
            except ValidationError as error:
                raise InvalidSettingsError(
                    f"{PREFIX}KEYS_FILE and {PREFIX}KEYS together: {validation_reasons(error)}"
                ) from None
        return tuple(
            (bytes.fromhex(digest), caller, entry.expires)
            for entry in entries
            for caller in (entry.caller(),)
            for digest in entry.sha256
        )


def load_keys(settings: Settings) -> KeyRing | None:
    """The deployment's keys; None where neither a file nor a variable is set.

    A source without a single key in it is no reason to let everybody in: the ring is then empty.

    Raises:
        InvalidSettingsError: as `KeyRing`, or the variable does not hold keys.
    """
    if settings.keys_file is None and settings.keys is None:
        return None
    fixed = parse_keys(settings.keys, f"{PREFIX}KEYS").keys if settings.keys is not None else ()
    return KeyRing(settings.keys_file, fixed)
