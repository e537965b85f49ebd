"""Long runs, each answer checked: too much work, and as much work as the service can do well.

    make overload        four times what it can do, for five minutes
    make soak            60% of what it can do, for ten minutes, with clients that misbehave

They print what must hold and what was seen, write it as JSON to `endurance/`, without any post, and
end with 1 where something did not hold. Nothing else should run beside them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from loadtests.checked import LongRun
from loadtests.engine import machine_facts
from loadtests.overload import overload
from loadtests.servers import ours, stopped_by_signals
from loadtests.soak import soak
from loadtests.workload import Item, count_tokens, mixed
from service.cli.exit_codes import ExitCode
from service.cli.failures import failures_reported
from service.cli.terminal import notice, output
from service.models import resolve_model
from training.evaluate.report_terminal import show_table
from training.files import write_text

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Folder = Annotated[Path, typer.Option("--output", metavar="DIR", help="For results and the log.")]
Model = Annotated[str, typer.Option(help="`embedded`, a directory or a hub id.")]
Run = Callable[[str, int, Sequence[Item]], Awaitable[LongRun]]

POSTS = 96
"""How many different posts are asked about; each is read alone first."""


@app.command("overload")
def _overload(
    minutes: Annotated[float, typer.Option(min=0.05, help="How long.")] = 5.0,
    times: Annotated[float, typer.Option(min=1.0, help="Of what the service can do.")] = 4.0,
    deadline: Annotated[float, typer.Option(min=1.0, help="Seconds, on each request.")] = 30.0,
    model: Model = "embedded",
    folder: Folder = Path("endurance"),
) -> None:
    """Send several times as much as the service can do."""
    run = partial(overload, seconds=minutes * 60, times=times, deadline=deadline)
    _report("overload", model, folder, run)


@app.command("soak")
def _soak(
    minutes: Annotated[float, typer.Option(min=0.05, help="How long.")] = 10.0,
    model: Model = "embedded",
    folder: Folder = Path("endurance"),
) -> None:
    """Keep the service busy with every kind of work, invalid and abandoned requests among it."""
    _report("soak", model, folder, partial(soak, seconds=minutes * 60))


def _report(name: str, model: str, folder: Path, run: Run) -> None:
    with failures_reported():
        folder.mkdir(parents=True, exist_ok=True)
        with stopped_by_signals():
            found = asyncio.run(_run(model, folder.resolve() / f"{name}.log", run))
        facts = {"model": model, **machine_facts(), **asdict(found)}
        write_text(folder / f"{name}.json", f"{json.dumps(facts, indent=2)}\n")
        show_table(found.table(), output())
        output().print(f"Results: {folder / name}.json")
        if not all(check.passed for check in found.checks):
            raise typer.Exit(ExitCode.FAILURE)


async def _run(model: str, log: Path, run: Run) -> LongRun:
    items = mixed(POSTS, count_tokens(resolve_model(model, announce=notice).path), seed=1000)
    notice("Starting the server …")
    async with ours(model, log) as server:
        notice("Each post is read alone, then the service's capacity is measured.")
        return await run(server.url, server.process.pid, items)


if __name__ == "__main__":
    app()
