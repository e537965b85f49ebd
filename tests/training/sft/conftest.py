"""What tests of runs share: prepared data, a tiny base model, runs, scores that are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.training.sft.recipes import prepared
from tests.training.sft.runs import EVALUATED, FIVE_STEPS, Runs
from tests.training.sft.tiny import base
from training.sft.watch import METRIC, Watch


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("data") / "prepared")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base(tmp_path_factory.mktemp("model") / "base")


@pytest.fixture(scope="session")
def runs(data: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(data, model, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def evaluated(runs: Runs) -> Path:
    """A finished run of five steps that is evaluated and saved after 2, 4 and 5; only read it."""
    return runs("evaluated", *FIVE_STEPS, *EVALUATED)


class Scores:
    """In place of the watch's measurement: one score after the other, or what is raised."""

    def __init__(self, *scores: float | type[BaseException]) -> None:
        self.left = list(scores)

    def __call__(self, *_: Any) -> dict[str, float]:
        score = self.left.pop(0)
        if isinstance(score, type):
            raise score
        return {METRIC: score, "DR": score}


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the scores of the evaluations to come; an evaluation too many is an error."""

    def put(*scores: float | type[BaseException]) -> Scores:
        made = Scores(*scores)
        monkeypatch.setattr(Watch, "measure", made)
        return made

    return put
