"""`mentalllama-train compare`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.training.evaluate.made_records import made_records
from tests.training.evaluate.test_compare import run
from training.cli.compare import compare
from training.errors import ExitCode

app = typer.Typer()
app.command()(compare)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("runs")
    a = run(folder / "a", made_records(("DR", "SAD"), 20))
    b = run(folder / "b", made_records(("DR", "SAD"), 20, skill=3, seed=1))
    return str(a), str(b)


def test_a_person_sees_differences_by_set(runs: tuple[str, str]) -> None:
    result = CliRunner().invoke(app, [*runs, "--resamples", "50"])
    assert result.exit_code == ExitCode.OK
    for words in ("Weighted F1", "DR", "SAD", "Mean", "B alone"):
        assert words in result.stdout


def test_json_and_files_hold_the_same(runs: tuple[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "down"
    result = CliRunner().invoke(
        app, [*runs, "--resamples", "50", "--json", "--output", str(folder)]
    )
    assert result.exit_code == ExitCode.OK
    printed = json.loads(result.stdout)
    assert printed == json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    assert printed["bootstrap"]["resamples"] == 50
    assert {path.name for path in folder.iterdir()} == {
        "comparison.json",
        "comparison.md",
        "comparison.html",
    }


def test_the_same_seed_gives_the_same_intervals(runs: tuple[str, str]) -> None:
    def printed(seed: str) -> str:
        arguments = [*runs, "--resamples", "50", "--json", "--seed", seed]
        return CliRunner().invoke(app, arguments).stdout

    assert printed("3") == printed("3")
    assert printed("3") != printed("4").replace('"seed": 4', '"seed": 3')


def test_a_folder_without_a_run_ends_with_the_code_for_data(
    runs: tuple[str, str], tmp_path: Path
) -> None:
    result = CliRunner().invoke(app, [runs[0], str(tmp_path)])
    assert result.exit_code == ExitCode.DATA
    assert "mentalllama-train evaluate" in result.stderr


def test_one_run_twice_ends_with_the_code_for_usage(runs: tuple[str, str]) -> None:
    result = CliRunner().invoke(app, [runs[0], runs[0]])
    assert result.exit_code == ExitCode.USAGE
