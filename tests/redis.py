"""Starting and stopping a real Redis, Debian's, for the tests that count in it."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_START_SECONDS = 10.0


class RunningRedis:
    """A Redis on a port of this machine that keeps nothing on disk."""

    def __init__(self, directory: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("redis-server is not installed (Debian's package of that name)")
        self._program = program
        self._directory = directory
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "appendonly": "no"}
        command = [self._program, "--dir", str(self._directory)]
        for name, value in options.items():
            command += [f"--{name}", value]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.02)
        raise AssertionError((self._directory / "log").read_text())

    def hang(self) -> None:
        """Have it accept connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def stop(self) -> None:
        """Stop it, if it runs, hanging or not."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            self._process.wait(10)
            self._process = None


@contextlib.contextmanager
def running_redis(directory: Path) -> Iterator[RunningRedis]:
    """A Redis until the block is left; the test is skipped where there is none."""
    redis = RunningRedis(directory)
    redis.start()
    try:
        yield redis
    finally:
        redis.stop()
