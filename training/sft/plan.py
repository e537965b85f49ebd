"""What a recipe would do here, and why it would not: what `--dry-run` prints.

`make_plan` reads the prepared data, counts the model from its configuration and looks at the
machine and at the output folder. It loads no weights. Everything that stands in the way is
collected, so that a person is told of all of it at once.
"""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from service.errors import ServiceError
from service.models import EMBEDDED, has_chat_template
from training.data.example import Example, Split
from training.data.prepared import load_prepared
from training.errors import DataError, ModelFilesError, RecipeError, ResourcesError, TrainingError
from training.sft import launch, memory, output
from training.sft.dataset import chosen_examples
from training.sft.launch import Processes
from training.sft.machine import Machine
from training.sft.memory import MemoryEstimate, Setting
from training.sft.overrides import Resolved
from training.sft.recipe import Recipe, flatten
from training.sft.size import ModelSize, measure
from training.sft.work import Work, count_work

Problem = TrainingError | ServiceError
_Found = TypeVar("_Found")

# What a value of a field needs beside the packages of the `training` extra: module, package.
_PACKAGES = {
    ("model.attention", "flash_attention_2"): ("flash_attn", "flash-attn"),
    ("method.kind", "qlora"): ("bitsandbytes", "bitsandbytes"),
    ("optimisation.optimizer", "adamw_8bit"): ("bitsandbytes", "bitsandbytes"),
    ("optimisation.optimizer", "paged_adamw_8bit"): ("bitsandbytes", "bitsandbytes"),
    ("trackers", "wandb"): ("wandb", "wandb"),
    ("trackers", "mlflow"): ("mlflow", "mlflow"),
    ("trackers", "comet_ml"): ("comet_ml", "comet-ml"),
    ("trackers", "trackio"): ("trackio", "trackio"),
    ("trackers", "clearml"): ("clearml", "clearml"),
    ("trackers", "swanlab"): ("swanlab", "swanlab"),
}
_GPU_ONLY = (
    ("model.attention", "flash_attention_2"),
    ("model.attention", "flex_attention"),
    ("method.kind", "qlora"),
    ("optimisation.optimizer", "adamw_8bit"),
    ("optimisation.optimizer", "paged_adamw_8bit"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What would run.

    Attributes:
        resolved: the recipe.
        machine: where.
        processes: in how many parts.
        work: on what; None without data.
        size: the model's; None if it could not be counted.
        estimate: its memory; None without a size.
        checkpoint: name of the checkpoint that it would go on from, or None.
        problems: what stands in the way; the first decides the exit code.
    """

    resolved: Resolved
    machine: Machine
    processes: Processes
    work: Work | None
    size: ModelSize | None
    estimate: MemoryEstimate | None
    checkpoint: str | None
    problems: tuple[Problem, ...]

    @property
    def recipe(self) -> Recipe:
        """What would run."""
        return self.resolved.recipe

    @property
    def command(self) -> str | None:
        """The command line that starts all processes; None where this one does the work."""
        if self.processes.config is None:
            return None
        arguments = ["sft", self.resolved.origin, *self.resolved.overrides]
        return shlex.join(launch.command(self.processes, arguments))

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "sources": dict(self.resolved.sources),
            "machine": asdict(self.machine),
            "processes": self.processes.count,
            "sharded": self.processes.sharded,
            "command": self.command,
            "work": asdict(self.work) if self.work is not None else None,
            "model": asdict(self.size) if self.size is not None else None,
            "memory": {**asdict(self.estimate), "total": self.estimate.total}
            if self.estimate is not None
            else None,
            "output": str(self.recipe.output),
            "checkpoint": self.checkpoint,
            "problems": [
                {"kind": type(problem).__name__, "message": problem.message}
                for problem in self.problems
            ],
        }


def make_plan(
    resolved: Resolved,
    machine: Machine,
    processes: Processes,
    *,
    restart: bool = False,
    memory_check: bool = True,
) -> Plan:
    """Plan a run.

    Args:
        resolved: the recipe.
        machine: where it would run.
        processes: how it would be divided.
        restart: whether what is in the output folder does not count.
        memory_check: whether too little memory is a problem.
    """
    recipe = resolved.recipe
    problems: list[Problem] = []

    def look(at: Callable[[], _Found]) -> _Found | None:
        try:
            return at()
        except (TrainingError, ServiceError) as problem:
            problems.append(problem)
            return None

    look(lambda: _check_device(recipe, machine))
    look(lambda: _check_packages(recipe, machine))
    look(lambda: _check_processes(machine, processes))
    kept = [] if restart else output.checkpoints(recipe.output)
    if not restart:
        look(lambda: output.check(recipe))
    work = look(lambda: count_work(recipe, _examples(recipe), processes.count))
    size = look(lambda: measure(recipe))
    estimate = None
    if size is not None:
        look(lambda: _check_model(recipe, size))
        longest = work.longest if work is not None else None
        setting = Setting(machine, processes.count, processes.sharded, longest)
        estimate = memory.estimate(recipe, size, setting)
        if memory_check:
            look(lambda: memory.check(recipe, size, setting))
    checkpoint = kept[-1].name if kept else None
    return Plan(resolved, machine, processes, work, size, estimate, checkpoint, tuple(problems))


def _uses(recipe: Recipe) -> set[tuple[str, str]]:
    """The fields whose value is a word, with their words."""
    used = set()
    for name, value in flatten(recipe.model_dump(mode="json")).items():
        words = value if isinstance(value, list) else [value]
        used |= {(name, word) for word in words if isinstance(word, str)}
    return used


def _check_packages(recipe: Recipe, machine: Machine) -> None:
    used = _uses(recipe)
    if machine.device != "cuda":
        used -= set(_GPU_ONLY)  # refused already, and no package helps
    missing = {
        package: f"{name}={word}"
        for (name, word), (module, package) in _PACKAGES.items()
        if (name, word) in used and importlib.util.find_spec(module) is None
    }
    if missing:
        raise RecipeError(
            f"`pip install {' '.join(missing)}` first: {', '.join(missing.values())} needs it."
        )


def _check_device(recipe: Recipe, machine: Machine) -> None:
    if machine.device == "cuda":
        return
    used = _uses(recipe)
    if wrong := [f"{name}={word}" for name, word in _GPU_ONLY if (name, word) in used]:
        raise RecipeError(
            f"{', '.join(wrong)} needs a GPU and this machine has none that torch can use. On a "
            "CPU take model.attention=sdpa, method.kind=lora, optimisation.optimizer=adamw_torch."
        )


def _check_processes(machine: Machine, processes: Processes) -> None:
    if machine.device == "cuda" and processes.count > machine.devices:
        raise ResourcesError(
            f"There are {processes.count} processes and {machine.devices} GPUs: ask for at most "
            f"--processes {machine.devices}."
        )


def _examples(recipe: Recipe) -> Sequence[Example]:
    path = recipe.data.path
    if path is None:
        raise DataError(
            "There is no data to train on: give data.path=DIR, a folder that `mentalllama-train "
            "data prepare` wrote."
        )
    prepared = load_prepared(path)
    examples = chosen_examples(recipe, prepared.examples[Split.TRAIN])
    there = {example.set for example in examples}
    if missing := [name for name in recipe.data.sets or () if name not in there]:
        raise DataError(
            f"{path} has no training rows of {', '.join(missing)} that `data.origins` takes: leave "
            "them out of `data.sets`, or prepare data that holds them."
        )
    if not examples:
        raise DataError(f"{path} has no training rows that `data.sets` and `data.origins` take.")
    if recipe.evaluation.every and not prepared.examples[Split.VAL]:
        raise DataError(
            f"{path} has no validation rows to evaluate on while training: set "
            "evaluation.every=0, or prepare data that holds some."
        )
    return examples


def _check_model(recipe: Recipe, size: ModelSize) -> None:
    if size.context is not None and recipe.data.max_tokens > size.context:
        raise RecipeError(
            f"`data.max_tokens` is {recipe.data.max_tokens}, and {recipe.model.base} takes at most "
            f"{size.context}: set data.max_tokens={size.context}."
        )
    directory = Path(recipe.model.base)
    if recipe.model.base == EMBEDDED or not directory.is_dir():
        return
    if recipe.model.prompt_style == "chat" and not has_chat_template(directory):
        raise RecipeError(
            f"{directory} has no chat template: set model.prompt_style=bare, or name a model that "
            "follows instructions."
        )
    if not any(directory.glob("*.safetensors")):
        raise ModelFilesError(
            f"{directory} holds no safetensors weights; other formats can run code when they are "
            "opened and are refused. Convert them with transformers' save_pretrained."
        )
