"""accelerate's launcher ends with a code, whatever it raises."""

from __future__ import annotations

import signal
import sys
from typing import Any

import pytest
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from training.errors import ExitCode
from training.sft import launcher


def failure(code: int, at: int) -> ProcessFailure:
    made = ProcessFailure(local_rank=0, pid=1, exitcode=code, error_file="none")
    made.timestamp = at
    return made


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (None, ExitCode.OK),
        (SignalException("interrupted", signal.SIGINT), ExitCode.INTERRUPTED),
        (ChildFailedError("sft", {0: failure(-15, 9), 1: failure(5, 3)}), ExitCode.MODEL),
    ],
)
def test_it_ends_as_its_processes_did(raised, code, monkeypatch) -> None:
    import accelerate.commands.launch

    def launch() -> None:
        if raised is not None:
            raise raised

    monkeypatch.setattr(accelerate.commands.launch, "main", launch)
    assert launcher.main() == code


def test_it_takes_the_arguments_of_accelerate(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["launcher", "--help"])
    with pytest.raises(SystemExit) as ended:
        launcher.main()
    assert ended.value.code == 0
    assert "--num_processes" in capsys.readouterr().out


def test_other_errors_are_not_hidden(monkeypatch) -> None:
    import accelerate.commands.launch

    def launch(*_: Any) -> None:
        raise ValueError("a wrong configuration")

    monkeypatch.setattr(accelerate.commands.launch, "main", launch)
    with pytest.raises(ValueError, match="a wrong configuration"):
        launcher.main()
