"""A run from a model and data to a folder of reports: resumed, widened, killed, private."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from service.errors import EngineError
from tests.service.analysis.engines import FakeEngine
from tests.training.evaluate.benchmarks import (
    EXPLANATION,
    POSTS,
    FakeModel,
    model_folder,
    released_folder,
)
from training.errors import ModelFilesError, UsageError
from training.evaluate.answers import Decoding
from training.evaluate.benchmark import Adapter, Benchmark
from training.evaluate.journal import JOURNAL_FILE, Way
from training.evaluate.results import Results, load_results
from training.evaluate.run import run
from training.evaluate.store import load_records

pytestmark = pytest.mark.usefixtures("no_drawings")

ROWS = 18


def benchmark(folder: Path, **fields: object) -> Benchmark:
    data = folder / "imhi"
    if not data.exists():
        released_folder(data)
        model_folder(folder / "model", calibration={"stress": {"bias": {"yes": 0.5}}})
    made = Benchmark(str(folder / "model"), data, folder / "out", resamples=20)
    return replace(made, **fields)  # type: ignore[arg-type]


def measured(wanted: Benchmark, model: FakeModel | None = None) -> Results:
    said: list[str] = []
    return run(
        wanted,
        progress=lambda *_: None,
        announce=said.append,
        open_model=model or FakeModel(),
    )


def test_a_run_leaves_reports_and_every_sample(tmp_path: Path) -> None:
    results = measured(benchmark(tmp_path))
    out = tmp_path / "out"
    assert load_results(out) == results
    records = load_records(out)
    assert len(records) == ROWS
    assert all(record.read and record.explained and record.free_form for record in records)
    assert {one.set: one.rows for one in results.sets} == {"dreaddit": 6, "MultiWD": 12}
    for one in results.sets:
        assert {"read", "read_uncalibrated", "free_form"} < one.ways.keys()
    assert {way for one in results.sets for way in one.ways if "baseline" in way} == {
        "baseline.majority_train",
        "baseline.majority_by_question_train",
        "baseline.majority_val",
        "baseline.majority_by_question_val",
    }
    assert results.explanations is not None
    assert set(results.explanations.ways) == {"read", "free_form"}
    assert results.model.name == "tested"
    assert results.model.calibrated_questions == ("stress",)
    assert results.data.seen_in == "the train split of imhi"
    assert not results.data.sampled
    assert results.environment["python"].startswith("3.")
    assert (out / "released" / "read" / "dreaddit.csv").is_file()
    assert (out / ".gitignore").read_text() == "*\n"


def test_reports_hold_no_post_and_samples_are_private(tmp_path: Path) -> None:
    wanted = benchmark(tmp_path)
    wanted.output.mkdir()
    (wanted.output / ".gitignore").write_text("mine\n")
    measured(wanted)
    out = tmp_path / "out"
    assert (out / ".gitignore").read_text() == "mine\n"
    private = [out / name for name in ("answers.jsonl", "samples.jsonl", "samples.html")]
    for path in (*private, *(out / "released").rglob("*.csv")):
        assert path.stat().st_mode & 0o077 == 0
    for name in ("results.json", "report.md", "report.html"):
        text = (out / name).read_text(encoding="utf-8")
        assert str(tmp_path) not in text
        for secret in (*POSTS, EXPLANATION, "it says so"):
            assert secret not in text


def test_a_finished_run_is_measured_again_without_the_model(tmp_path: Path) -> None:
    first = measured(benchmark(tmp_path))
    model = FakeModel()
    again = measured(benchmark(tmp_path), model)
    assert model.opened == []
    assert again.sets == first.sets
    assert again.environment == first.environment


def test_a_run_is_widened_without_asking_twice(tmp_path: Path) -> None:
    narrow = FakeModel()
    results = measured(benchmark(tmp_path, limit=4, explained=1, free_form=0), narrow)
    assert results.data.sampled
    assert len(load_records(tmp_path / "out")) == 8
    wide = FakeModel()
    measured(benchmark(tmp_path, explained=2, free_form=None), wide)
    contexts = {context.request_id for context in wide.engine.contexts}
    assert sum("explained" in one for one in contexts) == 2  # one more a set
    assert sum("free_form" in one for one in contexts) == ROWS
    narrowed = measured(benchmark(tmp_path, limit=4, explained=1, free_form=0))
    assert narrowed.sets == results.sets


def test_other_settings_are_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    measured(benchmark(tmp_path))
    model = FakeModel()
    with pytest.raises(UsageError, match="`explanation_tokens` was 192 and is now 5"):
        measured(benchmark(tmp_path, decoding=Decoding(explanation_tokens=5)), model)
    (tmp_path / "model" / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(UsageError, match="`model_files` was"):
        measured(benchmark(tmp_path), model)
    assert model.opened == []
    measured(benchmark(tmp_path, restart=True), model)
    assert len(model.opened) == 1


def test_an_adapter_is_served_with_room_for_its_rank(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    wanted = benchmark(tmp_path, adapter=Adapter("tuned", folder), engine_options=("--x", "1"))
    with pytest.raises(ModelFilesError, match="adapter_config"):
        measured(wanted)
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"r": 24}')
    with pytest.raises(ModelFilesError, match="safetensors"):
        measured(wanted)
    (folder / "adapter_model.safetensors").write_bytes(b"x")
    model = FakeModel()
    results = measured(wanted, model)
    [(_, options, adapters)] = model.opened
    assert options == ("--x", "1", "--max-lora-rank", "32")
    assert adapters == {"tuned": folder}
    assert {context.adapter for context in model.engine.contexts} == {"tuned"}
    assert results.model.name == "tested with tuned"
    (folder / "adapter_model.safetensors").write_bytes(b"y")
    with pytest.raises(UsageError, match="`adapter` was"):
        measured(wanted)


def test_rows_that_the_engine_failed_on_count_and_are_asked_again(tmp_path: Path) -> None:
    failing = FakeModel(FakeEngine(fails=lambda suffix: suffix == "wellness.social-0"))
    said: list[str] = []
    results = run(
        benchmark(tmp_path, explained=0, free_form=0),
        progress=lambda *_: None,
        announce=said.append,
        open_model=failing,
    )
    assert any("failed 14 times" in line for line in said)  # two posts, their stress rows too
    errors = [record.error for record in load_records(tmp_path / "out")]
    assert errors.count("engine_error") == 14
    [stress] = [one for one in results.sets if one.set == "dreaddit"]
    assert stress.ways["read"].problems == {"engine_error": 2}
    assert (
        measured(benchmark(tmp_path, explained=0, free_form=0)).options[
            "rows that could not be asked"
        ]
        == "0"
    )


def test_an_engine_that_is_gone_leaves_what_was_answered(tmp_path: Path) -> None:
    failing = FakeModel(FakeEngine(fails=lambda suffix: suffix.endswith("response")))
    with pytest.raises(EngineError):
        measured(benchmark(tmp_path), failing)
    records = load_records(tmp_path / "out")
    assert all(record.read and record.explained for record in records)
    assert not (tmp_path / "out" / "results.json").exists()


def test_the_command_measures_it_again_and_names_no_folder_above(tmp_path: Path) -> None:
    wanted = benchmark(
        tmp_path,
        sets=("dreaddit", "SAD"),
        limit=7,
        explained=None,
        free_form=0,
        engine_options=("--dtype", "half"),
    )
    command = wanted.command()
    assert command.startswith("mentalllama-train evaluate model --data imhi --split val ")
    assert " --sets dreaddit,SAD --limit 7 --explain all --free-form none " in command
    assert command.endswith(" -- --dtype half")
    assert str(tmp_path) not in command


_CHILD = """
import sys
from pathlib import Path
from tests.service.analysis.engines import FakeEngine
from tests.training.evaluate.benchmarks import FakeModel
from tests.training.evaluate.test_run import benchmark
from training.evaluate.run import run

