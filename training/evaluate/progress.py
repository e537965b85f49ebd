"""How far a run is, on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from service.cli.terminal import notice, notices
from training.evaluate.journal import Way
from training.evaluate.runner import Progress

_EVERY = 30.0
"""Seconds between lines."""
_NAMES: Mapping[Way, str] = {
    Way.READ: "Label reads",
    Way.EXPLAINED: "Explanations",
    Way.FREE_FORM: "Free-form responses",
}


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Give what `training.evaluate.run.run` takes for its progress."""
    console = notices()
    if not console.is_terminal:
        lines = ProgressLines()
        yield lambda way, done, total: lines(_NAMES[way], done, total)
        return
    with Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as bars:
        tasks: dict[Way, TaskID] = {}

        def show(way: Way, done: int, total: int) -> None:
            if way not in tasks:
                tasks[way] = bars.add_task(_NAMES[way], total=total, completed=done)
            bars.update(tasks[way], completed=done)

        yield show


class _Rate(ProgressColumn):
    """Rows a second, in the last half minute."""

    def render(self, task: Task) -> Text:
        """One cell."""
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


class ProgressLines:
    """A line at the beginning and the end of each step, and every half minute between."""

    def __init__(self) -> None:
        self._begun: dict[str, tuple[float, int]] = {}
        self._last = 0.0

    def __call__(self, step: str, done: int, total: int) -> None:
        """Say how far a step is, unless it was said just now."""
        now = time.monotonic()
        first = step not in self._begun
        began, before = self._begun.setdefault(step, (now, done))
        if not first and done < total and now - self._last < _EVERY:
            return
        self._last = now
        rate = (done - before) / (now - began) if now > began else 0.0
        speed = f", {rate:.1f}/s" if rate else ""
        left = f", {(total - done) / rate:.0f} s left" if rate and done < total else ""
        notice(f"{step}: {done} of {total}{speed}{left}")
