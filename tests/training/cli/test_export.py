"""`mentalllama-train export`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.command import invoke
from tests.training.export.trained import RANK, make_base, make_tuned
from training.errors import ExitCode


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("models")
    base = make_base(folder / "base")
    return str(base), str(make_tuned(folder / "tuned", base))


@pytest.mark.slow
def test_a_fold_says_what_it_kept(models: tuple[str, str], tmp_path: Path) -> None:
    base, tuned = models
    out = tmp_path / "out"
    options = ["--base", base, "--fold-rank", str(RANK), "--max-changed", "0.1"]
    result = invoke("export", tuned, "--output", str(out), *options)
    assert result.exit_code == ExitCode.OK, result.output
    assert "Kept 100.0% of the squared difference" in result.stdout
    assert "labels differ from the trained model's (self-written posts)" in result.stdout
    assert "Folding" in result.stderr


def test_json_is_the_report(models: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = [models[1], "--output", str(out), "--no-check", "--json"]
    result = invoke("export", *arguments)
    assert result.exit_code == ExitCode.OK, result.output
    assert json.loads(result.stdout) == json.loads((out / "export.json").read_text())


def test_a_size_is_given_in_million_bytes(models: tuple[str, str], tmp_path: Path) -> None:
    base, tuned = models
    out = tmp_path / "out"
    options = ["--base", base, "--max-megabytes", "0.02", "--no-check"]
    result = invoke("export", tuned, "--output", str(out), *options)
    assert result.exit_code == ExitCode.OK, result.output
    assert 10_000 < (out / "adapter_model.safetensors").stat().st_size <= 20_000


@pytest.mark.slow
def test_other_labels_are_a_fault_of_the_model(models: tuple[str, str], tmp_path: Path) -> None:
    base, tuned = models
    options = ["--base", base, "--max-megabytes", "0.006"]
    result = invoke("export", tuned, "--output", str(tmp_path / "out"), *options)
    assert result.exit_code == ExitCode.MODEL
    assert "gives another label" in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--dtype", "int3"], "--dtype takes"),
        (["--weighted"], "--weighted goes with"),
        (["--fold-rank", "4", "--max-megabytes", "1"], "either --fold-rank or --max-megabytes"),
        (["--quantize", "int2"], "int2"),
    ],
)
def test_wrong_usage(
    models: tuple[str, str], tmp_path: Path, options: list[str], words: str
) -> None:
    result = invoke("export", models[1], "--output", str(tmp_path / "out"), *options)
    assert result.exit_code == ExitCode.USAGE
    assert words in result.output
    assert not (tmp_path / "out").exists()
