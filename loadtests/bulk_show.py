"""Files at length: generated posts through `mentalllama analyze`, killed on the way, and the proof.

    python -m loadtests.bulk_show                  in this process, then by --ray, 20,000 posts each
    python -m loadtests.bulk_show --rows 2000 --way here

Each way's command is killed (SIGKILL) at even shares of its rows, given again as often, and the
result held against the input: every row once, in order, with the text it came with. Says the rate
of each stretch and the memory of the command alone and with its engine, and how far the two ways'
answers are apart. Nothing else should run beside it. No post is written but the generated ones.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import psutil  # type: ignore[import-untyped]
import typer

from loadtests.vitals import read
from loadtests.workload import of_length
from service.bulk.parts import PART_ROWS, Parts
from service.bulk.pipeline import part_count
from service.cli.exit_codes import ExitCode
from service.cli.terminal import notice, print_json

_TOKENS = 20
_EVERY_SECONDS = 1.0
_MIB = 1 << 20


class Way(StrEnum):
    """Where the model is loaded."""

    HERE = "here"
    RAY = "ray"


def main(
    rows: Annotated[int, typer.Option(min=PART_ROWS, help="Posts of a way.")] = 20_000,
    kills: Annotated[int, typer.Option(min=0, help="How often a way is killed.")] = 2,
    way: Annotated[list[Way] | None, typer.Option(help="Only this way; repeatable.")] = None,
    model: Annotated[str, typer.Option(help="As for `mentalllama analyze`.")] = "embedded",
    folder: Annotated[
        Path, typer.Option("--output", help="For the posts and the results; made where it is not.")
    ] = Path("bench/bulk"),
) -> None:
    """Run both ways, or those that are named, and print what was seen as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    posts = folder / "posts.jsonl"
    texts = _write_posts(posts, rows)
    ways = way or list(Way)
    seen: dict[str, Any] = {"rows": rows, "kills": kills}
    for one in ways:
        result = folder / f"{one}.parquet"
        seen[one] = _stretches(posts, result, model, one, kills) | _proof(result, texts)
    if len(ways) > 1:
        seen["apart"] = _apart(*(folder / f"{one}.parquet" for one in ways))
    print_json(seen)
    if not all(seen[one]["every_row_once_and_in_order"] for one in ways):
        raise typer.Exit(ExitCode.FAILURE)


def _write_posts(path: Path, rows: int) -> list[str]:
    """Short posts, all different, as JSON lines beside an id; their texts."""
    made = of_length(rows, _TOKENS, lambda text: len(text.split()), seed=7)
    texts = [f"{number}. {one.post}" for number, one in enumerate(made)]
    lines = (json.dumps({"id": f"p{n}", "text": text}) for n, text in enumerate(texts))
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return texts


def _stretches(posts: Path, result: Path, model: str, way: Way, kills: int) -> dict[str, Any]:
    """Run the command until it is done, killing it on the way."""
    command = [str(Path(sys.executable).with_name("mentalllama")), "analyze", str(posts)]
    command += ["--output", str(result), "--model", model]
    command += ["--tasks", "depression", "--explain", "never"]
    command += ["--ray", "--engines", "1"] if way is Way.RAY else []
    parts = Parts(result)
    whole = part_count(len(posts.read_bytes().splitlines()))
    stretches = []
    for stretch in range(kills + 1):
        until = whole * (stretch + 1) // (kills + 1) if stretch < kills else None
        fresh = ["--restart"] if not stretch else []
        stretches.append(_stretch([*command, *fresh], parts.folder, until))
        notice(f"{way}, stretch {stretch + 1}: {json.dumps(stretches[-1])}")
    return {"stretches": stretches}


def _stretch(command: Sequence[str], folder: Path, until: int | None) -> dict[str, Any]:
    """One process: until it ends, or is killed when so many parts are kept."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    before = 0 if "--restart" in command else len(list(folder.glob("part-*.arrow")))
    begun, kept = time.monotonic(), before
    marks: list[tuple[float, int]] = []  # when so many parts were kept, new ones alone
    alone, together = [0], [0]
    children: list[Any] = []
    while process.poll() is None:
        try:
            alone.append(int(psutil.Process(process.pid).memory_info().rss))
            together.append(read(process.pid).resident)
            children = psutil.Process(process.pid).children(recursive=True)
        except psutil.Error:
            continue
        if number := len(list(folder.glob("part-*.arrow"))):
            if number > kept:
                kept = number
                marks.append((time.monotonic(), kept))
            if until is not None and kept >= until:
                process.send_signal(signal.SIGKILL)
                process.wait()
                break
        time.sleep(_EVERY_SECONDS)
    _, left = psutil.wait_procs(children, timeout=60)
    said = process.stderr.read() if process.stderr and not left else ""
    seen: dict[str, Any] = {
        "killed": process.returncode == -signal.SIGKILL,
        "exit_code": process.returncode,
        "seconds": round(time.monotonic() - begun, 1),
        "parts_before": before,
        "parts_after": kept,
        "command_mib": [one // _MIB for one in _quarters(alone)],
        "with_engine_mib": max(together) // _MIB,
        "processes_left": len(left),
        "said": said.splitlines()[-1:] if process.returncode != -signal.SIGKILL else [],
    }
    if len(marks) > 1:
        (first, low), (last, high) = marks[0], marks[-1]
        seen["rows_per_second"] = round((high - low) * PART_ROWS / (last - first), 1)
    return seen


def _quarters(values: Sequence[int]) -> list[int]:
    """The most in each quarter of a series."""
    size = max(1, len(values) // 4)
    return [max(values[start : start + size]) for start in range(0, len(values), size)][:4]


def _proof(result: Path, texts: Sequence[str]) -> dict[str, Any]:
    """Whether the result has every row once, in order, beside the text and the id it came with."""
    import pyarrow.parquet as pq

    table = pq.read_table(result, columns=["row", "id", "text", "label", "error"]).to_pydict()
    return {
        "result_rows": len(table["row"]),
        "every_row_once_and_in_order": table["row"] == list(range(len(texts)))
        and table["text"] == list(texts)
        and table["id"] == [f"p{number}" for number in range(len(texts))],
        "failed": sum(error is not None for error in table["error"]),
        "bytes": result.stat().st_size,
    }


def _apart(one: Path, other: Path) -> dict[str, Any]:
    """How far two results are apart: an engine's rounding depends on what shares a batch."""
    import pyarrow.parquet as pq

    columns = ["label", "probability"]
    mine, theirs = (pq.read_table(path, columns=columns).to_pydict() for path in (one, other))
    pairs = list(zip(mine["probability"], theirs["probability"], strict=True))
    return {
        "same_bytes": one.read_bytes() == other.read_bytes(),
        "other_labels": sum(a != b for a, b in zip(mine["label"], theirs["label"], strict=True)),
        "most_apart": max(abs(a - b) for a, b in pairs),
    }


if __name__ == "__main__":
    typer.run(main)
