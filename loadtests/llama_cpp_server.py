"""llama.cpp on the same weights: the server of `llama-cpp-python`, as a child process.

It answers one request at a time and keeps the last prompt's keys and values, so that what the next
prompt begins with alike is not computed again: the questions on a post share the post there too,
when they come one after the other.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from loadtests.absent import AbsentError, need
from loadtests.gguf_file import write_gguf
from loadtests.servers import Running, running
from service.models import ResolvedModel, gguf_file

NAME = "llama.cpp"
CONTEXT = 4096
"""Tokens that it makes room for: our longest post, its question and an explanation."""


@contextlib.asynccontextmanager
async def llama_cpp(model: ResolvedModel, folder: Path) -> AsyncIterator[Running]:
    """Run the server until the block is left.

    Args:
        model: what our server serves.
        folder: for the GGUF file, which is written once, and the log.

    Raises:
        AbsentError: it is not installed, or the model is no GGUF file's fine-tuned child.
        StartError: it did not start.
    """
    need("llama_cpp", "sse_starlette", "starlette_context")
    if not model.embedded:
        raise AbsentError("only the embedded model is written as a GGUF file here")
    weights = Path(model.path)
    file = folder / f"{weights.name}.gguf"
    if not file.is_file():
        write_gguf(weights, gguf_file(), file)
    threads = str(len(os.sched_getaffinity(0)))
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(file)]
    command += ["--model_alias", NAME, "--n_ctx", str(CONTEXT)]
    command += ["--n_threads", threads, "--n_threads_batch", threads]
    command += ["--logits_all", "false", "--verbose", "false"]
    # Otherwise a new request breaks off the one that runs.
    command += ["--interrupt_requests", "false"]
    with running(command, folder / "llama_cpp.log", {}, ready="/v1/models") as server:
        yield server
