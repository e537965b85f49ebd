"""What a long run came to: what had to hold, what was seen, and how it went over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from loadtests.latency import Sample, percentiles
from loadtests.report import NOTICE
from loadtests.vitals import Reading
from training.evaluate.document import NOT_MEASURED, Document, Plot, Section, Table
from training.evaluate.plots import lines

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Verdict:
    """Something that must hold.

    Attributes:
        what: in words, with its bound.
        seen: what was measured, in words.
        held: whether it is enough.
    """

    what: str
    seen: str
    held: bool


@dataclass(frozen=True, slots=True)
class Endured:
    """A long run.

    Attributes:
        title: of the page.
        about: what was done, in a sentence or two.
        seconds: how long.
        verdicts: what had to hold.
        samples: every request that counts, in any order.
        readings: the server's vitals over time.
        counts: what else was counted, such as refusals by code.
    """

    title: str
    about: str
    seconds: float
    verdicts: Sequence[Verdict]
    samples: Sequence[Sample]
    readings: Sequence[Reading]
    counts: Mapping[str, int] = field(default_factory=dict)


def over_time(samples: Sequence[Sample], parts: int = 20) -> list[dict[str, Any]]:
    """Latency by when requests were due: a row for each of so many equal parts of the run."""
    if not samples:
        return []
    begun = min(sample.due for sample in samples)
    length = max(max(sample.due for sample in samples) - begun, 1e-9) / parts
    groups: list[list[Sample]] = [[] for _ in range(parts)]
    for sample in samples:
        groups[min(int((sample.due - begun) / length), parts - 1)].append(sample)
    rows = []
    for place, group in enumerate(groups):
        done = [sample for sample in group if sample.error is None]
        total = percentiles([sample.end - sample.due for sample in done])
        rows.append(
            {
                "after": (place + 0.5) * length,
                "asked": len(group),
                "answered": len(done),
                "total": asdict(total) if total else None,
            }
        )
    return rows


def to_json(endured: Endured, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Everything but the single requests."""
    return {
        "schema_version": 1,
        **facts,
        "about": endured.about,
        "seconds": endured.seconds,
        "verdicts": [asdict(verdict) for verdict in endured.verdicts],
        "counts": dict(endured.counts),
        "over_time": over_time(endured.samples),
        "readings": [asdict(reading) for reading in endured.readings],
    }


def verdict_table(endured: Endured) -> Table:
    """What had to hold and what was seen."""
    rows = tuple(
        (one.what, one.seen, "holds" if one.held else "does not hold") for one in endured.verdicts
    )
    return Table(endured.title, ("What must hold", "Seen", ""), rows)


def document(endured: Endured, facts: Mapping[str, Any]) -> Document:
    """The page."""
    rows = over_time(endured.samples)
    table = _latency_table(rows)
    counted = tuple((name, f"{count:,}") for name, count in sorted(endured.counts.items()))
    said = "; ".join(f"{name}: {value}" for name, value in facts.items())
    sections = (
        Section(
            "verdicts",
            "What must hold",
            (endured.about, said),
            (verdict_table(endured), Table("Counted", ("What", "How often"), counted)),
        ),
        Section("time", "Over time", (), (table,), _plots(endured, rows, table)),
    )
    return Document(title=endured.title, notice=NOTICE, sections=sections)


def _latency_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    def cell(row: Mapping[str, Any], name: str) -> str:
        return f"{row['total'][name]:,.0f}" if row["total"] else NOT_MEASURED

    return Table(
        "By time",
        ("Seconds", "Asked", "Answered", "Answer, ms, median", "95%", "99%"),
        tuple(
            (
                f"{row['after']:.0f}",
                str(row["asked"]),
                str(row["answered"]),
                *(cell(row, name) for name in ("p50", "p95", "p99")),
            )
            for row in rows
        ),
    )


def _plots(endured: Endured, rows: Sequence[Mapping[str, Any]], table: Table) -> tuple[Plot, ...]:
    answered = [row for row in rows if row["total"]]
    series: dict[str, dict[str, list[tuple[float, float]]]] = {
        "Whole answer, ms": {
            name: [(row["after"], row["total"][name]) for row in answered]
            for name in ("p50", "p95", "p99")
        },
        "Requests": {
            name: [(row["after"], float(row[name])) for row in rows]
            for name in ("asked", "answered")
        },
        "Memory, MiB": {"resident": [(one.after, one.resident / MIB) for one in endured.readings]},
        "Open files and threads": {
            "files": [(one.after, float(one.files)) for one in endured.readings],
            "threads": [(one.after, float(one.threads)) for one in endured.readings],
        },
    }
    return tuple(
        Plot(up, partial(lines, up, drawn, across="seconds", up=up), table)
        for up, drawn in series.items()
        if all(drawn.values())
    )
