"""The suite: what is left when a measurement fails or a person interrupts."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import typer
from typer.testing import CliRunner

from loadtests import suite
from loadtests.ceilings import Ceilings
from loadtests.measured import QUICK, Measured
from service.cli.exit_codes import ExitCode


@pytest.fixture(autouse=True)
def without_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.asynccontextmanager
    async def nothing(model: str, folder: Path, options: Sequence[str]) -> AsyncIterator[None]:
        yield None

    monkeypatch.setattr(suite, "open_field", nothing)
    monkeypatch.setattr(
        suite, "measure_ceilings", lambda: Ceilings(1e12, 1e12, 1e10, 1e10, "cpu", 2)
    )

    async def good(_: Any) -> Measured:
        found = Measured("start")
        found.add("again", {"start_seconds": 20.0})
        found.goals["start.ready"] = (20.0, "tested")
        return found

    async def bad(_: Any) -> Measured:
        raise ValueError("what a post said")

    async def stopped(_: Any) -> Measured:
        raise asyncio.CancelledError

    monkeypatch.setattr(suite, "NAMES", {"good": good, "bad": bad, "stopped": stopped})


def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / suite.RESULTS_FILE).read_text())
    return found


async def test_a_failure_is_told_by_its_kind_and_the_others_go_on(tmp_path: Path) -> None:
    report = await suite.run("embedded", QUICK, ["bad", "good"], tmp_path, True)
    assert report.failed == {"bad": "ValueError"}
    found = results(tmp_path)
    assert (found["failed"], found["version"]) == ({"bad": "ValueError"}, "quick")
    assert found["measurements"] == {"start": {"again": [{"start_seconds": 20.0}]}}
    assert [goal["id"] for goal in found["goals"] if goal["met"]] == ["start.ready"]
    assert all({"id", "target", "value", "met", "note"} <= goal.keys() for goal in found["goals"])
    page = (tmp_path / suite.PAGE_FILE).read_text()
    assert "failed: bad ValueError" in page
    assert "what a post said" not in page + json.dumps(found)


async def test_what_was_measured_before_an_interrupt_is_there(tmp_path: Path) -> None:
    with pytest.raises(asyncio.CancelledError):
        await suite.run("embedded", QUICK, ["good", "stopped", "bad"], tmp_path, True)
    assert results(tmp_path)["measurements"].keys() == {"start"}
    assert (tmp_path / suite.PAGE_FILE).is_file()


async def test_results_say_device_options_and_how_much_was_measured(tmp_path: Path) -> None:
    options = ["--gpu-memory-utilization", "0.4"]
    size = QUICK.enlarged(times=4, rounds=2, concurrency=64)
    await suite.run("embedded", size, ["good"], tmp_path, True, options)
    found = results(tmp_path)
    assert (found["device"], found["options"]) == ("cpu", options)
    assert (found["size"]["rounds"], found["size"]["concurrency"]) == (2, 64)
    assert found["size"]["labelled"] == 4 * QUICK.labelled
    assert "concurrency 64" in (tmp_path / suite.PAGE_FILE).read_text()


def test_options_that_are_no_words_are_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "run", lambda *_: pytest.fail("it was measured"))
    app = typer.Typer()
    app.command()(suite.main)
    result = CliRunner().invoke(app, ["--options", "'--half", "--output", str(tmp_path)])
    assert result.exit_code == ExitCode.USAGE
    assert "--options cannot be read: No closing quotation." in result.stderr


def test_more_posts_and_another_load_for_a_faster_machine() -> None:
    larger = QUICK.enlarged(times=4, rounds=2, concurrency=64)
    assert (larger.explained, larger.few, larger.labelled) == (64, 32, 48)
    assert (larger.rounds, larger.concurrency) == (2, 64)
    assert QUICK.enlarged() == QUICK


def test_ceilings_are_those_of_now_but_on_a_gpu_whose_memory_is_the_servers() -> None:
    def earlier(device: str) -> suite.Run:
        ceilings = Ceilings(2e12, 2e12, 2e10, 2e10, device, 2)
        return suite.Run(cast("Any", None), QUICK, ceilings, "embedded", Path())

    assert suite._ceilings_now(earlier("cpu")).products == 1e12
    assert suite._ceilings_now(earlier("a GPU")).products == 2e12
