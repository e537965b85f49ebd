"""The command line's frame: commands, exit codes, one message for whatever goes wrong."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest
import typer

from service.errors import EngineError, InvalidRequestError, ModelError, TextTooLongError
from tests.training.command import invoke
from training.cli.failures import MEANINGS, exit_code, failures_reported
from training.errors import ExitCode, TrainingError


def test_help_lists_the_exit_codes() -> None:
    shown = " ".join(invoke("--help").output.split())
    assert all(f"{code} {MEANINGS[code]}" in shown for code in ExitCode)


def test_the_version_is_the_distributions() -> None:
    shown = invoke("--version")
    assert shown.output.strip() == importlib.metadata.version("mentalllama")


def test_starting_loads_nothing_heavy() -> None:
    code = (
        "import sys, training.cli.main\n"
        "heavy = {'torch', 'transformers', 'vllm', 'datasets', 'peft', 'trl', 'accelerate'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        *((kind("said"), kind.exit_code) for kind in TrainingError.__subclasses__()),
        (TrainingError("said"), ExitCode.FAILURE),
        (InvalidRequestError("said"), ExitCode.USAGE),
        (TextTooLongError("said"), ExitCode.DATA),
        (ModelError("said"), ExitCode.MODEL),
        (EngineError("said"), ExitCode.FAILURE),
    ],
)
def test_an_error_is_one_message_and_its_code(error, code, capsys) -> None:
    with pytest.raises(typer.Exit) as raised, failures_reported():
        raise error
    assert raised.value.exit_code == code == exit_code(error)
    assert capsys.readouterr().err == "Error: said\n"


def test_interruption_ends_with_130(capsys) -> None:
    with pytest.raises(typer.Exit) as raised, failures_reported():
        raise KeyboardInterrupt
    assert raised.value.exit_code == 130
    assert "Run the same command again" in capsys.readouterr().err


def test_an_unexpected_error_shows_its_place_and_not_its_message(capsys) -> None:
    with pytest.raises(typer.Exit) as raised, failures_reported():
        raise LookupError("My sister called today")
    said = capsys.readouterr().err
    assert raised.value.exit_code == ExitCode.FAILURE
    assert "LookupError at test_main.py:" in said
    assert "sister" not in said
