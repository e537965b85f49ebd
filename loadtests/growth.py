"""Whether time a post and memory stay the same however many posts come.

The posts are short and get one question each, so that many fit into the time: what grows with
their number does so whatever their length. 100,000 take about an hour on two cores, or minutes on a
tiny model (`loadtests.weightless`): they are asked for with `--most-posts 100000`, and a run that
stops earlier says so.
"""

from __future__ import annotations

from loadtests.clients import Analyze, Ask
from loadtests.field import Field
from loadtests.measured import Measured, Size
from loadtests.measures import STRESS, say
from loadtests.vitals import read
from loadtests.workload import of_length

TOKENS = 40
WANTED = 100_000


async def growth(bench: Field, size: Size) -> Measured:
    """Time a post and memory of the server, by how many posts come."""
    found = Measured("growth")
    server = await bench.ours()
    client = Analyze(bench.web, server.url)
    for number in size.growth:
        items = of_length(number, TOKENS, bench.count, seed=number)
        asks = [Ask(item.post, (STRESS,), explained=False) for item in items]
        summary = await bench.measure(client, asks, size.concurrency)
        row = {
            **summary.to_json(),
            "seconds_per_post": summary.seconds / number,
            "resident_bytes": read(server.process.pid).resident,
        }
        found.add(str(number), row)
        say("growth", 0, str(number), found)
    if max(size.growth) < WANTED:
        found.absent[str(WANTED)] = "left out of this run for its time; see --most-posts"
    return found
