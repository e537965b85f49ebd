"""How far a run is, on standard error: a bar where a person watches, a line now and then else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from service.bulk.tally import Tally
from service.cli.terminal import notice, notices

_QUESTIONS = 3
_LINE_SECONDS = 30.0


class Shown:
    """A run's progress; called with what was counted over rows that are kept.

    Args:
        rows: how many there are.
        before: what was counted over rows that were kept before.
    """

    def __init__(self, rows: int, before: Tally) -> None:
        self.tally = before.model_copy(deep=True)
        self._rows = rows
        self._before = before.rows
        self._since = time.monotonic()
        self._line = self._since
        console = notices()
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                BarColumn(),
                TaskProgressColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[counts]}"),
                console=console,
            )
            self._task = self._bar.add_task("", total=rows, rate="", counts="")
            self._show()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the bar until the block is left."""
        if self._bar is None:
            yield
        else:
            with self._bar:
                yield

    def __call__(self, more: Tally) -> None:
        """Count more."""
        self.tally.merge(more)
        if self._bar is not None:
            self._show()
        elif time.monotonic() - self._line >= _LINE_SECONDS:
            self._line = time.monotonic()
            said = self._said()
            left = (self._rows - self.tally.rows) / self.rate if self.rate else 0
            notice(
                f"{self.tally.rows:,} of {self._rows:,} rows, {said['rate']}, about "
                f"{left / 60:,.0f} minutes left. {said['counts']}"
            )

    def loaded(self) -> None:
        """Count the time from now on: loading is over."""
        self._since = time.monotonic()

    @property
    def rows(self) -> int:
        """Rows that were analysed since the beginning of this process."""
        return self.tally.rows - self._before

    @property
    def seconds(self) -> float:
        """How long that took."""
        return time.monotonic() - self._since

    @property
    def rate(self) -> float:
        """Rows a second, in this process."""
        return self.rows / self.seconds if self.seconds else 0.0

    def _show(self) -> None:
        assert self._bar is not None
        said = self._said()
        self._bar.update(
            self._task, completed=self.tally.rows, rate=said["rate"], counts=said["counts"]
        )

    def _said(self) -> dict[str, str]:
        return {"rate": f"{self.rate:,.1f} rows/s", "counts": counted(self.tally)}


def counted(tally: Tally) -> str:
    """What was counted, in a line: the labels of a few questions, and how many rows failed."""
    said = []
    for name, counts in list(tally.questions.items())[:_QUESTIONS]:
        labels = sorted(counts.labels.items(), key=lambda one: -one[1])[:_QUESTIONS]
        shares = [f"{label} {count / counts.answers:.0%}" for label, count in labels]
        if counts.abstained:
            shares.append(f"undecided {counts.abstained / counts.answers:.0%}")
        said.append(f"{name}: {', '.join(shares)}")
    if more := len(tally.questions) - len(said):
        said.append(f"{more} more")
    if failed := sum(tally.failed.values()):
        said.append(f"{failed:,} failed")
    return "; ".join(said)
