"""Keeps signals from the engine's own processes: the process that started them ends them.

A terminal sends SIGINT to every process of the command. vLLM's engine and its workers end on it by
themselves, each in its own time; the one that is left takes that for a crash and prints its state
and a traceback over the message that a person should read. Ignored there, the command's first
process is the only one that is interrupted, and it ends the others with SIGTERM as always.

SIGTERM can come from elsewhere too, while the service drains: it waits there until no process has
work for the engine any more (`service.work_lock`), and then does what vLLM has it do.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from types import FrameType

from service import work_lock

_ENGINE = ("EngineCore", "VllmWorker")
"""How vLLM names the processes of an engine."""

_AGAIN_SECONDS = 0.1
"""How long until a SIGTERM that came too early comes again."""


def register() -> None:
    """Ignore SIGINT, and keep SIGTERM waiting, in a process of the engine; elsewhere do nothing.

    vLLM sets its own handlers before it loads plugins, so that these stay.
    """
    if not multiprocessing.current_process().name.startswith(_ENGINE):
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    theirs = signal.getsignal(signal.SIGTERM)
    if getattr(theirs, "waits", False):
        return

    def after_the_work(number: int, frame: FrameType | None) -> None:
        if work_lock.is_held():
            again = threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
        elif callable(theirs):
            theirs(number, frame)
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    after_the_work.waits = True  # type: ignore[attr-defined]
    signal.signal(signal.SIGTERM, after_the_work)
