"""The benchmark: everything in one run, its goals judged, as JSON and as a page.

    make bench           all of it, an hour or more on two cores
    make bench-quick     a shorter version of each measurement, about ten minutes

Nothing else should run beside it. Results go to `bench/`, which git ignores, and are written anew
after each measurement: what an interrupted run had measured is there. A measurement that fails is
told, in the results too, and the others go on.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from loadtests import growth, http_path, knee, measures, paper, rivals, stability, start
from loadtests.bench import machine_facts
from loadtests.ceilings import Ceilings, measure_ceilings
from loadtests.field import Field, open_field
from loadtests.goals import Outcome, judge
from loadtests.measured import QUICK, Measured, Size
from loadtests.report import document, goal_table, to_json
from loadtests.servers import StartError, stopped_by_signals
from service.cli.exit_codes import ExitCode
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
    folder: Path


Measure = Callable[[Run], Awaitable[Measured]]


def _ceilings_now(run: Run) -> Ceilings:
    """What the machine can do by now: a virtual one lost a third of it within an hour.

    A GPU's memory belongs to the servers by then, and its speed holds.
    """
    return measure_ceilings() if run.ceilings.device == "cpu" else run.ceilings


async def _paper(run: Run) -> Measured:
    return paper.estimate(run.bench.count)


NAMES: Mapping[str, Measure] = {
    # Before the servers are started, which stay to the end.
    "start": lambda run: start.starts(run.size, run.model, run.folder),
    "stability": lambda run: stability.stability(run.size, run.model, run.folder),
    "overhead": lambda run: http_path.overhead(run.bench, run.folder),
    "explained": lambda run: rivals.explained(run.bench, run.size),
    "labels": lambda run: rivals.labels(run.bench, run.size, _ceilings_now(run)),
    "questions": lambda run: measures.questions(run.bench, run.size),
    "limits": lambda run: measures.limits(run.bench, run.size, _ceilings_now(run)),
    "latency": lambda run: knee.latency(run.bench, run.size),
    "lengths": lambda run: measures.lengths(run.bench, run.size),
    "explanation_share": lambda run: measures.explanation_share(run.bench, run.size),
    "concurrency": lambda run: measures.concurrency(run.bench, run.size),
    "growth": lambda run: growth.growth(run.bench, run.size),
    "http": lambda run: http_path.throughput(run.bench, run.size, run.model),
    "paper": _paper,
}
"""All measurements by name, in the order in which they are made."""


@dataclass(slots=True)
class Report:
    """What was found so far, and where it is written.

    Attributes:
        folder: for the files.
        facts: of the machine and the run.
        done: measurements that ended.
        failed: name of one that did not to the kind of its failure.
        seconds: that each took.
    """

    folder: Path
    facts: dict[str, Any]
    done: list[Measured]
    failed: dict[str, str]
    seconds: dict[str, float]

    def outcomes(self) -> list[Outcome]:
        """The goals, judged by what was measured."""
        return judge(
            {
                goal: (value, f"{note}; {one.errors} requests failed" if one.errors else note)
                for one in self.done
                for goal, (value, note) in one.goals.items()
            }
        )

    def write(self) -> None:
        """Write both files, each whole or not at all."""
        facts = {**self.facts, "seconds": self.seconds, "failed": self.failed}
        outcomes = self.outcomes()
        found = json.dumps(to_json(self.done, outcomes, facts), indent=2)
        write_text(self.folder / RESULTS_FILE, f"{found}\n")
        write_text(self.folder / PAGE_FILE, to_html(document(self.done, outcomes, facts)))


async def run(
    model: str,
    size: Size,
    names: Sequence[str],
    folder: Path,
    quick: bool,
    options: Sequence[str] = (),
) -> Report:
    """Measure, and write what was found after each measurement.

    Args:
        model: a name that `service.models.resolve_model` takes.
        size: how much.
        names: of measurements, in order.
        folder: for results and logs.
        quick: whether this is the short version, for the record.
        options: options of vLLM, for ours and the plain server alike.

    Raises:
        ModelError: there is no such model.
    """
    notice("Measuring the machine …")
    ceilings = measure_ceilings()
    facts = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": "quick" if quick else "full",
        "model": model,
        "device": ceilings.device,
        "options": list(options),
        "size": asdict(size),
        **machine_facts(),
    }
    report = Report(folder, facts, [], {}, {})
    async with open_field(model, folder, options) as bench:
        given = Run(bench, size, ceilings, model, folder)
        for number, name in enumerate(names, 1):
            notice(f"[{number}/{len(names)}] {name}")
            begun = time.monotonic()
            try:
                report.done.append(await NAMES[name](given))
            except Exception as error:  # noqa: BLE001 - an hour of others must not be lost
                # A server's log may be told; another exception's text could hold a request's.
                report.failed[name] = type(error).__name__
                why = str(error) if isinstance(error, StartError) else type(error).__name__
                notice(f"{name} failed: {why}")
            report.seconds[name] = round(time.monotonic() - begun, 1)
            report.write()
    return report


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Measure less of everything.")] = False,
    only: Annotated[
        str, typer.Option(metavar="NAMES", help="Measurements, separated by commas.")
    ] = "",
    most_posts: Annotated[
        int, typer.Option(min=1000, help="Of `growth`: the most posts, such as 100000.")
    ] = 10_000,
    times: Annotated[
        int, typer.Option(min=1, help="So many times the posts, for what is much faster.")
    ] = 1,
    rounds: Annotated[int, typer.Option(min=0, help="Rounds, in place of the usual.")] = 0,
    concurrency: Annotated[
        int, typer.Option(min=0, help="Requests that are open at once, in place of the usual.")
    ] = 0,
    model: Annotated[str, typer.Option(help="`embedded`, a directory or a hub id.")] = "embedded",
    options: Annotated[
        str,
        typer.Option(
            help="Options of vLLM for both servers, such as '--gpu-memory-utilization 0.45'."
        ),
    ] = "",
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
        names = [name for name in NAMES if not wanted or name in wanted]
        try:
            given = shlex.split(options)
        except ValueError as error:
            raise InvalidRequestError(f"--options cannot be read: {error}.") from None
        size = (QUICK if quick else Size()).enlarged(times, rounds, concurrency)
        if most_posts > max(size.growth) and not quick:
            size = replace(size, growth=(*size.growth, most_posts))
        with stopped_by_signals():
            report = asyncio.run(run(model, size, names, folder.resolve(), quick, given))
        show_table(goal_table(report.outcomes()), output())
        output().print(f"Results: {folder / RESULTS_FILE} and {folder / PAGE_FILE}")
        if report.failed:
            notice(f"Failed: {', '.join(report.failed)}")
            raise typer.Exit(ExitCode.FAILURE)


if __name__ == "__main__":
    typer.run(main)
