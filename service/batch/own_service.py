"""A service for the length of a run: the one that `mentalllama serve` starts, on a Unix socket."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

from service.errors import EngineError, ModelError
from service.launch import server_command
from service.models import ResolvedModel
from service.settings import PREFIX

# The socket lies in a folder that nobody else can enter: keys would be asked of oneself.
_KEYS = (f"{PREFIX}KEYS", f"{PREFIX}KEYS_FILE", "VLLM_API_KEY")
_PR_SET_PDEATHSIG = 1
_STOP_SECONDS = 60.0
_SHOWN_LINES = 15


@contextlib.contextmanager
def own_service(model: ResolvedModel, options: Sequence[str]) -> Iterator[Path]:
    """Start a service and stop it when the block is left.

    Args:
        model: what to serve.
        options: options of vLLM's.

    Yields:
        The path of its socket, which only this user can open.

    Raises:
        ModelError: the service ended before it was ready; the message ends with its log.
    """
    with tempfile.TemporaryDirectory(prefix="mentalllama-") as directory:
        socket, log = Path(directory) / "socket", Path(directory) / "log"
        command, variables = server_command(model, [*options, "--uds", str(socket)])
        for name in _KEYS:
            variables.pop(name, None)
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for this process, which then stops the other in its own time.
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        try:
            _wait_until_ready(process, socket, log)
            yield socket
        finally:
            _stop(process)


def _end_with_parent() -> None:
    """Have the kernel stop the service where this process is killed and can stop nothing."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait_until_ready(process: subprocess.Popen[bytes], socket: Path, log: Path) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), timeout=5) as client:
        while process.poll() is None:
            with contextlib.suppress(httpx.RequestError):
                if client.get("http://service/readyz").is_success:
                    return
            time.sleep(0.2)
    # The service's log holds no texts, and none has been sent.
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    end = os.linesep.join(lines[-_SHOWN_LINES:])
    raise ModelError(f"The service ended with exit code {process.returncode}. Its log ends:\n{end}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise EngineError("The service did not stop and was killed.") from None
