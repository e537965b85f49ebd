"""A plan as a person reads it, on standard output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from service.cli.terminal import output, plain
from training.sft.memory import gibibytes
from training.sft.overrides import ADAPTER
from training.sft.plan import Plan
from training.sft.recipe import flatten

_PROSE = frozenset({"name", "description", "source", "unknown"})


def show(plan: Plan) -> None:
    """Print the recipe, where each of its values is from, and what the run would be."""
    console = output()
    recipe = plan.recipe
    console.print(Text(f"{recipe.name}: {recipe.description}", style="bold"))
    if recipe.source:
        console.print(Text(f"Numbers: {recipe.source}", style="dim"))
    console.print(_fields(plan))
    console.print(_run(plan))
    if plan.work is not None:
        console.print(_sets(plan))


def _fields(plan: Plan) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Field", no_wrap=True)
    table.add_column("Value", overflow="fold")
    table.add_column("From", no_wrap=True)
    for name, value in flatten(plan.recipe.model_dump(mode="json")).items():
        if name in _PROSE or (name in ADAPTER and plan.recipe.method.kind == "full"):
            continue
        source = plan.resolved.sources[name]
        said = (
            f"{source}, assumed" if name in plan.recipe.unknown and source == "recipe" else source
        )
        style = {"default": "dim", "override": "bold"}.get(source, "")
        table.add_row(name, Text(plain(_written(value))), said, style=style)
    return table


def _written(value: Any) -> str:
    """A value as it is written in a recipe."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return f"[{', '.join(_written(one) for one in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_written(one)}' for key, one in value.items())}}}"
    return str(value)


def _run(plan: Plan) -> Table:
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _facts(plan):
        table.add_row(name, Text(plain(value)))
    return table


def _facts(plan: Plan) -> Iterator[tuple[str, str]]:
    machine, free = plan.machine, plan.machine.free
    room = f", {gibibytes(free)} free" if free is not None else ""
    several = f"{machine.devices} x " if machine.devices > 1 else ""
    yield "Machine", f"{several}{machine.name}{room}"
    divided = "one process" if plan.processes.count == 1 else f"{plan.processes.count} processes"
    yield "Processes", f"{divided}, weights sharded" if plan.processes.sharded else divided
    if plan.command:
        yield "Command", plan.command
    if plan.size is not None:
        size = plan.size
        yield (
            "Model",
            f"{size.architecture}, {size.parameters / 1e6:,.1f} million weights, "
            f"{size.trained / 1e6:,.1f} million trained",
        )
    if plan.estimate is not None:
        parts = ", ".join(
            f"{part.name} {gibibytes(getattr(plan.estimate, part.name))}"
            for part in fields(plan.estimate)
        )
        yield "Memory, about", f"{gibibytes(plan.estimate.total)}: {parts}"
    if plan.work is not None:
        work = plan.work
        yield (
            "Work, about",
            f"{work.sequences:,} sequences and {work.tokens:,} tokens an epoch, "
            f"{work.steps:,} steps in all",
        )
    yield "Output", str(plan.recipe.output)
    if plan.checkpoint:
        yield "Goes on from", plan.checkpoint


def _sets(plan: Plan) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Set", no_wrap=True)
    for name in ("Rows", "Explained", "Posts"):
        table.add_column(name, justify="right")
    for part in plan.work.sets if plan.work else ():
        table.add_row(part.set, f"{part.rows:,}", f"{part.explained:,}", f"{part.posts:,}")
    return table
