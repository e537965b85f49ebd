"""`make train-embedded`: its steps in order, each done once, gone on with, or begun anew."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer

from scripts import train_embedded
from service.adapter import FILES, Adapter
from service.analysis.manifest import load_manifest
from tests.adapters import write_adapter, write_manifest
from training.errors import ModelFilesError

# Stands in for `mentalllama-train`: keeps its arguments, makes the folder, ends as it is told to.
TRAINER = """
import json, pathlib, sys
here, arguments = pathlib.Path(sys.argv[1]), sys.argv[2:]
with (here / "calls").open("a") as file:
    file.write(json.dumps(arguments) + "\\n")
given = dict(zip(arguments, arguments[1:]))
output = given.get("--output") or given.get("--run") or next(
    (a.split("=")[1] for a in arguments if a.startswith("output=")), None
)
if output:
    folder = pathlib.Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "runs").open("a") as file:
        file.write("one\\n")
fail = here / "fail"
if fail.exists() and arguments[0] == fail.read_text().split()[0]:
    sys.exit(int(fail.read_text().split()[1]))
"""


class Bench:
    """A data folder, a folder for the steps, and the trainer that stands in."""

    def __init__(self, here: Path) -> None:
        self.here, self.data, self.runs = here, here / "imhi", here / "runs"
        self.data.mkdir()
        (self.data / "rows.csv").write_text("made up for this test\n")
        (here / "trainer.py").write_text(TRAINER)
        self.trainer = [sys.executable, str(here / "trainer.py"), str(here)]

    def run(self, *overrides: str) -> int:
        return train_embedded.run(self.steps(*overrides), self.trainer)

    def steps(self, *overrides: str) -> list[train_embedded.Step]:
        return train_embedded.plan(self.data, self.runs, overrides)

    def calls(self) -> list[str]:
        """The first argument of every call since the last time."""
        path = self.here / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [json.loads(line)[0] for line in lines]

    def times(self, folder: str) -> int:
        """How often a step ran in its folder since that was last emptied."""
        return len((self.runs / folder / "runs").read_text().splitlines())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


ALL = [
    *("data", "sft", "data", "sft", "average", "export", "export"),
    *("calibrate", "evaluate"),
]


def test_every_step_runs_once(bench: Bench) -> None:
    assert bench.run() == 0
    assert bench.calls() == ALL
    assert bench.run() == 0
    assert bench.calls() == []
    assert {step.state for step in bench.steps()} == {"done"}


def test_a_failed_step_goes_on(bench: Bench) -> None:
    (bench.here / "fail").write_text("sft 6")
    assert bench.run() == 6
    assert bench.calls() == ["data", "sft"]
    assert [step.state for step in bench.steps()] == ["done", "begun", *["new"] * 7]
    (bench.here / "fail").unlink()
    assert bench.run() == 0
    assert bench.calls() == ALL[1:]
    assert bench.times("training") == 2  # nothing was taken from the interrupted one


def test_other_data_makes_all_steps_anew(bench: Bench) -> None:
    bench.run()
    bench.calls()
    (bench.data / "more.csv").write_text("made up too\n")
    assert {step.state for step in bench.steps()} == {"stale"}
    bench.run()
    assert bench.calls() == ALL
    assert [bench.times(name) for name in ("data", "training", "merged")] == [1, 1, 1]


def test_another_field_leaves_the_data_as_it_is(bench: Bench) -> None:
    bench.run()
    bench.calls()
    bench.run("optimisation.epochs=1")
    assert bench.calls() == ALL[1:]


def test_steps_are_commands_of_the_trainer(bench: Bench) -> None:
    """Every argument is one that the real command line takes; nothing is run."""
    from training.cli.main import app

    command = typer.main.get_command(app)
    for step in bench.steps():
        for place in step.arguments:  # directories that must be there for an option to be taken
            if place.startswith(str(bench.runs)):
                Path(place).mkdir(parents=True, exist_ok=True)
        group, arguments = command, list(step.arguments)
        while isinstance(group, typer.core.TyperGroup):
            group = group.commands[arguments.pop(0)]
        context = group.make_context(step.folder.name, arguments)
        assert context.params


def test_dry_run_shows_the_steps_and_makes_nothing(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(bench.data), "--runs", str(bench.runs), "--dry-run", "seed=3"]
    assert train_embedded.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(ALL)
    assert all(line.startswith("new    mentalllama-train ") for line in lines)
    assert lines[1].endswith("seed=3")
    assert " seed=3 seed=2 " in lines[3]
    assert not bench.runs.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "DATA=folder"),
        (("--data", "{data}", "epochs"), "FIELD=VALUE"),
        (("--data", "{data}/nowhere"), "DATA=folder"),
    ],
)
def test_a_wrong_call_says_what_to_do(
    bench: Bench, arguments: Sequence[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        train_embedded.main([text.format(data=bench.data) for text in arguments])
    assert raised.value.code == 2
    assert said in capsys.readouterr().err


def test_the_steps_exit_code_is_the_commands(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    (bench.here / "fail").write_text("data 5")
    arguments = ["--data", str(bench.data), "--runs", str(bench.runs)]
    assert train_embedded.main(arguments, bench.trainer) == 5
    assert "exit code 5" in capsys.readouterr().err


class TestInstall:
    @pytest.fixture
    def runs(self, tmp_path: Path) -> Path:
        """Folders as the steps leave them, as far as the installation looks."""
        write_adapter(tmp_path / "runs" / "adapter")
        for name in ("merged", "training", "evaluation"):
            (tmp_path / "runs" / name).mkdir()
        write_manifest(tmp_path / "runs" / "merged", calibration={"stress": {"temperature": 1.25}})
        (tmp_path / "runs" / "training" / "training.json").write_text("{}")
        (tmp_path / "runs" / "evaluation" / "report.md").write_text("# Report\n")
        (tmp_path / "runs" / "evaluation" / "samples.jsonl").write_text("{}")
        return tmp_path / "runs"

    def test_adapter_calibration_card_and_reports(self, runs: Path, tmp_path: Path) -> None:
        target = tmp_path / "models" / train_embedded.NAME
        train_embedded.install(runs, target)
        manifest = load_manifest(target)
        assert manifest is not None
        assert manifest.name == train_embedded.NAME
        assert manifest.calibration["stress"].temperature == 1.25
        assert Adapter.load(target).manifest == manifest
        names = {path.name for path in target.iterdir()}
        assert names == {*FILES, "README.md", "checksums.sha256", "training.json", "report.md"}
        assert train_embedded.NAME in (target / "README.md").read_text(encoding="utf-8")

    def test_replaces_an_older_one_whole(self, runs: Path, tmp_path: Path) -> None:
        target = write_adapter(tmp_path / "models" / train_embedded.NAME)
        (target / "stale.json").write_text("{}")
        train_embedded.install(runs, target)
        assert not (target / "stale.json").exists()

    def test_without_a_calibrated_model_the_old_one_stays(self, runs: Path, tmp_path: Path) -> None:
        target = write_adapter(tmp_path / "models" / train_embedded.NAME)
        (runs / "merged" / "mentalllama.json").unlink()
        with pytest.raises(ModelFilesError, match="no manifest"):
            train_embedded.install(runs, target)
        assert Adapter.load(target).manifest.name == "an-adapter"
