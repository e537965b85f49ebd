"""What `service.warm_start`'s fork server imports, and nobody else: the engine's modules.

The server outlives a SIGTERM that everybody gets, as systemd and some supervisors send it: without
it, the one that drains would take its engine for dead. It ends with the process that started it.
"""

from __future__ import annotations

import contextlib
import importlib
import signal

_MODULES = (
    "vllm.v1.engine.core",
    "vllm.v1.executor.uniproc_executor",
    "vllm.v1.worker.cpu_worker",
    "vllm.model_executor.models.llama",
    "vllm.v1.attention.backends.cpu_attn",
    "llguidance",
)

signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _name in _MODULES:
    with contextlib.suppress(ImportError):  # of another version; the engine imports what it needs
        importlib.import_module(_name)
with contextlib.suppress(ImportError):
    # It looks for the place of the process's title when it is first called, and finds it no more
    # once the environment was written to.
    importlib.import_module("setproctitle").getproctitle()
