"""Signals are for the command's first process, not for the engine's."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator

import pytest

from service import interruptions, work_lock
from service.work_lock import WorkLock


@contextlib.contextmanager
def registered(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Registered in a process of this name; yields the SIGTERMs that vLLM's handler got."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    terminated: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: terminated.append(number))
    monkeypatch.setattr(multiprocessing.current_process(), "_name", name)
    try:
        interruptions.register()
        interruptions.register()
        yield terminated
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        ("EngineCore", True),
        ("EngineCore_DP1", True),
        ("VllmWorker-0", True),
        ("ApiServer_0", False),
    ],
)
def test_only_the_engine_s_own_processes_ignore_ctrl_c(
    name: str, ignored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT)
    with registered(name, monkeypatch):
        found = signal.getsignal(signal.SIGINT)
    assert (found is signal.SIG_IGN) == ignored
    assert ignored or found is before


def comes(terminated: list[int], within: float = 2.0) -> bool:
    end = time.monotonic() + within
    while not terminated and time.monotonic() < end:
        time.sleep(0.01)
    return bool(terminated)


def test_the_engine_ends_only_when_nobody_has_work_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(work_lock.VARIABLE, "")
    work_lock.create(os.environ)
    first, second = WorkLock(), WorkLock()
    first.take()
    second.take()
    with registered("EngineCore", monkeypatch) as terminated:
        os.kill(os.getpid(), signal.SIGTERM)
        assert not comes(terminated, within=0.3)
        first.let_go()
        assert not comes(terminated, within=0.3)
        second.let_go()
        assert comes(terminated)
        assert terminated == [signal.SIGTERM]


def test_without_work_the_engine_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    work_lock_file = os.environ.get(work_lock.VARIABLE)
    assert work_lock_file is None
    with registered("VllmWorker-0", monkeypatch) as terminated:
        os.kill(os.getpid(), signal.SIGTERM)
        assert comes(terminated, within=0.05)


def hold(started) -> None:  # type: ignore[no-untyped-def]
    WorkLock().take()
    started.set()
    time.sleep(60)


def test_a_process_that_dies_lets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(work_lock.VARIABLE, "")
    work_lock.create(os.environ)
    context = multiprocessing.get_context("fork")
    started = context.Event()
    child = context.Process(target=hold, args=(started,))
    child.start()
    assert started.wait(10)
    assert work_lock.is_held()
    child.kill()
    child.join()
    assert not work_lock.is_held()
