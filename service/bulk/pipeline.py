"""Rows through an answerer, many at a time, into parts that are kept as they become whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from service.bulk.answering import Answer, failed
from service.bulk.parts import PART_ROWS, Parts
from service.bulk.records import Outcome, Records
from service.bulk.sources import Row
from service.bulk.tally import Tally

Told = Callable[[Tally], None]
"""Told what was counted over rows that are now kept."""


@dataclass(slots=True)
class _Part:
    rows: list[Row] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    missing: int = 0


def part_count(rows: int) -> int:
    """How many parts so many rows make."""
    return -(-rows // PART_ROWS)


def rows_of(number: int, rows: int) -> int:
    """How many of so many rows a part has."""
    return min(PART_ROWS, rows - number * PART_ROWS)


def keep(
    parts: Parts, records: Records, number: int, rows: list[Row], outcomes: list[Outcome]
) -> Tally:
    """Keep a whole part.

    Returns:
        What was counted over its rows.

    Raises:
        OutputError: it cannot be written.
    """
    first = number * PART_ROWS
    made = [
        record
        for place, (row, outcome) in enumerate(zip(rows, outcomes, strict=True))
        for record in records.of(first + place, row, outcome)
    ]
    tally = Tally.of(outcomes)
    parts.write(number, made, records.schema, tally)
    return tally


def failed_row(row: Row) -> Outcome:
    """The outcome of a row without a text."""
    assert row.error is not None
    return failed(row.error)


async def analyse(
    rows: Iterable[Row],
    total: int,
    answer: Answer,
    parts: Parts,
    records: Records,
    told: Told,
    concurrency: int,
) -> None:
    """Analyse every row whose part is not kept yet.

    Args:
        rows: all rows, in order.
        total: how many they are.
        answer: answers on one text.
        parts: where whole parts are kept.
        records: what they consist of.
        told: told of every part that is kept.
        concurrency: most texts at a time. Nothing else grows with the number of rows.

    Raises:
        ServiceError: what `answer` raised, or a part cannot be written; whatever was kept stays.
    """
    begun: dict[int, _Part] = {}
    running: set[asyncio.Task[None]] = set()
    room = asyncio.Semaphore(concurrency)

    async def one(number: int, place: int, row: Row) -> None:
        part = begun[number]
        try:
            part.outcomes[place] = (
                await answer(row.text) if row.text is not None else failed_row(row)
            )
            part.missing -= 1
            if not part.missing and len(part.rows) == rows_of(number, total):
                del begun[number]
                told(
                    await asyncio.to_thread(keep, parts, records, number, part.rows, part.outcomes)
                )
        finally:
            room.release()  # when the part is kept: no more wait for the disk than are at work

    def first_failure() -> None:
        for task in [task for task in running if task.done()]:
            running.discard(task)
            task.result()

    done: dict[int, bool] = {}
    try:
        for place, row in enumerate(rows):
            number, within = divmod(place, PART_ROWS)
            if not within:
                done = {number: parts.done(number)}
            if done[number]:
                continue
            await room.acquire()
            first_failure()
            part = begun.setdefault(number, _Part())
            part.rows.append(row)
            part.outcomes.append({})  # its place
            part.missing += 1
            running.add(asyncio.create_task(one(number, within, row)))
        while running:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            first_failure()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
