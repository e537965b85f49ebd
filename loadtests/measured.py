"""How much is measured, and what a measurement found."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from loadtests.latency import Summary


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. The defaults take about an hour on two cores.

    Attributes:
        rounds: of the ways that take turns.
        explained: posts a round that are explained.
        few: of these, how many the ways get that answer one batch or one request at a time.
        labelled: posts a round that are labelled.
        concurrency: requests that are open at once.
        levels: of concurrency, for its growth.
        lengths: of posts in tokens.
        shares: percent of the posts that are explained.
        arrivals: requests of an open-loop run.
        rates: of these runs, as shares of the closed loop's throughput, rising.
        growth: numbers of posts, to see whether cost grows with them.
        starts: of the server, beyond the first.
        engines: of `loadtests.stability`, which are compared.
        flip_posts: that all questions are read on twice, by the engine as served.
        engine_posts: likewise, by the others.
    """

    rounds: int = 3
    explained: int = 96
    few: int = 16
    labelled: int = 48
    concurrency: int = 32
    levels: tuple[int, ...] = (1, 4, 16, 64, 128)
    lengths: tuple[int, ...] = (30, 100, 300, 900, 1600)
    shares: tuple[int, ...] = (0, 10, 25, 50, 100)
    arrivals: int = 100
    rates: tuple[float, ...] = (0.5, 0.7, 0.85, 1.0, 1.2)
    growth: tuple[int, ...] = (100, 1000, 10_000)
    starts: int = 3
    engines: tuple[str, ...] = ("as served", "float32", "one at a time")
    flip_posts: int = 80
    engine_posts: int = 16

    def enlarged(self, times: int = 1, rounds: int = 0, concurrency: int = 0) -> Size:
        """The same for a machine that is faster, or for another load.

        Args:
            times: by which posts are multiplied where ways take turns.
            rounds: instead of these; 0 for these.
            concurrency: likewise.
        """
        return replace(
            self,
            rounds=rounds or self.rounds,
            explained=self.explained * times,
            few=self.few * times,
            labelled=self.labelled * times,
            concurrency=concurrency or self.concurrency,
        )


QUICK = Size(
    rounds=1,
    explained=16,
    few=8,
    labelled=12,
    levels=(1, 8, 32),
    lengths=(30, 300, 900),
    shares=(0, 50, 100),
    arrivals=32,
    rates=(0.5, 0.8, 1.1),
    growth=(100, 400),
    starts=1,
    engines=("as served",),
    flip_posts=8,
)
"""About ten minutes: one round of everything, and the price of having no flips is left out."""


@dataclass(slots=True)
class Measured:
    """What a measurement found.

    Attributes:
        name: of the measurement.
        rows: way to what was measured, one a round.
        goals: goal id to value and note.
        absent: way to why it was not measured.
    """

    name: str
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    goals: dict[str, tuple[float, str]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def add(self, way: str, summary: Summary | Mapping[str, Any]) -> None:
        """Keep a row."""
        row = summary.to_json() if isinstance(summary, Summary) else dict(summary)
        self.rows.setdefault(way, []).append(row)

    @property
    def errors(self) -> int:
        """Requests that failed, of all ways and rounds."""
        return sum(row.get("errors", 0) for rows in self.rows.values() for row in rows)

    def ratio(self, over: str, under: str, figure: str = "requests_per_second") -> float:
        """Median over the rounds of one way's figure over another's."""
        pairs = zip(self.rows[over], self.rows[under], strict=True)
        return float(statistics.median(one[figure] / other[figure] for one, other in pairs))

    def median(self, way: str, figure: str) -> float:
        """Median over the rounds of a way's figure."""
        return float(statistics.median(row[figure] for row in self.rows[way]))
