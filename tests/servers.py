"""Starting and stopping the real server as a child process."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from imhi.tasks import TASKS
from service.analysis.questions import asked_questions
from service.models import manifest_of

START_SECONDS = 300.0


@dataclass(frozen=True)
class RunningServer:
    """A server under test."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]
    started_after: float


def asked_by_default() -> list[str]:
    """Ids of the questions that the embedded model answers where a request names none."""
    manifest = manifest_of("embedded")
    return [q.id for task in TASKS.values() for q in asked_questions(manifest, task)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(
    arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start `mentalllama serve` in a process group of its own, its output in `log`."""
    command = [str(Path(sys.executable).with_name("mentalllama")), "serve", *arguments]
    with log.open("wb") as file:
        return subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | dict(environment or {}),
            start_new_session=True,
        )


@contextlib.contextmanager
def serve(
    arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[RunningServer]:
    """Run the server until the block is left; fail with the end of its log if it does not start."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    begun = time.monotonic()
    process = start([*arguments, "--port", str(port)], log, environment)
    try:
        while not _ready(url):
            if process.poll() is not None:
                raise AssertionError(f"the server ended with {process.returncode}:\n{_end(log)}")
            if time.monotonic() - begun > START_SECONDS:
                raise AssertionError(f"the server was not ready in time:\n{_end(log)}")
            time.sleep(0.5)
        yield RunningServer(url, log, process, time.monotonic() - begun)
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to stop, then make it and every process it started."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(30)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _end(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-40:])
