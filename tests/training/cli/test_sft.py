"""`mentalllama-train sft`: every shipped recipe dry-run, refusals, going on, several GPUs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tests.training.command import error_text, invoke
from tests.training.sft.recipes import examples, prepared, tiny
from training.data.example import Split
from training.errors import ExitCode
from training.sft.machine import Machine
from training.sft.output import RECIPE_FILE
from training.sft.overrides import resolve
from training.sft.recipe import Recipe, dump
from training.sft.recipe_fields import FIELDS
from training.sft.recipe_file import shipped

GIB = 2**30
ARCHITECTURES = {"qwen3-0.6b": "Qwen3ForCausalLM"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("data") / "prepared")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def machine(monkeypatch) -> Callable[[Machine], None]:
    """Puts another machine in this one's place."""
    import training.sft.machine

    def put(other: Machine) -> None:
        monkeypatch.setattr(training.sft.machine, "find_machine", lambda: other)

    put(Machine("cpu", "CPU with 2 cores", 1, 16 * GIB))
    return put


@pytest.fixture
def runs(monkeypatch) -> list[tuple[Recipe, bool]]:
    """What `training.sft.run.run` was called with; it trains nothing."""
    import training.sft.run

    called: list[tuple[Recipe, bool]] = []

    def run(recipe: Recipe, *, resume: bool, announce: Callable[[str], None]) -> Path:
        announce("Training.")
        called.append((recipe, resume))
        return recipe.output / "model"

    monkeypatch.setattr(training.sft.run, "run", run)
    return called


@pytest.fixture
def sft(data, model, machine, tmp_path) -> Callable[..., Result]:
    """Runs the command on a tiny model and a few rows."""
    usual = (f"data.path={data}", f"model.base={model}", f"output={tmp_path / 'out'}")

    def run(*arguments: str, recipe: str = "qwen3-0.6b") -> Result:
        return invoke("sft", recipe, *usual, *arguments)

    return run


@pytest.mark.parametrize("recipe", shipped())
def test_every_shipped_recipe_dry_runs(recipe, sft, runs, tmp_path) -> None:
    method = resolve(recipe).recipe.method
    layers = 2 + method.frozen_layers
    architecture = ARCHITECTURES.get(recipe, "LlamaForCausalLM")
    model = tiny(tmp_path / "model", architecture, num_hidden_layers=layers)
    (model / "chat_template.jinja").write_text("{{ messages[0].content }}")
    result = sft(f"model.base={model}", "--dry-run", recipe=recipe)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"{recipe}: ")
    shown = {line.split()[0] for line in result.stdout.splitlines() if line.split()}
    full = method.kind == "full"
    assert {name for name in FIELDS if "." in name and not (full and "method." in name)} <= shown
    assert not (tmp_path / "out").exists()
    assert runs == []


