"""Several processes: accelerate's launcher with one of the configurations that ship.

`mentalllama-train sft … --processes N` starts itself N times through `accelerate launch`. The
started processes find themselves in a distributed run by the environment that accelerate sets, and
so does one that a person started with `accelerate launch` by hand.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from training.errors import TrainingError, UsageError
from training.sft.recipe_file import ACCELERATE


@dataclass(frozen=True, slots=True)
class Processes:
    """How a run is divided.

    Attributes:
        count: processes in all.
        sharded: whether weights, gradients and the optimizer's state are divided among them.
        config: accelerate's configuration, where this process is to start the others; else None.
        first: whether this process speaks for all.
    """

    count: int = 1
    sharded: bool = False
    config: Path | None = None
    first: bool = True


def shipped_configurations() -> tuple[str, ...]:
    """Names of the configurations of accelerate that come with the package."""
    return tuple(sorted(path.stem for path in ACCELERATE.glob("*.yaml")))


def plan_processes(
    count: int,
    config: str | None,
    device: Literal["cpu", "cuda"],
    environment: Mapping[str, str] = os.environ,
) -> Processes:
    """Say how a run is divided.

    Args:
        count: processes that were asked for.
        config: a shipped configuration's name or a file of accelerate's; None for the device's own.
        device: what computes.
        environment: the process's.

    Raises:
        UsageError: there is no such configuration, or one process of a distributed run was asked
            to start others.
    """
    if (started := int(environment.get("WORLD_SIZE", "1"))) > 1:
        if count > 1 or config is not None:
            raise UsageError(
                "This process is one of several already: leave --processes and --accelerate out, "
                "or start without `accelerate launch`."
            )
        uses = (environment.get(f"ACCELERATE_USE_{way}") for way in ("FSDP", "DEEPSPEED"))
        return Processes(started, "true" in uses, first=environment.get("RANK", "0") == "0")
    if count == 1 and config is None:
        return Processes()
    name = config or ("fsdp2" if device == "cuda" else "cpu_two_processes")
    path = ACCELERATE / f"{name}.yaml" if name in shipped_configurations() else Path(name)
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        sharded = settings["distributed_type"] in ("FSDP", "DEEPSPEED")
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        raise UsageError(
            f"--accelerate {name}: this is no configuration of accelerate. Name a file that "
            f"`accelerate config` wrote, or one of: {', '.join(shipped_configurations())}."
        ) from None
    return Processes(count, sharded, path)


def command(processes: Processes, arguments: Sequence[str]) -> list[str]:
    """The command that starts `mentalllama-train` with these arguments in all processes.

    Args:
        processes: with a configuration.
        arguments: from `sft` on.
    """
    return [
        "accelerate",
        "launch",
        "--config_file",
        str(processes.config),
        "--num_processes",
        str(processes.count),
        "--module",
        "training.cli.main",
        *arguments,
    ]


def start(processes: Processes, arguments: Sequence[str]) -> None:
    """Start all processes and wait for their end.

    Raises:
        TrainingError: they ended with an error, which they have told themselves.
        KeyboardInterrupt: a person interrupted them, and they have ended.
    """
    # By module, since the environment's programs need not be on the path.
    line = [sys.executable, "-m", "training.sft.launcher"]
    line += command(processes, arguments)[2:]
    with subprocess.Popen(line) as launched:
        try:
            code = launched.wait()
        except KeyboardInterrupt:
            launched.wait()  # the terminal interrupted them too; let them end in order
            raise
    if code:
        raise TrainingError(
            f"One of {processes.count} processes failed; what it said stands above. The same "
            "command goes on from the last checkpoint."
        )
