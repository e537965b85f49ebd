"""Runs by the command line in processes of their own: killed, interrupted, and two that share."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.training.sft.recipes import POSTS
from tests.training.sft.runs import Runs, curve, furthest, report, started
from training.errors import ExitCode
from training.sft.output import checkpoints
from training.sft.watch import METRIC

# Six steps are an epoch: the run is cut short in the middle of the second. With dropout the curve
# hangs on the random state too, and each third step logged is the mean of some.
CUT = (
    "optimisation.max_steps=12",
    "method.kind=lora",
    "method.dropout=0.1",
    "evaluation.every=4",
    "checkpoints.every=4",
    "checkpoints.keep=null",
    "log_every=3",
)


@pytest.fixture(scope="module")
def whole(runs: Runs) -> Path:
    return runs("whole", *CUT)


def assert_goes_on(runs: Runs, name: str, whole: Path, step: int) -> None:
    """Finish a run that was cut short; it must not differ from one that was not."""
    folder = runs(name, *CUT)
    assert [session["from_step"] for session in report(folder)["sessions"]] == [0, step]
    for figure in ("loss", "grad_norm", "learning_rate", f"eval_{METRIC}"):
        assert curve(folder, figure) == pytest.approx(curve(whole, figure), rel=1e-5)
    assert furthest(folder / "model", whole / "model") < 1e-6


def test_the_curve_of_the_whole_run_has_points_to_compare(whole) -> None:
    assert sorted(curve(whole)) == [1, 3, 4, 6, 8, 9, 12]
    assert len(set(curve(whole).values())) == 7


def test_a_killed_run_goes_on_as_if_it_had_not_been(runs, whole) -> None:
    killed = runs.child("killed", *CUT, step=10, signal="SIGKILL")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    folder = runs.folder / "killed"
    assert [path.name for path in checkpoints(folder)] == ["checkpoint-4", "checkpoint-8"]
    assert not (folder / "model").exists()
    assert_goes_on(runs, "killed", whole, step=8)


def test_an_interrupted_run_says_how_to_go_on(runs, whole) -> None:
    stopped = runs.child("interrupted", *CUT, step=5, signal="SIGINT")
    assert stopped.returncode == ExitCode.INTERRUPTED, stopped.stderr
    assert stopped.stdout == ""
    lines = stopped.stderr.splitlines()
    assert lines[-2:] == [
        "Stopped after step 5. The last checkpoint is checkpoint-4.",
        "Interrupted. Run the same command again to go on.",
    ]
    assert "Traceback" not in stopped.stderr
    assert not any(post[:24] in stopped.stderr for post in POSTS)
    assert_goes_on(runs, "interrupted", whole, step=4)


def test_two_processes_train_as_one_with_twice_the_batches(runs) -> None:
    usual = ("optimisation.max_steps=5", "evaluation.every=5", "checkpoints.every=5")
    one = runs("one", *usual, "optimisation.gradient_accumulation=2")
    path = runs.recipe_file("two", *usual)
    two = started(["-m", "training.cli.main", "sft", str(path), "--processes", "2"])
    assert two.returncode == 0, two.stderr
    folder = runs.folder / "two"
    assert two.stdout.splitlines()[-1] == str(folder / "model")
    assert two.stderr.count("Step 5 of 5: loss") == 1
    for figure in ("loss", "grad_norm"):
        assert curve(folder, figure) == pytest.approx(curve(one, figure), rel=1e-4)
    assert curve(folder, f"eval_{METRIC}") == pytest.approx(curve(one, f"eval_{METRIC}"))
    assert furthest(folder / "model", one / "model") < 1e-4
    both, single = report(folder)["sessions"][0], report(one)["sessions"][0]
    assert both["tokens"] == pytest.approx(single["tokens"], rel=0.1)
