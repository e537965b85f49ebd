"""Asking a model everything that a run wants to know, and keeping each answer as it comes.

The ways are gone through one after the other: label reads of all rows first, then explanations,
then free-form responses. Within a way rows with the same post are asked together, and a bounded
number of posts is in flight; the engine batches them. What the journal holds is not asked again.

An engine that fails on one post is passed over: the journal has nothing on it, so that the next run
asks again. Many failures in a row mean that the engine is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from service.analysis.analyzer import Analyzer
from service.errors import EngineError, OverloadedError
from training.data.example import Example
from training.evaluate.answers import Decoding, ask
from training.evaluate.free_form import respond
from training.evaluate.journal import Journal, Outcome, Way
from training.evaluate.selection import Selection
from training.workers import work_through

CONCURRENCY = 32
"""Posts in flight."""

_GIVE_UP = 10
"""Failures of the engine in a row."""

Progress = Callable[[Way, int, int], None]
"""Told how many rows of a way are done, and how many there are."""


def missing(selection: Selection, journal: Journal, way: Way) -> list[Example]:
    """The rows that are still to be asked in a way."""
    return [one for one in selection.in_way(way) if journal.get(one.id, way) is None]


def is_complete(selection: Selection, journal: Journal) -> bool:
    """Whether nothing is left to ask."""
    return not any(missing(selection, journal, way) for way in Way)


async def ask_all(
    analyzer: Analyzer,
    selection: Selection,
    journal: Journal,
    decoding: Decoding,
    progress: Progress,
    concurrency: int = CONCURRENCY,
) -> int:
    """Ask what the journal does not hold yet.

    Cancelling it leaves the journal whole, with what came until then.

    Returns:
        How many rows the engine failed on, in all ways together.

    Raises:
        EngineError, OverloadedError: the engine failed many times in a row.
    """
    failed = 0
    for way in Way:
        todo = missing(selection, journal, way)
        if todo:
            total = len(selection.in_way(way))
            work = _Work(analyzer, journal, decoding, way, total - len(todo), total, progress)
            failed += await work.run(_groups(todo, way), concurrency)
    return failed


class _Work:
    """Asking some rows in one way."""

    def __init__(
        self,
        analyzer: Analyzer,
        journal: Journal,
        decoding: Decoding,
        way: Way,
        done: int,
        total: int,
        progress: Progress,
    ) -> None:
        self._analyzer = analyzer
        self._journal = journal
        self._decoding = decoding
        self._way = way
        self._done = done
        self._total = total
        self._progress = progress
        self._failed = 0
        self._in_a_row = 0

    async def run(self, groups: Sequence[Sequence[Example]], concurrency: int) -> int:
        """Ask all groups, rows of one post each; how many rows the engine failed on."""
        self._progress(self._way, self._done, self._total)
        await work_through(list(enumerate(groups)), self._take, concurrency)
        return self._failed

    async def _take(self, waiting: tuple[int, Sequence[Example]]) -> None:
        number, group = waiting
        try:
            outcomes = await self._ask(group, f"{self._way}-{number}")
        except (EngineError, OverloadedError):
            self._failed += len(group)
            self._in_a_row += 1
            if self._in_a_row == _GIVE_UP:
                raise
            return
        self._in_a_row = 0
        for outcome in outcomes:
            self._journal.add(outcome)
        self._done += len(outcomes)
        self._progress(self._way, self._done, self._total)

    async def _ask(self, group: Sequence[Example], request_id: str) -> list[Outcome]:
        if self._way is Way.FREE_FORM:
            [example] = group
            return [await respond(self._analyzer, example, self._decoding, request_id)]
        return await ask(self._analyzer, group, self._way, self._decoding, request_id)


def _groups(rows: Sequence[Example], way: Way) -> list[list[Example]]:
    """Rows that are asked together: those of one post, and a response alone."""
    if way is Way.FREE_FORM:
        return [[row] for row in rows]
    posts: dict[str, list[Example]] = {}
    for row in rows:
        posts.setdefault(row.post, []).append(row)
    return list(posts.values())
