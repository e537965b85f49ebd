"""The benchmark: what is left when a measurement fails or a person interrupts."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import typer
from typer.testing import CliRunner

from loadtests import bench
from loadtests.measurements import run_to_end
from loadtests.servers import StartError
from loadtests.testbed import QUICK, Measured
from service.cli.exit_codes import ExitCode


class NoTestbed:
    """No model and no server."""

    dtype = "bfloat16"

    def __init__(self, *_: Any) -> None:
        pass


async def good(_: Any) -> Measured:
    return Measured({"again": [{"start_seconds": 20.0, "failed": 3.0}]}, {"start.ready": 20.0})


async def bad(_: Any) -> Measured:
    raise ValueError("what a post said")


async def stopped(_: Any) -> Measured:
    raise asyncio.CancelledError


@pytest.fixture(autouse=True)
def without_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "Testbed", NoTestbed)
    monkeypatch.setattr(bench, "NAMES", {"good": good, "bad": bad, "stopped": stopped})


def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / bench.RESULTS_FILE).read_text())
    return found


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_failure_is_named_by_its_kind_and_the_others_go_on(tmp_path: Path) -> None:
    report = await bench.run("embedded", QUICK, ["bad", "good"], tmp_path)
    found = results(tmp_path)
    assert report.failed == found["failed"] == {"bad": "ValueError"}
    assert found["figures"]["start.ready"]["value"] == 20.0
    assert found["figures"]["start.ready"]["met"] is True
    assert "what a post said" not in json.dumps(found)
    [row] = report.table().rows
    assert (row[0], *row[2:]) == ("start.ready", "20", "at most 25", "met")
    assert report.table().note.startswith("3 requests failed")


async def test_what_was_measured_before_an_interrupt_is_there(tmp_path: Path) -> None:
    with pytest.raises(asyncio.CancelledError):
        await bench.run("embedded", QUICK, ["good", "stopped", "bad"], tmp_path)
    assert results(tmp_path)["measurements"].keys() == {"good"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--options", "'--half"], "--options cannot be read: No closing quotation."),
        (["--only", "good,speed"], "There is no measurement speed. Use one of: good,"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    app = typer.Typer()
    app.command()(bench.main)
    result = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path)])
    assert result.exit_code == ExitCode.USAGE
    assert said in result.stderr


def test_a_failed_measurement_fails_the_command(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(bench.main)
    result = CliRunner().invoke(app, ["--only", "bad", "--output", str(tmp_path)])
    assert result.exit_code == ExitCode.FAILURE
    assert "Failed: bad" in result.stderr


async def test_a_process_that_fails_is_named() -> None:
    with pytest.raises(StartError, match="ended with 3"):
        await run_to_end([sys.executable, "-c", "raise SystemExit(3)"])


async def test_an_interrupt_ends_a_process_and_what_it_started(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    task = asyncio.create_task(run_to_end(["sh", "-c", f"sleep 60 & echo $! > {mark}; wait"]))
    async with asyncio.timeout(20):
        while not (mark.exists() and mark.read_text()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(20):
        while running(int(mark.read_text())):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
