"""Runs by the command line that are killed or interrupted, and one by two processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import training.sft.run
from tests.training.command import invoke
from tests.training.sft.recipes import POSTS
from tests.training.sft.runs import Runs, curve, furthest, report
from training.errors import ExitCode
from training.sft.output import checkpoints
from training.sft.recipe_file import ACCELERATE
from training.sft.watch import METRIC

pytestmark = pytest.mark.xdist_group("training-runs")

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
    folder = runs("whole", *CUT)
    assert sorted(curve(folder)) == [1, 3, 4, 6, 8, 9, 12]
    assert len(set(curve(folder).values())) == 7
    return folder


def assert_goes_on(runs: Runs, name: str, whole: Path, step: int) -> None:
    """Finish a run that was cut short; it must not differ from one that was not."""
    folder = runs(name, *CUT)
    assert [session["from_step"] for session in report(folder)["sessions"]] == [0, step]
    for figure in ("loss", "grad_norm", "learning_rate", f"eval_{METRIC}"):
        assert curve(folder, figure) == pytest.approx(curve(whole, figure), rel=1e-5)
    assert furthest(folder / "model", whole / "model") < 1e-6


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_it_had_not_been(runs, whole) -> None:
    killed = runs.killed_child("killed", *CUT, step=10)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    folder = runs.folder / "killed"
    assert [path.name for path in checkpoints(folder)] == ["checkpoint-4", "checkpoint-8"]
    assert not (folder / "model").exists()
    assert_goes_on(runs, "killed", whole, step=8)


def test_an_interrupted_run_says_how_to_go_on(runs, whole, monkeypatch) -> None:
    make = training.sft.run.make_monitor

    def make_monitor(*given):
        monitor = make(*given)

        def on_step_begin(args, state, control, **kwargs) -> None:
            if state.global_step == 5:
                os.kill(os.getpid(), signal.SIGINT)

        monitor.on_step_begin = on_step_begin
        return monitor

    with monkeypatch.context() as patch:
        patch.setattr(training.sft.run, "make_monitor", make_monitor)
        patch.setattr(training.sft.run, "matrix_ceiling", lambda: 1e12)
        path = runs.recipe_file("interrupted", *CUT)
        stopped = invoke("sft", path)
    assert stopped.exit_code == ExitCode.INTERRUPTED, stopped.output
    assert stopped.stdout == ""
    assert stopped.stderr.splitlines()[-2:] == [
        "Stopped after step 5. The last checkpoint is checkpoint-4.",
        "Interrupted. Run the same command again to go on.",
    ]
    assert not any(post[:24] in stopped.stderr for post in POSTS)
    assert_goes_on(runs, "interrupted", whole, step=4)


@pytest.mark.slow
def test_two_processes_train_as_one_with_twice_the_batches(runs, tmp_path, capfd) -> None:
    usual = ("optimisation.max_steps=5", "evaluation.every=5", "checkpoints.every=5")
    config = tmp_path / "two.yaml"  # on a free port: another run may be on the usual one
    shipped = (ACCELERATE / "cpu_two_processes.yaml").read_text()
    config.write_text(f"{shipped}main_process_port: 0\n")
    path = runs.recipe_file("two", *usual)
    options = ("--processes", "2", "--accelerate", str(config))
    started = invoke("sft", path, *options)
    said = capfd.readouterr()
    assert started.exit_code == ExitCode.OK, said.err
    folder = runs.folder / "two"
    assert said.out.splitlines()[-1] == str(folder / "model")
    assert said.err.count("Step 5 of 5: loss") == 1
    one = runs("one", *usual, "optimisation.gradient_accumulation=2")
    for figure in ("loss", "grad_norm"):
        assert curve(folder, figure) == pytest.approx(curve(one, figure), rel=1e-4)
    assert curve(folder, f"eval_{METRIC}") == pytest.approx(curve(one, f"eval_{METRIC}"))
    assert furthest(folder / "model", one / "model") < 1e-4
    both, single = report(folder)["sessions"][0], report(one)["sessions"][0]
    assert both["tokens"] == pytest.approx(single["tokens"], rel=0.1)
