"""`mentalllama-train calibrate`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imhi.tasks import WORDING_VERSION
from service.analysis.manifest import Manifest, PromptStyle, load_manifest, write_manifest
from tests.training.command import invoke
from tests.training.evaluate.made_records import made_records
from tests.training.evaluate.test_summary import summary_of
from training.errors import ExitCode
from training.evaluate.benchmark import Benchmark
from training.evaluate.reports import write_reports
from training.evaluate.store import write_records

pytestmark = pytest.mark.usefixtures("no_drawings")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    records = made_records(("DR", "SAD"), 80)
    write_records(folder, records)
    write_reports(folder, summary_of(records))
    return folder


@pytest.fixture
def model(tmp_path: Path, run: Path) -> Path:
    directory = tmp_path / "model"
    directory.mkdir()
    name = json.loads((run / "results.json").read_text())["model"]["name"]
    write_manifest(directory, manifest(name))
    return directory


def manifest(name: str) -> Manifest:
    return Manifest(
        schema_version=1,
        name=name,
        prompt_style=PromptStyle.BARE,
        wording_version=WORDING_VERSION,
    )


def test_numbers_of_a_run_go_into_the_manifest(model: Path, run: Path) -> None:
    result = invoke("calibrate", str(model), "--records", str(run))
    assert result.exit_code == ExitCode.OK, result.output
    assert "| DR | 80 |" in result.stdout
    assert "No rows, left as they were: stress, " in result.stderr
    found = load_manifest(model)
    assert found is not None
    assert "stress_cause" in found.calibration
    report = json.loads((model / "calibration.json").read_text())
    assert report["questions"]["stress_cause"]["measured"]["rows"] == 80


def test_a_dry_run_writes_nothing(model: Path, run: Path) -> None:
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    result = invoke("calibrate", str(model), "--records", str(run), "--dry-run", "--json")
    assert result.exit_code == ExitCode.OK, result.output
    assert json.loads(result.stdout)["split"] == "val"
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def test_the_reads_of_another_model_are_refused(model: Path, run: Path) -> None:
    write_manifest(model, manifest("another"))
    result = invoke("calibrate", str(model), "--records", str(run))
    assert result.exit_code == ExitCode.MODEL
    assert "not of 'another'" in result.stderr


def test_a_model_of_another_wording_is_refused(model: Path, run: Path) -> None:
    old = load_manifest(model)
    assert old is not None
    write_manifest(model, old.model_copy(update={"wording_version": "imhi-0"}))
    result = invoke("calibrate", str(model), "--records", str(run))
    assert result.exit_code == ExitCode.MODEL
    assert "'imhi-0'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["embedded", "--records", "RUN"], "--write-to"),
        (["MODEL"], "either --data or --records"),
        (["MODEL", "--records", "RUN", "--data", "RUN"], "either --data or --records"),
        (["embedded", "--records", "RUN", "--write-to", "absent"], "absent is no directory"),
    ],
)
def test_options_that_do_not_go_together(
    model: Path, run: Path, arguments: list[str], words: str
) -> None:
    named = {"MODEL": str(model), "RUN": str(run)}
    result = invoke("calibrate", *(named.get(word, word) for word in arguments))
    assert result.exit_code == ExitCode.USAGE
    assert words in result.stderr


def test_an_unfinished_run_is_refused(model: Path, tmp_path: Path) -> None:
    result = invoke("calibrate", str(model), "--records", str(tmp_path))
    assert result.exit_code == ExitCode.DATA
    assert "run that command to its end first" in result.stderr


def test_labels_are_read_first_where_data_is_given(
    model: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def measure(benchmark: Benchmark, **_: object) -> None:
        asked.append(benchmark)
        write_records(benchmark.output, made_records(("DR", "SAD"), 80))

    monkeypatch.setattr("training.evaluate.run.run", measure)
    folder = tmp_path / "reads"
    folder.mkdir()
    arguments = [str(model), "--data", "prepared", "--run", str(folder), "--restart"]
    result = invoke("calibrate", *arguments)
    assert result.exit_code == ExitCode.OK, result.output
    [benchmark] = asked
    assert (benchmark.model, benchmark.data) == (str(model), Path("prepared"))
    assert (benchmark.explained, benchmark.free_form, benchmark.restart) == (0, 0, True)
    assert (model / "calibration.json").is_file()