model = FakeModel(FakeEngine(" Yes, it does. Reasoning: it says so.", delay=0.05))
run(
    benchmark(Path(sys.argv[1]), concurrency=1),
    progress=lambda *_: None,
    announce=lambda line: None,
    open_model=model,
)
"""


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir()
    whole.mkdir()
    benchmark(killed)
    path = killed / "out" / JOURNAL_FILE
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([sys.executable, "-c", _CHILD, str(killed)], env=environment)
    try:
        until = time.monotonic() + 120
        while not (path.exists() and '"explained"' in path.read_text(encoding="utf-8")):
            assert child.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        child.kill()
        child.wait()
    with path.open("ab") as file:  # as a kill in the middle of a line would leave it
        file.write(b'{"id": "dreaddit')
    lines = path.read_text(encoding="utf-8").splitlines()[1:-1]
    done = {(one["id"], one["way"]) for one in map(json.loads, lines) if "id" in one}
    assert 0 < sum(way == Way.EXPLAINED for _, way in done) < ROWS
    model = FakeModel()
    measured(benchmark(killed), model)
    requests = {context.request_id for context in model.engine.contexts}
    assert not any(one.startswith("read") for one in requests)
    assert sum(one.startswith("free_form") for one in requests) == ROWS
    measured(benchmark(whole))
    assert load_records(killed / "out") == load_records(whole / "out")
