"""The benchmark: everything in one run, its goals judged, as JSON and as a page.

    make bench           all of it, an hour or more on two cores
    make bench-quick     a shorter version of each measurement, about ten minutes

Nothing else should run beside it. Results go to `bench/`, which git ignores.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from loadtests import http_path, measures
from loadtests.bench import machine_facts
from loadtests.ceilings import Ceilings, measure_ceilings
from loadtests.field import Field, open_field
from loadtests.goals import Outcome, judge
from loadtests.measures import QUICK, Measured, Size
from loadtests.report import document, goal_table, to_json
from service.cli.failures import failures_reported
from service.cli.terminal import notice, output
from service.errors import InvalidRequestError
from training.evaluate.report_html import to_html
from training.evaluate.report_terminal import show_table
from training.files import write_text

RESULTS_FILE, PAGE_FILE = "bench.json", "bench.html"


@dataclass(frozen=True, slots=True)
class Run:
    """What a measurement is given."""

    bench: Field
    size: Size
    ceilings: Ceilings
    model: str
    logs: Path


Measure = Callable[[Run], Awaitable[Measured]]

NAMES: Mapping[str, Measure] = {
    "explained": lambda run: measures.explained(run.bench, run.size),
    "labels": lambda run: measures.labels(run.bench, run.size, run.ceilings),
    "questions": lambda run: measures.questions(run.bench, run.size),
    "http": lambda run: http_path.throughput(run.bench, run.size, run.model),
    "overhead": lambda run: http_path.overhead(run.bench, run.logs),
    "limits": lambda run: measures.limits(run.bench, run.size, run.ceilings),
    "latency": lambda run: measures.latency(run.bench, run.size),
    "lengths": lambda run: measures.lengths(run.bench, run.size),
    "explanation_share": lambda run: measures.explanation_share(run.bench, run.size),
    "concurrency": lambda run: measures.concurrency(run.bench, run.size),
    "growth": lambda run: measures.growth(run.bench, run.size),
}
"""All measurements by name, in the order in which they are made."""


async def run(model: str, size: Size, only: frozenset[str], folder: Path) -> list[Outcome]:
    """Measure, and write what was found after each measurement.

    Args:
        model: a name that `service.models.resolve_model` takes.
        size: how much.
        only: names of measurements; empty for all.
        folder: for results and logs.

    Raises:
        StartError: a server did not start.
        ModelError: there is no such model.
    """
    notice("Measuring the machine …")
    ceilings = measure_ceilings()
    facts = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": model,
        **machine_facts(),
    }
    done: list[Measured] = []
    outcomes = judge({})
    async with open_field(model, folder) as bench:
        given = Run(bench, size, ceilings, model, folder)
        for name, measure in NAMES.items():
            if only and name not in only:
                continue
            done.append(await measure(given))
            outcomes = judge({goal: value for one in done for goal, value in one.goals.items()})
            found = json.dumps(to_json(done, outcomes, facts), indent=2)
            write_text(folder / RESULTS_FILE, f"{found}\n")
            write_text(folder / PAGE_FILE, to_html(document(done, outcomes, facts)))
    return outcomes


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Measure less of everything.")] = False,
    only: Annotated[
        str, typer.Option(metavar="NAMES", help="Measurements, separated by commas.")
    ] = "",
    model: Annotated[str, typer.Option(help="`embedded`, a directory or a hub id.")] = "embedded",
    folder: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="Folder for results and logs.")
    ] = Path("bench"),
) -> None:
    """Measure the service beside its rivals, and judge the goals."""
    with failures_reported():
        folder.mkdir(parents=True, exist_ok=True)
        wanted = frozenset(name.strip() for name in only.split(",") if name.strip())
        if unknown := sorted(wanted - NAMES.keys()):
            raise InvalidRequestError(
                f"There is no measurement {', '.join(unknown)}; there are: {', '.join(NAMES)}."
            )
        outcomes = asyncio.run(run(model, QUICK if quick else Size(), wanted, folder))
        show_table(goal_table(outcomes), output())
        output().print(f"Results: {folder / RESULTS_FILE} and {folder / PAGE_FILE}")


if __name__ == "__main__":
    typer.run(main)