def test_the_embedded_recipe_dry_runs_without_the_model(sft, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("MENTALLLAMA_CACHE", str(tmp_path / "cache"))
    result = sft("model.base=embedded", "--dry-run", recipe="embedded-135m")
    assert result.exit_code == 0, result.stderr
    assert "134.5 million weights" in result.stdout
    assert not (tmp_path / "cache").exists()


def test_a_dry_run_as_json_is_whole(sft, data) -> None:
    result = sft("seed=5", "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert plan["recipe"]["seed"] == 5
    assert plan["sources"]["seed"] == "override"
    assert plan["sources"]["optimisation.learning_rate"] == "recipe"
    assert plan["sources"]["optimisation.epsilon"] == "default"
    assert [part["set"] for part in plan["work"]["sets"]] == ["DR", "dreaddit", "MultiWD"]
    assert sum(part["rows"] for part in plan["work"]["sets"]) == 12
    assert plan["memory"]["total"] == sum(
        size for name, size in plan["memory"].items() if name != "total"
    )
    assert plan["model"]["architecture"] == "LlamaForCausalLM"
    assert plan["machine"]["free"] == 16 * GIB
    assert plan["problems"] == []
    assert plan["command"] is None


def test_a_dry_run_shows_no_post(sft) -> None:
    shown = sft("--dry-run").output + sft("--dry-run", "--json").output
    assert not any(example.post[:20] in shown for example in examples())


def test_assumed_values_are_marked(sft) -> None:
    shown = sft("--dry-run", recipe="mentalllama-7b").stdout.splitlines()
    lines = {line.split()[0]: line for line in shown if line.split()}
    assert "assumed" in lines["optimisation.learning_rate"]
    assert "assumed" not in lines["model.prompt_style"]
    changed = sft("--dry-run", "optimisation.learning_rate=2e-5", recipe="mentalllama-7b").stdout
    assert "assumed" not in next(
        line for line in changed.splitlines() if "optimisation.learning_rate" in line
    )


def test_a_run_gets_the_recipe(sft, runs, tmp_path) -> None:
    result = sft("optimisation.max_steps=3")
    assert result.exit_code == 0, result.stderr
    ((recipe, resume),) = runs
    assert recipe.optimisation.max_steps == 3
    assert recipe.output == tmp_path / "out"
    assert resume
    assert result.stdout.strip() == str(tmp_path / "out" / "model")
    assert "Training." in result.stderr


Refusal = tuple[list[str], ExitCode, str]


def refusals(tmp: Path) -> Iterator[Refusal]:
    """Arguments, the exit code and what is said, for each kind of refusal."""
    yield ["data.path=null"], ExitCode.DATA, "There is no data to train on: give data.path=DIR"
    yield [f"data.path={tmp / 'none'}"], ExitCode.DATA, "holds no prepared data"
    yield (
        ["data.sets=[MultiWD]", "data.origins=[reference]"],
        ExitCode.DATA,
        "has no training rows of MultiWD that `data.origins` takes",
    )
    yield ["layout=x"], ExitCode.RECIPE, "`layout` takes one of `padded`, `packed`, `shared`"
    yield ["data.max_tokens=4096"], ExitCode.RECIPE, "set data.max_tokens=2048"
    yield ["model.prompt_style=chat"], ExitCode.RECIPE, "has no chat template"
    yield ["trackers=[wandb]"], ExitCode.RECIPE, "`pip install wandb` first: trackers=wandb"
    yield (
        ["model.attention=flex_attention"],
        ExitCode.RECIPE,
        "model.attention=flex_attention needs a GPU",
    )
    yield (
        ["method.kind=qlora", "precision.weights=bfloat16"],
        ExitCode.RECIPE,
        "method.kind=qlora needs a GPU and this machine has none",
    )
    yield ["method.kind=lora", "method.targets=[w]"], ExitCode.RECIPE, "no linear layer 'w'"
    yield [f"model.base={tmp / 'none'}"], ExitCode.MODEL, "name a directory with a config.json"
    yield ["--resume"], ExitCode.USAGE, "--resume: there is no checkpoint in"
    yield ["--json"], ExitCode.USAGE, "--json goes with --dry-run"
    yield ["--processes", "2", "--accelerate", "none"], ExitCode.USAGE, "no configuration"


@pytest.mark.parametrize("number", range(len(list(refusals(Path())))))
def test_a_refusal_says_what_to_change(number, sft, runs, tmp_path, monkeypatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "wandb" else find(name, *a)
    )
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    arguments, code, message = list(refusals(tmp_path))[number]
    result = sft(*arguments)
    assert message in error_text(result)
    assert result.exit_code == code
    assert runs == []
    assert not (tmp_path / "out").exists()


def test_evaluation_without_validation_rows_is_refused(sft, tmp_path) -> None:
    rows = [example for example in examples() if example.split is Split.TRAIN]
    result = sft(f"data.path={prepared(tmp_path / 'train', rows)}")
    assert result.exit_code == ExitCode.DATA
    assert "set evaluation.every=0" in error_text(result)


def test_too_little_memory_is_refused_before_anything_is_loaded(sft, machine, runs) -> None:
    machine(Machine("cpu", "CPU", 1, GIB))
    result = sft("optimisation.batch_sequences=4096")
    assert result.exit_code == ExitCode.RESOURCES
    assert "By estimate the run needs" in error_text(result)
    assert "1.0 GiB free" in error_text(result)
    assert runs == []
    assert sft("optimisation.batch_sequences=4096", "--no-memory-check").exit_code == 0
    assert len(runs) == 1


def test_more_processes_than_gpus_are_refused(sft, machine) -> None:
    machine(Machine("cuda", "GPU", 2, 80 * GIB))
    result = sft("--processes", "4")
    assert result.exit_code == ExitCode.RESOURCES
    assert "at most --processes 2" in error_text(result)


def test_weights_that_are_no_safetensors_are_refused(sft, tmp_path) -> None:
    model = tiny(tmp_path / "model")
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    result = sft(f"model.base={model}")
    assert result.exit_code == ExitCode.MODEL
    assert "holds no safetensors weights" in error_text(result)


def test_a_dry_run_tells_of_all_problems_and_ends_as_the_run_would(sft) -> None:
    result = sft("data.path=null", "model.attention=flex_attention", "--dry-run", "--json")
    kinds = [problem["kind"] for problem in json.loads(result.stdout)["problems"]]
    assert kinds == ["RecipeError", "DataError"]
    assert result.exit_code == ExitCode.RECIPE
    shown = sft("data.path=null", "model.attention=flex_attention", "--dry-run")
    assert shown.stderr.count("Error: ") == 2


def leave_checkpoint(out: Path, recipe: Recipe) -> None:
    (out / "checkpoint-20").mkdir(parents=True)
    (out / "checkpoint-20" / "trainer_state.json").write_text("{}")
    (out / RECIPE_FILE).write_text(dump(recipe))


def test_a_run_with_a_checkpoint_goes_on_and_says_so(sft, runs, tmp_path) -> None:
    sft()
    leave_checkpoint(tmp_path / "out", runs.pop()[0])
    result = sft()
    assert result.exit_code == 0, result.stderr
    assert "Going on from checkpoint-20" in error_text(result)
    assert runs.pop()[1] is True
    assert "checkpoint-20" in sft("--dry-run").stdout


def test_a_restart_removes_the_checkpoints(sft, runs, tmp_path) -> None:
    sft()
    leave_checkpoint(tmp_path / "out", runs.pop()[0])
    assert sft("optimisation.learning_rate=1e-3", "--restart", "--dry-run").exit_code == 0
    assert (tmp_path / "out" / "checkpoint-20").exists()
    assert sft("optimisation.learning_rate=1e-3", "--restart").exit_code == 0
    assert runs.pop()[1] is False
    assert not (tmp_path / "out" / "checkpoint-20").exists()


def test_several_processes_are_started_by_accelerate(sft, runs, monkeypatch) -> None:
    from training.sft import launch

    started: list[Any] = []
    monkeypatch.setattr(launch, "start", lambda *given: started.append(given))
    assert sft("seed=9", "--processes", "2").exit_code == 0
    ((processes, arguments),) = started
    assert processes.count == 2
    assert processes.config.stem == "cpu_two_processes"
    assert arguments[:2] == ["sft", "qwen3-0.6b"]
    assert "seed=9" in arguments
    assert arguments[-1] == "--no-memory-check"
    assert runs == []


def test_a_dry_run_shows_the_command_of_several_processes(sft, machine) -> None:
    machine(Machine("cuda", "GPU", 4, 80 * GIB))
    plan = json.loads(sft("--processes", "4", "--dry-run", "--json").stdout)
    assert plan["sharded"]
    assert plan["command"].startswith("accelerate launch --config_file ")
    assert (
        "fsdp2.yaml --num_processes 4 --module training.cli.main sft qwen3-0.6b" in plan["command"]
    )


def test_one_of_several_processes_speaks(sft, runs, monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    result = sft()
    assert result.exit_code == 0
    assert result.output == ""
    assert len(runs) == 1
