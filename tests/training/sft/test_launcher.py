"""accelerate's launcher ends with a code, whatever it raises."""

from __future__ import annotations

import signal
import sys

import pytest

from training.errors import ExitCode
from training.sft import launcher


def test_it_ends_as_its_processes_did(monkeypatch) -> None:
    import accelerate.commands.launch
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

    def failure(code: int, at: int) -> ProcessFailure:
        made = ProcessFailure(local_rank=0, pid=1, exitcode=code, error_file="none")
        made.timestamp = at
        return made

    def end(raised: Exception | None) -> int:
        def launch() -> None:
            if raised is not None:
                raise raised

        monkeypatch.setattr(accelerate.commands.launch, "main", launch)
        return launcher.main()

    assert end(None) == ExitCode.OK
    assert end(SignalException("interrupted", signal.SIGINT)) == ExitCode.INTERRUPTED
    failures = {0: failure(-15, 9), 1: failure(5, 3)}
    assert end(ChildFailedError("sft", failures)) == ExitCode.MODEL
    with pytest.raises(ValueError, match="a wrong configuration"):
        end(ValueError("a wrong configuration"))


def test_it_takes_the_arguments_of_accelerate(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["launcher", "--help"])
    with pytest.raises(SystemExit) as ended:
        launcher.main()
    assert ended.value.code == 0
    assert "--num_processes" in capsys.readouterr().out
