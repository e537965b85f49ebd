"""What it costs that a label does not depend on its company: `loadtests.determinism`, by engine.

Each engine is a process of its own: what one leaves behind in a process must not touch the next.
The engine as it is served comes first; the others are ways of making differences smaller, or none:
float32 throughout, and one request at a time, where no batch can differ. vLLM's batch-invariant
mode is a third where there is a GPU: its CPU attention has none and the engine refuses to start.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from loadtests.measured import Measured, Size
from loadtests.servers import StartError
from service.cli.terminal import notice
from service.launch import runs_on_cpu

AS_SERVED = "as served"
FLOAT32 = "float32"
ENGINES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        AS_SERVED: (),
        FLOAT32: ("--dtype", FLOAT32),
        "one at a time": ("--max-num-seqs", "1"),
    }
)
"""Name to options of vLLM's engine."""

BATCH_INVARIANT = "batch invariant"
_BATCH_INVARIANT_VARIABLE = "VLLM_BATCH_INVARIANT"
CONCURRENCY = 64


async def stability(size: Size, model: str, folder: Path) -> Measured:
    """The flip rate as served, and throughput and flips of the engines that could have none.

    Raises:
        StartError: a measurement did not end well.
    """
    found = Measured("stability")
    for name in size.engines:
        if name == FLOAT32 and found.rows[AS_SERVED][0]["dtype"] == FLOAT32:
            found.absent[name] = "as served on this machine"
            continue
        posts = size.flip_posts if name == AS_SERVED else size.engine_posts
        file = folder / f"determinism-{name.replace(' ', '-')}.json"
        command = [sys.executable, "-m", "loadtests.determinism", "--model", model]
        command += ["--posts", str(posts), "--concurrency", str(CONCURRENCY), "--json", str(file)]
        notice(f"stability, {name}: {posts} posts")
        await _ran([*command, "--", *ENGINES[name]], {})
        found.add(name, row(json.loads(file.read_text(encoding="utf-8"))))
    if runs_on_cpu():
        found.absent[BATCH_INVARIANT] = "vLLM's attention on CPUs has no batch-invariant mode"
    elif len(size.engines) > 1:
        file = folder / "determinism-batch-invariant.json"
        command = [sys.executable, "-m", "loadtests.determinism", "--model", model]
        command += ["--posts", str(size.engine_posts), "--json", str(file)]
        await _ran(command, {_BATCH_INVARIANT_VARIABLE: "1"})
        found.add(BATCH_INVARIANT, row(json.loads(file.read_text(encoding="utf-8"))))
    served = found.rows[AS_SERVED][0]
    low, high = served["flip_rate_interval_95"]
    found.goals["stability.flips"] = (
        served["flip_rate"],
        f"{served['flips']} of {served['reads']:,} reads (95% interval {low:.2%} to {high:.2%}), "
        f"largest difference of a probability {served['largest_difference']:.1e}. {price(found)}",
    )
    return found


def row(result: Mapping[str, Any]) -> dict[str, Any]:
    """Of what `loadtests.determinism` writes, what is compared."""
    kept = ("reads", "flip_rate", "flip_rate_interval_95", "largest_difference", "mean_difference")
    return {
        **{name: result[name] for name in kept},
        "flips": len(result["flips"]),
        "dtype": result["machine"]["dtype"],
        **result["throughput"],
    }


def price(found: Measured) -> str:
    """What the engines without any difference cost, in words."""
    served = found.rows[AS_SERVED][0]
    said = [
        f"{name}: {rows[0]['flips']} flips, differences up to {rows[0]['largest_difference']:.1e}, "
        f"{1 - rows[0]['posts_per_second'] / served['posts_per_second']:.0%} fewer label posts/s, "
        f"{1 - rows[0]['tokens_per_second'] / served['tokens_per_second']:.0%} fewer tokens/s"
        for name, rows in found.rows.items()
        if name != AS_SERVED
    ]
    return "The price of less: " + "; ".join(said) if said else "The price was not measured"


async def _ran(command: Sequence[str], variables: Mapping[str, str]) -> None:
    """Run a command to its end; an interrupt ends it with all that it started."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=os.environ | dict(variables),
        start_new_session=True,
    )
    try:
        if await process.wait() != 0:
            raise StartError(f"{command[2]} ended with {process.returncode}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
