"""Child processes of tests, none of which outlives its block."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

REAP_SECONDS = 10.0


@contextlib.contextmanager
def child(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Start a program; kill and reap it when the block is left, whatever happened in it.

    `with Popen(…)` waits for the child without limit instead, and a failed assertion hangs where
    the child waits for something that only a fixture's teardown gives it.

    A child can be interrupted with SIGINT: `tests/conftest.py` sets a handler, which a new program
    does not inherit, in place of an ignored signal, which it would.

    Args:
        command: the program and its arguments.
        options: further arguments of `subprocess.Popen`.

    Raises:
        subprocess.TimeoutExpired: the kernel does not end the killed child.
    """
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.kill()  # nothing where it has been waited for
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        process.wait(REAP_SECONDS)
