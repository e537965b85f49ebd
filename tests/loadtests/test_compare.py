"""Two runs side by side."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.compare import compared
from loadtests.goals import judge
from training.evaluate.document import NOT_MEASURED


def run(**values: float) -> dict[str, object]:
    found = judge({name.replace("_", "."): (value, "") for name, value in values.items()})
    return {"goals": [outcome.to_json() for outcome in found]}


def test_a_row_a_goal() -> None:
    lines = compared(run(labels_chat=1.478), run(labels_chat=12.0, start_ready=26.04)).splitlines()
    assert "| `labels.chat` | at least 10 times | 1.48 | 12 | met |" in lines
    assert f"| `start.ready` | at most 25 s | {NOT_MEASURED} | 26 | not met |" in lines
    assert (
        " | ".join(("| `limit.decode`", "at least 0.6 share", *[NOT_MEASURED] * 2, "not met |"))
        in lines
    )


@pytest.mark.parametrize("text", ["{", "[]", '{"goals": []}', None])
def test_a_file_that_is_no_run_is_told(tmp_path: Path, text: str | None) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(run()))
    if text is not None:
        bad.write_text(text)
    command = [sys.executable, "-m", "loadtests.compare", str(good), str(bad)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "bad.json is no bench.json of a run." in done.stderr
    assert "Traceback" not in done.stderr
