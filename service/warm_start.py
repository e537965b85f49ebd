"""The engine's imports beside the server's, at the same time.

vLLM starts its engine as a new Python process once the server has imported everything and read its
options; that process then imports most of it again, several seconds of one core. Here a fork server
(of Python's `multiprocessing`) imports the engine's modules from the first moment on, on another
core, and the engine is forked from it when vLLM asks for it. No thread of OpenMP runs before that,
so that forking is safe. The engine gets the environment that the server has by then, as a new
process would.

For vLLM's CPU build alone: where there is a GPU, loading the model outlasts imports by far.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any


class _WarmContext(ForkServerContext):
    """Starts processes from the fork server, with this process's environment."""

    def Process(  # type: ignore[override]  # noqa: N802 - multiprocessing's name
        self, *, target: Callable[..., None], name: str, kwargs: Mapping[str, Any]
    ) -> ForkServerProcess:
        """What vLLM asks of a context to start its engine."""
        given = {"environment": dict(os.environ), "target": target, "arguments": dict(kwargs)}
        return ForkServerProcess(target=_run, name=name, kwargs=given)


def begin() -> None:
    """Start importing; to be called before vLLM is imported here."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(["service.fork_server"])
    forkserver.ensure_running()


def hand_over() -> None:
    """Let vLLM start its engine from there; to be called once vLLM is imported."""
    import vllm.v1.engine.utils

    vllm.v1.engine.utils.get_mp_context = _WarmContext


def _run(
    environment: Mapping[str, str], target: Callable[..., None], arguments: Mapping[str, Any]
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    target(**arguments)
