"""Starting and stopping the real server as a child process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from imhi.tasks import TASKS
from loadtests.servers import Running as RunningServer
from loadtests.servers import running, spawn
from service.analysis.questions import asked_questions
from service.models import manifest_of

__all__ = ["RunningServer", "asked_by_default", "bare_environment", "serve", "start"]

START_SECONDS = 300.0


def asked_by_default() -> list[str]:
    """Ids of the questions that the embedded model answers where a request names none."""
    manifest = manifest_of("embedded")
    return [q.id for task in TASKS.values() for q in asked_questions(manifest, task)]


def bare_environment() -> dict[str, str]:
    """As on any machine: without what a test run or a developer has set for vLLM or for us."""
    ours = ("VLLM_", "MENTALLLAMA_", "COLUMNS", "PYTEST")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def start(
    arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start `mentalllama serve` in a process group of its own, its output in `log`."""
    return spawn(_command(arguments), log, environment or {})


@contextlib.contextmanager
def serve(
    arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[RunningServer]:
    """Run the server until the block is left; fail with the end of its log if it does not start."""
    command = _command(arguments)
    with running(command, log, environment or {}, ready="/readyz", seconds=START_SECONDS) as server:
        yield server


def _command(arguments: Sequence[str]) -> list[str]:
    return [str(Path(sys.executable).with_name("mentalllama")), "serve", *arguments]
