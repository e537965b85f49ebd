"""Starting and stopping the real server as a child process."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from loadtests.servers import Running as RunningServer
from loadtests.servers import running, spawn, stop

__all__ = ["COMMAND", "RunningServer", "bare_environment", "exit_code", "serve"]

COMMAND = str(Path(sys.executable).with_name("mentalllama"))
START_SECONDS = 300.0
_ENGINE = {"VLLM_CPU_KVCACHE_SPACE": "1"}
"""In GiB; enough for every model of the tests, and two engines fit on a small machine."""


def bare_environment() -> dict[str, str]:
    """As on any machine: without what a test run or a developer has set for vLLM or for us."""
    kept = {name: value for name, value in os.environ.items() if not _is_ours(name)}
    return kept | _ENGINE


@contextlib.contextmanager
def serve(
    arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[RunningServer]:
    """Run the server until the block is left; fail with the end of its log if it does not start."""
    command = _command(arguments, environment or {})
    with running(command, log, {}, ready="/readyz", seconds=START_SECONDS) as server:
        yield server


def exit_code(arguments: Sequence[str], log: Path) -> int:
    """Run a server that ends by itself."""
    process = spawn(_command(arguments, {}), log, {})
    try:
        return process.wait(START_SECONDS)
    finally:
        stop(process)


def _command(arguments: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    # What an engine in the process of the tests has set, or a developer, is not for the server.
    unset = (f"--unset={name}" for name in os.environ if _is_ours(name))
    assignments = (f"{name}={value}" for name, value in (_ENGINE | dict(variables)).items())
    # Nothing is compiled: that would take minutes for each model.
    return ["env", *unset, *assignments, COMMAND, "serve", *arguments, "--enforce-eager"]


def _is_ours(name: str) -> bool:
    return name.startswith(("VLLM_", "MENTALLLAMA_", "COLUMNS", "PYTEST"))
