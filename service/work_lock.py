"""Whether a process that serves HTTP still has work for the engine, as the engine can see it.

A supervisor may send SIGTERM to every process of the service at once (systemd does, unless told
otherwise; so does `kill` on a process group). vLLM's engine then refuses each new request from that
moment on, and an analysis that was accepted needs several. So every process that serves HTTP holds
a shared lock while it works and drains, and the engine's processes wait for it to be let go
(`service.interruptions`). The kernel lets it go when its holder dies, however that comes.

The lock is on a file without a name, in the memory of the command's first process, whose children
inherit its place in the environment.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import MutableMapping

VARIABLE = "MENTALLLAMA_WORK_LOCK"
"""Where the lock's file is, for the processes of the command."""


def create(environment: MutableMapping[str, str]) -> None:
    """Make the file, which lives as long as this process, and say in `environment` where it is."""
    descriptor = os.memfd_create("mentalllama-work")
    environment[VARIABLE] = f"/proc/{os.getpid()}/fd/{descriptor}"


class WorkLock:
    """One process's hold on the lock; without a file, as in tests and on odd systems, nothing."""

    def __init__(self) -> None:
        self._descriptor: int | None = None

    def take(self) -> None:
        """Say that this process has work for the engine."""
        descriptor = _open()
        if descriptor is not None:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            self._descriptor = descriptor

    def let_go(self) -> None:
        """Say that it has none and will have none."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_held() -> bool:
    """Whether any process has work for the engine."""
    descriptor = _open()
    if descriptor is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _open() -> int | None:
    path = os.environ.get(VARIABLE)
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC) if path else None
    except OSError:
        return None
