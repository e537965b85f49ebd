"""Servers on an engine that fails when it is told to."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from loadtests.servers import Running, running
from tests.chaos.client import WORD

Start = Callable[..., AbstractContextManager[Running]]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Starts a server with settings, given by the end of their variables' names."""

    @contextlib.contextmanager
    def started(delay: float = 0.02, words: int = 8, **settings: object) -> Iterator[Running]:
        log = tmp_path_factory.mktemp("chaos") / "log"
        variables = {
            "CHAOS_DELAY": str(delay),
            "CHAOS_WORDS": str(words),
            **{f"MENTALLLAMA_{name.upper()}": str(value) for name, value in settings.items()},
        }
        command = [sys.executable, "-m", "tests.chaos.server"]
        with running(command, log, variables, ready="/readyz", seconds=60) as server:
            yield server
        said = log.read_text()
        assert WORD not in said
        assert "Traceback" not in said

    return started
