"""From start to ready: the server, started again and again, each time until it would answer.

The first start after an installation builds the embedded model and fills the caches of Python, of
compiled kernels and of the operating system; the second is what a restart costs.
"""

from __future__ import annotations

from pathlib import Path

from loadtests.measured import Measured, Size
from loadtests.servers import ours
from service.cli.terminal import notice


async def starts(size: Size, model: str, logs: Path) -> Measured:
    """Seconds from starting `mentalllama serve` to its readiness, with every cache filled.

    Args:
        size: how many starts beyond the first.
        model: a name that `service.models.resolve_model` takes.
        logs: a folder for the servers' output.

    Raises:
        StartError: the server did not start.
    """
    found = Measured("start")
    for number in range(1 + size.starts):
        async with ours(model, logs / f"start-{number + 1}.log") as server:
            seconds = server.started_after
        found.add("first" if number == 0 else "again", {"start_seconds": seconds})
        notice(f"start {number + 1}: ready after {seconds:.1f} s")
    again = found.median("again", "start_seconds")
    note = f"median of {size.starts} after a first of {found.rows['first'][0]['start_seconds']:.1f}"
    found.goals["start.ready"] = (again, f"{note} s; nothing else was running")
    return found
