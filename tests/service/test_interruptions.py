"""Ctrl-C is for the command's first process, not for the engine's."""

from __future__ import annotations

import multiprocessing
import signal

import pytest

from service import interruptions


@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        ("EngineCore", True),
        ("EngineCore_DP1", True),
        ("VllmWorker-0", True),
        ("ApiServer_0", False),
    ],
)
def test_only_the_engine_s_own_processes_ignore_it(
    name: str, ignored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(multiprocessing.current_process(), "_name", name)
    try:
        interruptions.register()
        found = signal.getsignal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (found is signal.SIG_IGN) == ignored
    assert ignored or found is before
