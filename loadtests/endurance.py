"""Long runs: does the service stay honest under too much work, and the same after hours of it?

    make overload        four times what it can do, for five minutes
    make soak            as much as it can do well, for ten minutes, with clients that misbehave

Both say what must hold, what was seen, and end with 1 where something did not hold. They write
JSON and a page with memory and latency over time, without any post, to `endurance/`. Nothing else
should run beside them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from loadtests.bench import machine_facts
from loadtests.endured import Endured, document, to_json, verdict_table
from loadtests.field import Field, open_field
from loadtests.overload import Load, overload
from loadtests.servers import stopped_by_signals
from loadtests.soak import soak
from loadtests.workload import mixed
from service.cli.exit_codes import ExitCode
from service.cli.failures import failures_reported
from service.cli.terminal import notice, output
from training.evaluate.report_html import to_html
from training.evaluate.report_terminal import show_table
from training.files import write_text

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Folder = Annotated[Path, typer.Option("--output", metavar="DIR", help="For results and the log.")]
Model = Annotated[str, typer.Option(help="`embedded`, a directory or a hub id.")]
Run = Callable[[Field], Awaitable[Endured]]

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
    load = Load(minutes * 60, times, deadline)

    async def run(bench: Field) -> Endured:
        server = await bench.ours()
        items = mixed(POSTS, bench.count, seed=1000)
        return await overload(bench.web, server.url, server.process.pid, items, load)

    _report("overload", model, folder, run)


@app.command("soak")
def _soak(
    minutes: Annotated[float, typer.Option(min=0.05, help="How long.")] = 10.0,
    model: Model = "embedded",
    folder: Folder = Path("endurance"),
) -> None:
    """Keep the service busy with every kind of work, broken and abandoned requests among it."""

    async def run(bench: Field) -> Endured:
        server = await bench.ours()
        items = mixed(POSTS, bench.count, seed=1100)
        return await soak(bench.web, server.url, server.process.pid, items, minutes * 60)

    _report("soak", model, folder, run)


def _report(name: str, model: str, folder: Path, run: Run) -> None:
    with failures_reported():
        folder.mkdir(parents=True, exist_ok=True)
        with stopped_by_signals():
            endured = asyncio.run(_run(model, folder.resolve(), run))
        facts = {"model": model, **machine_facts()}
        found = json.dumps(to_json(endured, facts), indent=2)
        write_text(folder / f"{name}.json", f"{found}\n")
        write_text(folder / f"{name}.html", to_html(document(endured, facts)))
        show_table(verdict_table(endured), output())
        output().print(f"Results: {folder / name}.json and {folder / name}.html")
        if not all(verdict.held for verdict in endured.verdicts):
            raise typer.Exit(ExitCode.FAILURE)


async def _run(model: str, folder: Path, run: Run) -> Endured:
    async with open_field(model, folder) as bench:
        notice("Each post is read alone, then the service's capacity is measured.")
        return await run(bench)


if __name__ == "__main__":
    app()
