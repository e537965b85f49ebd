"""Label reads taken over from an earlier run, under the calibration that the model has now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from service.analysis.manifest import Manifest, load_manifest, write_manifest
from tests.training.evaluate.benchmarks import FakeModel
from tests.training.evaluate.test_run import ROWS, benchmark, measured
from training.errors import DataError, UsageError
from training.evaluate.benchmark import Benchmark
from training.evaluate.journal import JOURNAL_FILE
from training.evaluate.store import load_records

pytestmark = pytest.mark.usefixtures("no_drawings")


def again(folder: Path, **fields: object) -> Benchmark:
    """A second run of the same model, elsewhere."""
    changed = {"output": folder / "again", "reads_from": folder / "out", **fields}
    return replace(benchmark(folder), **changed)  # type: ignore[arg-type]


def calibrate(model: Path, bias: float) -> None:
    manifest = load_manifest(model)
    assert manifest is not None
    fields = manifest.model_dump()
    fields["calibration"] = {"stress": {"temperature": 2.0, "bias": {"yes": bias}}}
    write_manifest(model, Manifest.model_validate(fields, strict=False))


def test_the_model_reads_nothing_again_and_the_new_calibration_applies(tmp_path: Path) -> None:
    before = measured(benchmark(tmp_path, explained=0, free_form=0))
    calibrate(tmp_path / "model", -3.0)
    taking, reading = FakeModel(), FakeModel()
    taken = measured(again(tmp_path, explained=0, free_form=0), taking)
    read = measured(
        again(tmp_path, explained=0, free_form=0, output=tmp_path / "read", reads_from=None),
        reading,
    )
    assert taking.opened == []
    assert len(reading.opened) == 1
    assert taken.sets == read.sets != before.sets
    one, other = (load_records(tmp_path / name) for name in ("again", "read"))
    assert len(one) == ROWS
    for mine, theirs in zip(one, other, strict=True):
        assert mine.read is not None
        assert theirs.read is not None
        assert mine.read.probabilities == pytest.approx(theirs.read.probabilities)


def test_explanations_are_asked_for_anew(tmp_path: Path) -> None:
    measured(benchmark(tmp_path, explained=2, free_form=0))
    calibrate(tmp_path / "model", 1.0)
    model = FakeModel()
    measured(again(tmp_path, explained=2, free_form=0), model)
    asked = {context.request_id for context in model.engine.contexts}
    assert asked
    assert all(name.startswith("explained") for name in asked)


def test_a_row_that_the_earlier_run_did_not_read_is_read_now(tmp_path: Path) -> None:
    measured(benchmark(tmp_path, limit=4, explained=0, free_form=0))
    model = FakeModel()
    results = measured(again(tmp_path, explained=0, free_form=0), model)
    assert len(model.opened) == 1
    assert sum(one.rows for one in results.sets) == ROWS


def test_reads_of_another_model_or_of_other_data_are_refused(tmp_path: Path) -> None:
    measured(benchmark(tmp_path, explained=0, free_form=0))
    (tmp_path / "model" / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(UsageError, match=r"--reads-from: .* differ in `model_files`"):
        measured(again(tmp_path))


def test_a_folder_without_reads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--reads-from: .* has no answers.jsonl"):
        measured(again(tmp_path))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / JOURNAL_FILE).write_text("")
    with pytest.raises(DataError, match="is not a journal"):
        measured(again(tmp_path))
