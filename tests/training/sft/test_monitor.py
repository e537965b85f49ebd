"""What a run says of itself: operations, speed, the curve, and the report across sessions."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.training.sft.tiny import base, recipe
from training.sft import monitor
from training.sft.monitor import REPORT, make_monitor, matrix_ceiling, operations_per_token
from training.sft.weights import load_model

HIDDEN, INTERMEDIATE, QUERIES, KEYS, LAYERS, VOCABULARY = 32, 64, 32, 16, 2, 500
LINEAR = LAYERS * (2 * HIDDEN * QUERIES + 2 * HIDDEN * KEYS + 3 * HIDDEN * INTERMEDIATE)
HEAD = HIDDEN * VOCABULARY


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base(tmp_path_factory.mktemp("monitor") / "base")


def model(folder: Path, *overrides: str) -> Any:
    return load_model(recipe(f"model.base={folder}", "output=out", *overrides), str(folder))


def test_operations_of_full_training(folder) -> None:
    assert operations_per_token(model(folder)) == (6 * LINEAR, 6 * HEAD)


def test_operations_above_frozen_layers(folder) -> None:
    """No gradient goes through the first layer."""
    found = operations_per_token(model(folder, "method.frozen_layers=1"))
    assert found == (2 * LINEAR / LAYERS + 6 * LINEAR / LAYERS, 6 * HEAD)


def test_operations_of_an_adapter(folder) -> None:
    """Four a frozen weight; the adapter's own, which are trained, take six."""
    adapter = (
        LAYERS * 2 * (2 * (HIDDEN + QUERIES) + 2 * (HIDDEN + KEYS) + 3 * (HIDDEN + INTERMEDIATE))
    )
    found = operations_per_token(model(folder, "method.kind=lora", "method.rank=2"))
    assert found == (4 * LINEAR + 6 * adapter, 4 * HEAD)


def test_operations_of_embeddings_trained_beside_an_adapter(folder) -> None:
    options = ["method.kind=lora", "method.rank=2", "method.train_embeddings=true"]
    plain = operations_per_token(model(folder, *options[:2]))
    assert operations_per_token(model(folder, *options)) == (plain[0], 6 * HEAD)


def test_the_ceiling_is_measured() -> None:
    assert 1e8 < matrix_ceiling(0.01) < 1e16


class Bench:
    """A monitor, driven as the trainer drives it, on a clock of its own."""

    def __init__(self, folder: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(monitor.time, "perf_counter", lambda: self.now)
        self.output = output
        self.model = model(folder)

    def begin(self, step: int = 0, *, processes: int = 1, first: bool = True) -> None:
        self.state = SimpleNamespace(
            global_step=step, max_steps=1000, epoch=step / 10, is_world_process_zero=first
        )
        self.control = SimpleNamespace(should_log=False, should_save=False, should_evaluate=False)
        self.args = SimpleNamespace(world_size=processes, eval_strategy="no")
        self.trainer = SimpleNamespace(tokens_seen=0, supervised_seen=0)
        self.monitor = make_monitor(self.output, {"seed": 5}, ceiling=1e9)
        self.monitor.trainer = self.trainer
        self.call("on_train_begin", model=self.model)

    def call(self, event: str, **given: Any) -> None:
        getattr(self.monitor, event)(self.args, self.state, self.control, **given)

    def step(self, loss: float, *, seconds: float = 2.0, tokens: int = 100) -> None:
        self.now += seconds
        self.trainer.tokens_seen += tokens
        self.trainer.supervised_seen += tokens // 10
        self.state.global_step += 1
        self.call("on_step_end")
        self.call("on_log", logs={"loss": loss, **self.monitor.speed()})

    def report(self) -> dict[str, Any]:
        return dict(json.loads((self.output / REPORT).read_text()))


@pytest.fixture
def bench(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(folder, tmp_path, monkeypatch)


def test_speed_by_hand(bench) -> None:
    bench.begin()
    assert bench.monitor.speed() == {}
    bench.step(3.0)
    bench.step(2.0, seconds=3.0)
    speed = bench.monitor.speed()
    assert speed["tokens_per_second"] == pytest.approx(200 / 5)
    needed = 6 * LINEAR * 200 + 6 * HEAD * 20
    assert speed["flops_utilisation"] == pytest.approx(needed / 5 / 1e9)


def test_processes_are_counted_together_and_used_each(bench) -> None:
    bench.begin(processes=2)
    bench.step(3.0)
    speed = bench.monitor.speed()
    assert speed["tokens_per_second"] == pytest.approx(2 * 100 / 2)
    needed = 6 * LINEAR * 100 + 6 * HEAD * 10
    assert speed["flops_utilisation"] == pytest.approx(needed / 2 / 1e9)


def test_what_evaluating_and_saving_take_is_not_training(bench) -> None:
    bench.begin()
    bench.step(3.0)
    for event in ("on_evaluate", "on_save"):
        bench.now += 50
        bench.call(event)
    bench.step(2.0)
    assert bench.monitor.speed()["tokens_per_second"] == pytest.approx(200 / 4)


def test_the_report_holds_facts_curve_and_session(bench) -> None:
    bench.begin()
    bench.step(3.0)
    bench.step(2.0)
    bench.call("on_train_end")
    report = bench.report()
    assert report["seed"] == 5
    assert report["ceiling_flops"] == 1e9
    assert [(point["step"], point["loss"]) for point in report["curve"]] == [(1, 3.0), (2, 2.0)]
    (session,) = report["sessions"]
    assert (session["from_step"], session["seconds"], session["tokens"]) == (0, 4.0, 200)


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_a_damaged_report_is_begun_anew(bench, text) -> None:
    (bench.output / REPORT).write_text(text)
    bench.begin()
    bench.step(3.0)
    assert [point["step"] for point in bench.report()["curve"]] == [1]


def test_one_process_of_several_writes(bench) -> None:
    bench.begin(processes=2, first=False)
    bench.step(3.0)
    bench.call("on_train_end")
    assert not (bench.output / REPORT).exists()
