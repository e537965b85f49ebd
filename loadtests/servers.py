"""The servers under load, as child processes: ours, and a plain vLLM server on the same weights.

The plain one has vLLM's own defaults, the same threads and the same memory for its cache, and a
chat template that shows the model a query as it was trained on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from service.chat_template import BARE_TEMPLATE
from service.launch import (
    MODEL_VARIABLE,
    PLUGIN,
    engine_options,
    environment,
    option_value,
    runs_on_cpu,
)
from service.models import ResolvedModel, resolve_model
from service.weights import SAFETENSORS

START_SECONDS = 600.0
PLAIN_NAME = "plain"


class StartError(Exception):
    """A server that did not start; the message holds the end of its log."""


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Take SIGTERM as an interrupt, and an interrupt where a shell in the background ignores it.

    Either way the servers that the block has started are stopped, and not left behind.
    """
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes:
        url: where.
        log: its output.
        process: the first of its processes.
        started_after: seconds that the start took.
    """

    url: str
    log: Path
    process: subprocess.Popen[bytes]
    started_after: float


@contextlib.asynccontextmanager
async def ours(model: str, log: Path, options: Sequence[str] = ()) -> AsyncIterator[Running]:
    """Run `mentalllama serve` until the block is left."""
    program = str(Path(sys.executable).with_name("mentalllama"))
    command = [program, "serve", model, *options]
    with running(command, log, {}, ready="/readyz") as server:
        yield server


def served_dtype(model: ResolvedModel) -> str | None:
    """The type that ours is told to compute a model in; None for the model's own."""
    options = engine_options(model, [], cpu=runs_on_cpu())
    return option_value(options, "--dtype", "") or None


@contextlib.asynccontextmanager
async def plain(model: str, log: Path, options: Sequence[str] = ()) -> AsyncIterator[Running]:
    """Run vLLM's own server, none of our code in it, until the block is left."""
    resolved = resolve_model(model)
    variables = environment(resolved, os.environ, cpu=runs_on_cpu())
    others = [name for name in variables["VLLM_PLUGINS"].split(",") if name != PLUGIN]
    variables["VLLM_PLUGINS"] = ",".join(others)
    # One process for scheduler and model is ours; vLLM's own two set their threads themselves.
    for name in (MODEL_VARIABLE, "VLLM_ENABLE_V1_MULTIPROCESSING", "OMP_NUM_THREADS"):
        variables.pop(name, None)
    command = [sys.executable, "-P", "-m", "service.server", resolved.path]
    command += ["--served-model-name", PLAIN_NAME, "--host", "127.0.0.1"]
    command += ["--load-format", SAFETENSORS]  # what vLLM itself would find
    command += ["--chat-template", BARE_TEMPLATE, *options]
    with running(command, log, variables, ready="/health") as server:
        yield server


@contextlib.contextmanager
def running(
    command: Sequence[str],
    log: Path,
    variables: Mapping[str, str],
    *,
    ready: str,
    seconds: float = START_SECONDS,
) -> Iterator[Running]:
    """Run a server on a free port until the block is left.

    Args:
        command: without the port, which is added as `--port N`.
        log: where its output goes.
        variables: added to the environment.
        ready: the path that answers 200 once it is.
        seconds: most that the start may take.

    Raises:
        StartError: it ended, or was not ready in time.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    begun = time.monotonic()
    process = spawn([*command, "--port", str(port)], log, variables)
    try:
        while not _ready(url + ready):
            if process.poll() is not None:
                raise StartError(f"the server ended with {process.returncode}:\n{_end(log)}")
            if time.monotonic() - begun > seconds:
                raise StartError(f"the server was not ready in time:\n{_end(log)}")
            time.sleep(0.25)
        yield Running(url, log, process, time.monotonic() - begun)
    finally:
        stop(process)


def spawn(
    command: Sequence[str], log: Path, variables: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own, its output in `log`."""
    with log.open("wb") as file:
        return subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | dict(variables),
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a server to stop, then make it and every process it started."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(30)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _end(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-40:])
