"""An engine's process ends with the one that started it, however that one ends.

Where that is killed with SIGKILL, vLLM 0.32's engine goes on: it was seen to keep its memory and
most of a core until it was killed too. Whoever starts the command or the service again, on a GPU
whose memory the first engine still holds, would find none.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.process import BaseProcess

_watches: list[threading.Thread] = []


def register() -> None:
    """Watch this process's parent, where `multiprocessing` started it; once."""
    parent = multiprocessing.parent_process()
    if parent is not None and not _watches:
        watch = threading.Thread(target=_end_with, args=(parent,), name="orphans", daemon=True)
        _watches.append(watch)
        watch.start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    # Nobody is left to whom anything could be said, or who would take an answer.
    os.kill(os.getpid(), signal.SIGKILL)
