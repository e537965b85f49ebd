"""What is kept of a determinism run, and the price in words."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.measured import QUICK, Measured, Size
from loadtests.servers import StartError
from loadtests.stability import AS_SERVED, ENGINES, _ran, price, row, stability

RESULT = {
    "reads": 1200,
    "flips": [{"post": 1}],
    "flip_rate": 1 / 1200,
    "flip_rate_interval_95": [0.0, 0.003],
    "largest_difference": 0.01,
    "mean_difference": 0.001,
    "throughput": {"posts_per_second": 4.0, "tokens_per_second": 400.0},
    "machine": {"dtype": "bfloat16"},
}


def test_a_row_holds_flips_and_throughput() -> None:
    found = row(RESULT)
    assert (found["flips"], found["posts_per_second"]) == (1, 4.0)
    assert "machine" not in found


async def test_an_engine_that_is_served_already_is_not_measured_twice(
    monkeypatch, tmp_path
) -> None:
    asked = []

    def write(file: Path) -> None:
        file.write_text(json.dumps({**RESULT, "machine": {"dtype": "float32"}}))

    async def ran(command: list[str], _: dict[str, str]) -> None:
        asked.append(command[command.index("--") + 1 :])
        write(Path(command[command.index("--json") + 1]))

    monkeypatch.setattr("loadtests.stability._ran", ran)
    size = replace(QUICK, engines=tuple(ENGINES))
    found = await stability(size, "embedded", tmp_path)
    assert asked == [[], ["--max-num-seqs", "1"]]
    assert found.absent["float32"] == "as served on this machine"


def test_the_price_is_a_share_of_what_is_served() -> None:
    found = Measured("stability")
    found.add(AS_SERVED, row(RESULT))
    assert price(found) == "The price was not measured"
    slow = {"posts_per_second": 3.0, "tokens_per_second": 100.0}
    found.add("float32", row({**RESULT, "flips": [], "throughput": slow}))
    assert "float32: 0 flips" in price(found)
    assert "25% fewer label posts/s, 75% fewer tokens/s" in price(found)


def test_the_engines_are_known() -> None:
    for size in (QUICK, Size()):
        assert set(size.engines) <= set(ENGINES)
        assert size.engines[0] == AS_SERVED


async def test_a_run_that_fails_is_told() -> None:
    with pytest.raises(StartError, match="ended with 3"):
        await _ran([sys.executable, "-c", "raise SystemExit(3)"], {})


SLEEPER = """
import os, time
from pathlib import Path
part = Path(os.environ["MARK"] + ".part")
part.write_text(str(os.getpid()))
part.rename(os.environ["MARK"])
time.sleep(60)
"""


async def test_an_interrupt_ends_what_runs(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    task = asyncio.create_task(_ran([sys.executable, "-c", SLEEPER], {"MARK": str(mark)}))
    for _ in range(400):
        if mark.exists():
            break
        await asyncio.sleep(0.05)
    pid = int(mark.read_text())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        await asyncio.sleep(0.05)
    pytest.fail("the process is still there")
