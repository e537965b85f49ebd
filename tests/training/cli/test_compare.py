"""`mentalllama-train compare`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.command import invoke
from tests.training.evaluate.made_records import made_records
from tests.training.evaluate.test_compare import run
from training.errors import ExitCode

pytestmark = pytest.mark.usefixtures("no_drawings")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("runs")
    a = run(folder / "a", made_records(("DR", "SAD"), 20))
    b = run(folder / "b", made_records(("DR", "SAD"), 20, skill=3, seed=1))
    return str(a), str(b)


def test_a_person_sees_differences_by_set(runs: tuple[str, str]) -> None:
    result = invoke("compare", *runs, "--resamples", "50")
    assert result.exit_code == ExitCode.OK
    for words in ("Weighted F1", "DR", "SAD", "Mean", "B alone"):
        assert words in result.stdout


def test_json_and_files_hold_the_same(runs: tuple[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "down"
    result = invoke("compare", *runs, "--resamples", "50", "--json", "--output", str(folder))
    assert result.exit_code == ExitCode.OK
    printed = json.loads(result.stdout)
    assert printed == json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    assert printed["bootstrap"]["resamples"] == 50
    assert {path.name for path in folder.iterdir()} == {
        "comparison.json",
        "comparison.md",
        "comparison.html",
    }


def test_one_run_twice_ends_with_the_code_for_usage(runs: tuple[str, str]) -> None:
    result = invoke("compare", runs[0], runs[0])
    assert result.exit_code == ExitCode.USAGE
