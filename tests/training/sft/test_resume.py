"""Runs that are evaluated, stopped early, averaged, cut short and gone on with."""

from __future__ import annotations

import pytest

from tests.lazy import torch
from tests.training.sft.recipes import examples, prepared
from tests.training.sft.runs import EVALUATED, FIVE_STEPS, Runs, curve, furthest, report, weights
from training.errors import RecipeError, ResourcesError
from training.sft.output import checkpoints
from training.sft.watch import METRIC

pytestmark = pytest.mark.xdist_group("training-runs")


def assert_remade(runs: Runs, scored, name: str, *overrides: str) -> None:
    """A result that is missing is made from the checkpoints, without another step."""
    folder = runs.folder / name
    (folder / "model").rename(folder / "made")
    written = (folder / "training.json").read_bytes()
    (folder / ".model").mkdir()  # of a run that was killed as it wrote its result
    (folder / ".model" / "torn.safetensors").write_bytes(b"")
    scored()
    assert runs(name, *overrides) == folder
    assert furthest(folder / "model", folder / "made") == 0
    assert not (folder / "model" / "torn.safetensors").exists()
    assert (folder / "training.json").read_bytes() == written


def test_the_best_of_what_was_saved_is_what_is_finished(runs, scored) -> None:
    scored(0.9, 0.5, 0.9, 0.4)
    options = ("optimisation.max_steps=4", "evaluation.every=1", "checkpoints.every=2")
    folder = runs("saved", *options)
    assert [path.name for path in checkpoints(folder)] == ["checkpoint-2", "checkpoint-4"]
    assert furthest(folder / "model", folder / "checkpoint-2") == 0
    assert furthest(folder / "model", folder / "checkpoint-4") > 0
    assert curve(folder, f"eval_{METRIC}") == {1: 0.9, 2: 0.5, 3: 0.9, 4: 0.4}
    assert_remade(runs, scored, "saved", *options)


def test_the_last_checkpoints_are_averaged(runs, scored) -> None:
    """Also where the best checkpoint is an older one, which the trainer keeps on its own."""
    scored(0.9, 0.5, 0.5, 0.5)
    folder = runs(
        "average",
        "optimisation.max_steps=4",
        "evaluation.every=1",
        "checkpoints.every=1",
        "checkpoints.keep=2",
        "optimisation.average_last=2",
    )
    tensors = [weights(folder / f"checkpoint-{step}") for step in (3, 4)]
    for name, tensor in weights(folder / "model").items():
        torch.testing.assert_close(tensor, (tensors[0][name] + tensors[1][name]) / 2)
    assert furthest(folder / "model", folder / "checkpoint-4") > 1e-4


def test_evaluation_without_rows_of_the_sets_is_refused(runs, tmp_path) -> None:
    rows = [one for one in examples() if one.split == "train" or one.set == "DR"]
    data = prepared(tmp_path / "data", rows)
    with pytest.raises(RecipeError, match=r"evaluation.every=0"):
        runs("unwatched", f"data.path={data}", "data.sets=[MultiWD]", *EVALUATED)


def test_a_finished_run_is_left_as_it_is(runs, evaluated) -> None:
    before = {path: path.stat().st_mtime_ns for path in evaluated.rglob("*")}
    runs.said.clear()
    runs("evaluated", *FIVE_STEPS, *EVALUATED)
    assert runs.said == ["The run is finished; --restart begins anew."]
    assert {path: path.stat().st_mtime_ns for path in evaluated.rglob("*")} == before


def test_an_interrupted_run_says_where_it_is_and_goes_on_or_begins_anew(runs, scored) -> None:
    options = ("optimisation.max_steps=6", *EVALUATED)
    scored(0.5, 0.6, KeyboardInterrupt)
    runs.said.clear()
    with pytest.raises(KeyboardInterrupt):
        runs("cut", *options)
    assert runs.said[-1] == "Stopped after step 6. The last checkpoint is checkpoint-4."
    scored(0.7)
    folder = runs("cut", *options)
    assert [session["from_step"] for session in report(folder)["sessions"]] == [0, 4]
    losses, resumed = curve(folder), folder.with_name("resumed")
    (folder / "model").rename(resumed)
    scored(0.5, 0.6, 0.7)
    runs("cut", *options, resume=False)
    assert [session["from_step"] for session in report(folder)["sessions"]][-1] == 0
    assert sorted(losses) == [1, 2, 3, 4, 5, 6]
    assert curve(folder) == losses
    assert furthest(folder / "model", resumed) == 0


def test_a_run_interrupted_before_its_first_checkpoint_says_so(runs, scored) -> None:
    scored(KeyboardInterrupt)
    runs.said.clear()
    with pytest.raises(KeyboardInterrupt):
        runs("early", "evaluation.every=1", "checkpoints.every=1")
    assert runs.said[-1] == "Stopped after step 1. There is no checkpoint yet."


def test_training_stops_after_patience_which_an_interruption_does_not_renew(runs, scored) -> None:
    options = ("optimisation.max_steps=12", *EVALUATED, "evaluation.patience=2")
    scored(0.5, 0.6, 0.55, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        runs("patient", *options)
    left = scored(0.6, 0.9)
    folder = runs("patient", *options)
    assert max(curve(folder)) == 8
    assert left.left == [0.9]
    assert furthest(folder / "model", folder / "checkpoint-4") == 0
    assert_remade(runs, scored, "patient", *options)


def test_used_up_memory_is_said(runs, scored) -> None:
    scored(torch.OutOfMemoryError)
    with pytest.raises(ResourcesError, match=r"Lower optimisation.batch_sequences"):
        runs("memory", "evaluation.every=1", "checkpoints.every=1")
