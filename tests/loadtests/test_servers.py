"""Servers that a measurement has started do not outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

_MEASUREMENT = """
import asyncio, contextlib, signal, sys
from loadtests.servers import stopped_by_signals

@contextlib.asynccontextmanager
async def server():
    try:
        yield
    finally:
        print("stopped", flush=True)

async def measure():
    async with server():
        print("started", flush=True)
        await asyncio.sleep(60)

signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does to what it starts in the background
try:
    with stopped_by_signals():
        asyncio.run(measure())
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_servers(sent: signal.Signals) -> None:
    command = [sys.executable, "-c", _MEASUREMENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        os.kill(process.pid, sent)
        assert process.stdout.read() == "stopped\n"
    assert process.returncode == 130
