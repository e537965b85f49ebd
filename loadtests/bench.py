"""The benchmark: the service beside its baselines and beside the machine's limit, in one run.

    make bench           about half an hour on two cores; ARGS=--quick takes a few minutes

Nothing else should run beside it. `bench/bench.json` is written anew after each measurement: what
an interrupted run had measured is there. A measurement that fails is named and the others go on.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from loadtests import measurements
from loadtests.engine import machine_facts
from loadtests.measurements import Measure
from loadtests.servers import StartError, stopped_by_signals
from loadtests.testbed import QUICK, Measured, Size, Testbed
from service.cli.exit_codes import ExitCode
from service.cli.failures import failures_reported
from service.cli.terminal import notice, output
from service.errors import InvalidRequestError
from training.evaluate.document import Table
from training.evaluate.report_terminal import show_table
from training.files import write_text

RESULTS_FILE = "bench.json"


class Figure(NamedTuple):
    """A figure of the table: what it is, with its unit, and its bounds, where it has a target."""

    what: str
    at_least: float | None = None
    at_most: float | None = None

    def met(self, value: float) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if self.at_least is not None:
            return value >= self.at_least
        return None if self.at_most is None else value <= self.at_most

    def target(self) -> str:
        """The target in words."""
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return "" if self.at_most is None else f"at most {self.at_most:g}"


FIGURES: Mapping[str, Figure] = {
    "start.ready": Figure("start to ready with all caches filled, s", at_most=25),
    "stability.flips": Figure("share of labels that differ among 64 requests", at_most=0.001),
    "stability.difference": Figure("largest difference of a probability in that"),
    "labels.sharing": Figure("the post before the question over after it, times"),
    "explained.rate": Figure("label and explanation of one question, posts/s"),
    "explained.chat": Figure("over a plain vLLM server's chat completions, times", 1.1),
    "explained.transformers": Figure("over transformers.generate in batches of 8, times", 15),
    "labels.rate": Figure("labels of all questions, posts/s"),
    "labels.reads": Figure("over a plain vLLM server's one-token reads, times", 1.5),
    "labels.chat": Figure("over its chat completions, times", 10),
    "labels.questions": Figure("cost of all questions over one, 300 tokens, times", at_most=2.5),
    "limit.prefill": Figure("prefill, share of the measured matrix products", 0.5),
    "limit.decode": Figure("one stream, share of the measured bandwidth", 0.6),
    "limit.decode.rate": Figure("one stream, tokens/s"),
    "latency.first_label": Figure("95th percentile at 70% load over alone, times", at_most=2),
    "latency.first_label.p95": Figure("first label at 70% load, 95th percentile ms"),
    "latency.answer.p95": Figure("whole explained answer at 70% load, 95th percentile ms"),
    "latency.goodput": Figure("share within five times alone's 95th percentiles at 70% load"),
}
"""All figures by name, in the order of the table."""

NAMES: Mapping[str, Measure] = {
    # The first three before the servers are started, which stay to the end.
    "start": measurements.start,
    "stability": measurements.stability,
    "sharing": measurements.sharing,
    "explained": measurements.explained,
    "labels": measurements.labels,
    "questions": measurements.questions,
    "limits": measurements.limits,
    "latency": measurements.latency,
}
"""All measurements by name, in the order in which they are made."""


@dataclass(slots=True)
class Report:
    """What was found so far.

    Attributes:
        file: where it is written.
        facts: of the machine and the run.
        done: measurements that ended, by name.
        failed: name of one that did not to the kind of its failure.
        seconds: that each took.
    """

    file: Path
    facts: dict[str, Any]
    done: dict[str, Measured] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def write(self) -> None:
        """Write the file, whole or not at all."""
        found = {
            "schema_version": 2,
            **self.facts,
            "seconds": self.seconds,
            "failed": self.failed,
            "failed_requests": {name: one.failed_requests for name, one in self.done.items()},
            "figures": {
                name: {**FIGURES[name]._asdict(), "value": value, "met": FIGURES[name].met(value)}
                for one in self.done.values()
                for name, value in one.figures.items()
            },
            "measurements": {name: one.rows for name, one in self.done.items()},
        }
        write_text(self.file, f"{json.dumps(found, indent=2)}\n")

    def table(self) -> Table:
        """What was measured, for a person."""
        found = {name: value for one in self.done.values() for name, value in one.figures.items()}
        verdicts = {True: "met", False: "not met", None: ""}
        rows = tuple(
            (name, one.what, f"{value:.3g}", one.target(), verdicts[one.met(value)])
            for name, one in FIGURES.items()
            if (value := found.get(name)) is not None
        )
        lost = sum(one.failed_requests for one in self.done.values())
        note = f"{lost} requests failed; {self.file.name} says which." if lost else ""
        return Table("Benchmark", ("Figure", "What", "Measured", "Target", ""), rows, note)


async def run(
    model: str, size: Size, names: Sequence[str], folder: Path, options: Sequence[str] = ()
) -> Report:
    """Measure, and write what was found after each measurement.

    Args:
        model: a name that `service.models.resolve_model` takes.
        size: how much.
        names: of measurements, in order.
        folder: for the result and logs.
        options: of vLLM, for ours and the plain server alike.

    Raises:
        ModelError: there is no such model.
    """
    created = datetime.now(UTC).isoformat(timespec="seconds")
    facts = {"created": created, "model": model, "options": list(options), "size": asdict(size)}
    report = Report(folder / RESULTS_FILE, {**facts, **machine_facts()})
    async with AsyncExitStack() as stack:
        bed = Testbed(model, size, folder, options, stack)
        report.facts["dtype"] = bed.dtype
        for number, name in enumerate(names, 1):
            notice(f"[{number}/{len(names)}] {name}")
            begun = time.monotonic()
            try:
                report.done[name] = await NAMES[name](bed)
            except Exception as error:  # noqa: BLE001 - an hour of others must not be lost
                # A StartError's message is ours; another exception's text could hold a request's.
                report.failed[name] = type(error).__name__
                why = str(error) if isinstance(error, StartError) else type(error).__name__
                notice(f"{name} failed: {why}")
            report.seconds[name] = round(time.monotonic() - begun, 1)
            report.write()
    return report


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Measure less of everything.")] = False,
    only: Annotated[str, typer.Option(help="Measurements, separated by commas.")] = "",
    times: Annotated[int, typer.Option(min=1, help="So many times the posts.")] = 1,
    concurrency: Annotated[int, typer.Option(min=1, help="Open requests.")] = Size().concurrency,
    model: Annotated[str, typer.Option(help="`embedded`, a directory or a hub id.")] = "embedded",
    options: Annotated[str, typer.Option(help="Of vLLM, for both servers, in quotes.")] = "",
    folder: Annotated[Path, typer.Option("--output", help="For results and logs.")] = Path("bench"),
) -> None:
    """Measure the service beside its baselines and beside the machine's limit."""
    with failures_reported():
        wanted = [name for one in only.split(",") if (name := one.strip())]
        if unknown := sorted(set(wanted) - NAMES.keys()):
            raise InvalidRequestError(
                f"There is no measurement {', '.join(unknown)}. Use one of: {', '.join(NAMES)}."
            )
        try:
            given = shlex.split(options)
        except ValueError as error:
            raise InvalidRequestError(f"--options cannot be read: {error}.") from None
        size = QUICK if quick else Size()
        posts = {one: getattr(size, one) * times for one in ("explained", "labelled", "few")}
        size = replace(size, concurrency=concurrency, **posts)
        folder.mkdir(parents=True, exist_ok=True)
        names = [name for name in NAMES if not wanted or name in wanted]
        with stopped_by_signals():
            report = asyncio.run(run(model, size, names, folder.resolve(), given))
        show_table(report.table(), output())
        output().print(f"Results: {folder / RESULTS_FILE}")
        if report.failed:
            notice(f"Failed: {', '.join(report.failed)}")
            raise typer.Exit(ExitCode.FAILURE)


if __name__ == "__main__":
    typer.run(main)
