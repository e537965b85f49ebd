"""Latency under a load that does not wait, up to the knee.

Posts come at Poisson arrivals, at a rate that rises from run to run. The knee is the highest rate
at which nine requests in ten keep the service-level objective, and at most the rate at which the
closed loop is served: beyond that, work piles up, though a short run may end before it shows. The
objective is a multiple of what a request takes alone, as serving papers set it (AlpaServe, OSDI
2023, section 6; DistServe, OSDI 2024, section 6: attainment of 90% at a scaled objective).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from loadtests.clients import Analyze, Ask
from loadtests.drive import open_loop
from loadtests.field import Field
from loadtests.latency import Objective, summarise
from loadtests.measured import Measured, Size
from loadtests.measures import say, single
from loadtests.workload import mixed

SCALE = 5.0
"""An answer under load may take so many times what the 95th percentile takes alone."""

ATTAINED = 0.9
KNEE, AT_70 = "knee", "70% of the knee"


async def latency(bench: Field, size: Size) -> Measured:
    """First label and whole answer alone, at rising rates, and at 70% of the knee's rate."""
    found = Measured("latency")
    client = Analyze(bench.web, (await bench.ours()).url, stream=True)
    asks = [single(item) for item in mixed(size.arrivals, bench.count, seed=600)]
    alone = await bench.measure(client, asks[: max(20, size.arrivals // 3)], 1)
    found.add("alone", alone)
    say("latency", 0, "alone", found)
    full = await bench.measure(client, asks, size.concurrency)
    found.add("saturated", full)
    say("latency", 0, "saturated", found)
    if alone.first_label is None or alone.total is None:
        return found
    objective = Objective(SCALE * alone.first_label.p95, SCALE * alone.total.p95)
    runs: list[dict[str, Any]] = []
    for share in size.rates:
        runs.append(await _run(bench, client, asks, share * full.requests_per_second, objective))
        found.add(f"{share:.0%}", runs[-1])
        say("latency", 0, f"{share:.0%}", found)
        if runs[-1]["attained"] < ATTAINED:
            break
    knee = min(knee_of(runs), full.requests_per_second)
    found.add(KNEE, {"offered": knee, "objective_milliseconds": asdict(objective)})
    if not knee:
        return found
    # Twice as many: of a hundred, the 95th percentile is five requests of one burst.
    more = [single(item) for item in mixed(2 * size.arrivals, bench.count, seed=601)]
    row = await _run(bench, client, more, 0.7 * knee, objective, seed=1)
    found.add(AT_70, row)
    say("latency", 0, AT_70, found)
    if row["first_label"] is not None:
        found.goals["latency.first_label"] = (
            row["first_label"]["p95"] / alone.first_label.p95,
            f"{row['first_label']['p95']:.0f} ms at {0.7 * knee:.2f} requests/s against "
            f"{alone.first_label.p95:.0f} ms alone; the knee is at {knee:.2f} requests/s, of "
            f"{full.requests_per_second:.2f} at saturation; {ATTAINED:.0%} must keep {SCALE:g} "
            "times what a request takes alone",
        )
    return found


def knee_of(runs: list[dict[str, Any]]) -> float:
    """The rate at which attainment falls to 90%, between the runs on either side of it.

    Args:
        runs: rows with `offered` and `attained`, at rising rates.

    Returns:
        Requests a second, by linear interpolation; the highest rate that was tried where all kept
        it, 0 where none did.
    """
    before: dict[str, Any] | None = None
    for row in runs:
        if row["attained"] < ATTAINED:
            if before is None:
                return 0.0
            span = before["attained"] - row["attained"]
            part = (before["attained"] - ATTAINED) / span
            return float(before["offered"] + part * (row["offered"] - before["offered"]))
        before = row
    return float(before["offered"]) if before else 0.0


async def _run(
    bench: Field,
    client: Analyze,
    asks: list[Ask],
    rate: float,
    objective: Objective,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    summary = summarise(await open_loop(bench.fresh(asks), client, rate, seed=seed), objective)
    kept = (summary.goodput or 0.0) * summary.seconds / max(summary.requests, 1)
    return {**summary.to_json(), "offered": rate, "attained": kept}
