"""Keeps Ctrl-C from the engine's own processes: the process that started them ends them.

A terminal sends SIGINT to every process of the command. vLLM's engine and its workers end on it by
themselves, each in its own time; the one that is left takes that for a crash and prints its state
and a traceback over the message that a person should read. Ignored there, the command's first
process is the only one that is interrupted, and it ends the others with SIGTERM as always.
"""

from __future__ import annotations

import multiprocessing
import signal

_ENGINE = ("EngineCore", "VllmWorker")
"""How vLLM names the processes of an engine."""


def register() -> None:
    """Ignore SIGINT in a process of the engine; elsewhere nothing changes.

    vLLM sets its own handlers before it loads plugins, so that this one stays.
    """
    if multiprocessing.current_process().name.startswith(_ENGINE):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
