"""The options of `mentalllama-train evaluate`, and what a person is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import Result

from service.analysis.types import Truncation
from tests.training.command import error_text, invoke
from tests.training.evaluate.benchmarks import FakeModel, model_folder, released_folder
from training.data.example import Split
from training.errors import ExitCode
from training.evaluate import run as runs
from training.evaluate.answers import Decoding
from training.evaluate.benchmark import Adapter, Benchmark

pytestmark = pytest.mark.usefixtures("no_drawings")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, FakeModel]:
    """A folder with data and a model, whose model is opened on a fake engine."""
    released_folder(tmp_path / "imhi")
    model_folder(tmp_path / "model")
    model, real = FakeModel(), runs.run

    def fake(benchmark: Benchmark, **given: Any) -> Any:
        return real(benchmark, **given, open_model=model)

    monkeypatch.setattr(runs, "run", fake)
    monkeypatch.chdir(tmp_path)
    return tmp_path, model


def evaluate(*arguments: str) -> Result:
    return invoke("evaluate", *arguments)


def test_a_table_goes_to_standard_output_and_all_else_to_standard_error(
    made: tuple[Path, FakeModel],
) -> None:
    result = evaluate("model", "--data", "imhi", "--resamples", "20", "--bartscore", "none")
    assert result.exit_code == 0, result.stderr
    assert "dreaddit" in result.stdout
    assert "Label reads: 6 of" not in result.stdout
    assert "Label reads: 18 of 18" in result.stderr
    assert "Loading tested" in result.stderr
    assert "evaluations/model-val/report.html" in result.stderr
    assert (made[0] / "evaluations" / "model-val" / "report.html").is_file()


def test_json_is_the_results_file(made: tuple[Path, FakeModel]) -> None:
    result = evaluate(
        *("model", "--data", "imhi", "--output", "out", "--json", "--no-sample-page"),
        *("--resamples", "0", "--explain", "none", "--free-form", "none"),
    )
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == json.loads((made[0] / "out" / "results.json").read_text())
    assert not (made[0] / "out" / "samples.html").exists()


def test_every_option_reaches_the_run(
    made: tuple[Path, FakeModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[Benchmark] = []

    def stop(benchmark: Benchmark, **_: Any) -> None:
        wanted.append(benchmark)
        raise typer.Exit

    monkeypatch.setattr(runs, "run", stop)
    result = evaluate(
        *("org/name", "--data", "imhi", "--output", "out", "--split", "test"),
        *("--sets", "SAD,DR", "--sets", "CAMS", "--limit", "9"),
        *("--explain", "all", "--free-form", "3", "--seed", "4", "--seen-in", "train"),
        *("--adapter", "tuned=some/place", "--truncation", "head"),
        *("--explanation-tokens", "11", "--max-tokens", "12", "--no-consistency"),
        *("--concurrency", "13", "--bertscore", "enc", "--bartscore", "seq", "--resamples", "14"),
        *("--no-sample-page", "--restart", "--", "--dtype", "half", "--enforce-eager"),
    )
    assert result.exit_code == 0, result.output
    assert wanted == [
        Benchmark(
            model="org/name",
            data=Path("imhi"),
            output=Path("out"),
            split=Split.TEST,
            sets=("SAD", "DR", "CAMS"),
            limit=9,
            explained=None,
            free_form=3,
            seed=4,
            seen_in=Path("train"),
            adapter=Adapter("tuned", Path("some/place")),
            engine_options=("--dtype", "half", "--enforce-eager"),
            decoding=Decoding(Truncation.HEAD, 11, 12, consistency=False),
            concurrency=13,
            resamples=14,
            bertscore="enc",
            bartscore="seq",
            sample_page=False,
            restart=True,
        )
    ]
    evaluate("org/name", "--data", "imhi")
    assert wanted[1] == Benchmark(
        model="org/name",
        data=Path("imhi"),
        output=Path("evaluations/org-name-val"),
        bartscore="facebook/bart-large-cnn",
    )


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--explain", "many"), ExitCode.USAGE, "--explain takes none, all or a number"),
        (("--free-form", "-1"), ExitCode.USAGE, "--free-form takes none, all or a number"),
        (("--adapter", "tuned"), ExitCode.USAGE, "NAME=DIR"),
        (("--adapter", "tuned=nowhere"), ExitCode.MODEL, "adapter_config.json"),
        (("--sets", "sad"), ExitCode.USAGE, "SAD"),
        (("--sets", "SAD"), ExitCode.DATA, "no rows of SAD"),
        (("--split", "test"), ExitCode.DATA, "--split"),
        (("--data", "nowhere"), ExitCode.DATA, "nowhere"),
        (("--output", "imhi/train_data/instruction_data/dreaddit/val.csv"), 2, "--output"),
        (("--limit", "0"), ExitCode.USAGE, "--limit"),
    ],
)
def test_what_does_not_fit_ends_before_a_model_is_loaded(
    made: tuple[Path, FakeModel], options: tuple[str, ...], code: int, said: str
) -> None:
    result = evaluate("model", "--data", "imhi", *options)
    assert result.exit_code == code
    assert said in error_text(result)
    assert made[1].opened == []


def test_a_model_that_is_not_there_is_named(made: tuple[Path, FakeModel]) -> None:
    result = evaluate("nowhere", "--data", "imhi")
    assert result.exit_code == ExitCode.MODEL
    assert "nowhere" in result.stderr
