"""What tests of whole runs share: short runs, what they leave, children that end themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import training.sft.run
from tests.training.sft.tiny import recipe
from training.sft.monitor import REPORT
from training.sft.recipe import dump
from training.sft.run import run

FIVE_STEPS = ("optimisation.max_steps=5",)
EVALUATED = ("evaluation.every=2", "checkpoints.every=2", "checkpoints.keep=null")

ROOT = Path(__file__).resolve().parents[3]

# The command line of `sft`, in which a step of the trainer begins with the end of the process.
_CHILD = """
import os, signal, sys
import training.sft.run as module
from training.cli.main import main

made, step = module.make_monitor, int(sys.argv[1])

def make_monitor(*given):
    monitor = made(*given)
    def on_step_begin(args, state, control, **kwargs):
        if state.global_step == step:
            os.kill(os.getpid(), signal.SIGKILL)
    monitor.on_step_begin = on_step_begin
    return monitor

module.make_monitor, module.matrix_ceiling = make_monitor, lambda: 1e12
sys.argv[1:] = ["sft", *sys.argv[2:]]
main()
"""


class Runs:
    """Short runs on one base model and one set of prepared data.

    Args:
        data: a folder of prepared data.
        base: a model.
        folder: where each run gets a folder by its name.
    """

    def __init__(self, data: Path, base: Path, folder: Path) -> None:
        self.usual = (f"data.path={data}", f"model.base={base}")
        self.folder = folder
        self.said: list[str] = []

    def overrides(self, name: str, *overrides: str) -> list[str]:
        return [*self.usual, f"output={self.folder / name}", *overrides]

    def __call__(self, name: str, *overrides: str, resume: bool = True) -> Path:
        """Train in this process; returns the run's folder."""
        made = recipe(*self.overrides(name, *overrides))
        with pytest.MonkeyPatch.context() as patch:
            # Measuring the machine would take longer than a run.
            patch.setattr(training.sft.run, "matrix_ceiling", lambda: 1e12)
            model = run(made, resume=resume, announce=self.said.append)
        assert model == self.folder / name / "model"
        return self.folder / name

    def recipe_file(self, name: str, *overrides: str) -> Path:
        """The same recipe as a file, for the command line."""
        path = self.folder / f"{name}.yaml"
        path.write_text(dump(recipe(*self.overrides(name, *overrides))))
        return path

    def killed_child(
        self, name: str, *overrides: str, step: int
    ) -> subprocess.CompletedProcess[str]:
        """Train by the command line in a child that kills itself after a step."""
        return subprocess.run(
            [sys.executable, "-c", _CHILD, str(step), str(self.recipe_file(name, *overrides))],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


def report(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / REPORT).read_text()))


def curve(folder: Path, figure: str = "loss") -> dict[int, float]:
    """A figure by step."""
    return {point["step"]: point[figure] for point in report(folder)["curve"] if figure in point}


def weights(folder: Path) -> Mapping[str, Any]:
    """The tensors of a directory."""
    from training.sft.weights import read_weights

    return read_weights(folder)


def furthest(one: Path, other: Path) -> float:
    """The largest difference between two directories' weights."""
    left, right = weights(one), weights(other)
    assert left.keys() == right.keys()
    return max(float((left[name].float() - right[name].float()).abs().max()) for name in left)
