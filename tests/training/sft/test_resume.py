"""Runs that are evaluated, stopped early, averaged, cut short and gone on with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.sft.recipes import examples, prepared
from tests.training.sft.runs import Runs, curve, furthest, report, weights
from training.errors import RecipeError, ResourcesError
from training.sft.output import checkpoints
from training.sft.watch import METRIC

STEPS = "optimisation.max_steps=4"
EVALUATED = ("evaluation.every=2", "checkpoints.every=2", "checkpoints.keep=null")


@pytest.fixture(scope="module")
def evaluated(runs: Runs) -> Path:
    """A run of four steps that is evaluated and saved twice."""
    return runs("evaluated", STEPS, *EVALUATED)


def test_the_best_checkpoint_is_what_is_finished(runs, scored) -> None:
    scored(0.5, 0.75, 0.6, 0.7)
    folder = runs("best", "optimisation.max_steps=8", *EVALUATED)
    assert len(checkpoints(folder)) == 4
    assert furthest(folder / "model", folder / "checkpoint-4") == 0
    assert furthest(folder / "model", folder / "checkpoint-8") > 0
    assert curve(folder, f"eval_{METRIC}") == {2: 0.5, 4: 0.75, 6: 0.6, 8: 0.7}


def test_the_best_is_chosen_among_what_was_saved(runs, scored) -> None:
    scored(0.9, 0.5, 0.9, 0.4)
    folder = runs("saved", "optimisation.max_steps=4", "evaluation.every=1", "checkpoints.every=2")
    assert furthest(folder / "model", folder / "checkpoint-2") == 0


def test_training_stops_after_patience(runs, scored) -> None:
    left = scored(0.5, 0.6, 0.55, 0.6, 0.9)
    folder = runs("patience", "optimisation.max_steps=10", *EVALUATED, "evaluation.patience=2")
    assert max(curve(folder)) == 8
    assert left.left == [0.9]
    assert furthest(folder / "model", folder / "checkpoint-4") == 0


def test_without_a_new_best_evaluation_a_run_goes_to_its_end(runs, scored) -> None:
    scored(0.5, 0.4, 0.3)
    folder = runs("impatient", "optimisation.max_steps=6", *EVALUATED)
    assert max(curve(folder)) == 6


def test_the_last_checkpoints_are_averaged(runs, scored) -> None:
    """Also where the best checkpoint is an older one, which the trainer keeps on its own."""
    scored(0.9, 0.5, 0.5, 0.5)
    folder = runs(
        "average",
        "optimisation.max_steps=8",
        *EVALUATED[:2],
        "checkpoints.keep=2",
        "optimisation.average_last=2",
    )
    tensors = [weights(folder / f"checkpoint-{step}") for step in (6, 8)]
    for name, tensor in weights(folder / "model").items():
        torch.testing.assert_close(tensor, (tensors[0][name] + tensors[1][name]) / 2)
    assert furthest(folder / "model", folder / "checkpoint-8") > 1e-4


def test_evaluation_without_rows_of_the_sets_is_refused(runs, tmp_path) -> None:
    rows = [one for one in examples() if one.split == "train" or one.set == "DR"]
    data = prepared(tmp_path / "data", rows)
    with pytest.raises(RecipeError, match=r"evaluation.every=0"):
        runs("unwatched", f"data.path={data}", "data.sets=[MultiWD]", *EVALUATED)


# Cut short, and gone on with.


def test_a_finished_run_is_left_as_it_is(runs, evaluated) -> None:
    before = {path: path.stat().st_mtime_ns for path in evaluated.rglob("*")}
    runs.said.clear()
    runs("evaluated", STEPS, *EVALUATED)
    assert runs.said == ["The run is finished; --restart begins anew."]
    assert {path: path.stat().st_mtime_ns for path in evaluated.rglob("*")} == before


def interrupted(runs: Runs, name: str, *overrides: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        runs(name, *overrides)


def test_an_interrupted_run_says_where_it_is_and_goes_on(runs, scored) -> None:
    options = ["optimisation.max_steps=6", *EVALUATED]
    scored(0.5, 0.6, 0.7)
    whole = runs("whole", *options)
    scored(0.5, 0.6, KeyboardInterrupt)
    runs.said.clear()
    interrupted(runs, "cut", *options)
    assert runs.said[-1] == "Stopped after step 6. The last checkpoint is checkpoint-4."
    scored(0.7)
    folder = runs("cut", *options)
    assert curve(folder) == curve(whole)
    assert furthest(folder / "model", whole / "model") == 0
    assert [session["from_step"] for session in report(folder)["sessions"]] == [0, 4]


def test_a_run_interrupted_before_its_first_checkpoint_says_so(runs, scored) -> None:
    scored(KeyboardInterrupt)
    runs.said.clear()
    interrupted(runs, "early", STEPS, *EVALUATED)
    assert runs.said[-1] == "Stopped after step 2. There is no checkpoint yet."


def test_patience_is_kept_across_an_interruption(runs, scored) -> None:
    options = ["optimisation.max_steps=12", *EVALUATED, "evaluation.patience=2"]
    scored(0.6, 0.5, KeyboardInterrupt)
    interrupted(runs, "patient", *options)
    left = scored(0.4, 0.3)
    folder = runs("patient", *options)
    assert max(curve(folder)) == 6
    assert left.left == [0.3]
    assert furthest(folder / "model", folder / "checkpoint-2") == 0


@pytest.mark.parametrize("early", [False, True])
def test_a_result_that_is_missing_is_made_without_another_step(runs, scored, early) -> None:
    options = ["optimisation.max_steps=4", *EVALUATED, "evaluation.patience=1"]
    if early:
        options[0] = "optimisation.max_steps=40"
    scored(0.6, 0.5)
    name = f"resultless-{early}"
    folder = runs(name, *options)
    (folder / "model").rename(folder / "made")
    written = (folder / "training.json").read_bytes()
    (folder / ".model").mkdir()
    (folder / ".model" / "torn.safetensors").write_bytes(b"")
    scored()
    assert runs(name, *options) == folder
    assert furthest(folder / "model", folder / "made") == 0
    assert furthest(folder / "model", folder / "checkpoint-2") == 0
    assert not (folder / "model" / "torn.safetensors").exists()
    assert (folder / "training.json").read_bytes() == written


def test_a_restart_does_not_look_at_checkpoints(runs, scored) -> None:
    scored(0.5, KeyboardInterrupt)
    interrupted(runs, "anew", STEPS, *EVALUATED)
    scored(0.5, 0.6)
    folder = runs("anew", STEPS, *EVALUATED, resume=False)
    assert [session["from_step"] for session in report(folder)["sessions"]][-1] == 0
    assert sorted(curve(folder)) == [1, 2, 3, 4]


def test_used_up_memory_is_said(runs, scored) -> None:
    scored(torch.OutOfMemoryError)
    with pytest.raises(ResourcesError, match=r"Lower optimisation.batch_sequences"):
        runs("memory", STEPS, *EVALUATED)
