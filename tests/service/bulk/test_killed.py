"""Runs that are stopped: the same command does the rest, and no row is lost or there twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.cli.exit_codes import ExitCode

ROWS = 2000
COMMAND = [sys.executable, "-m", "tests.service.bulk.engine", "analyze"]
ROOT = Path(__file__).parents[3]


def start(folder: Path, *arguments: str, delay: float = 0.02) -> subprocess.Popen[str]:
    given = [*COMMAND, *arguments, "--tasks", "stress,loneliness"]
    return subprocess.Popen(
        given,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "BULK_DELAY": str(delay)},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def posts(tmp_path: Path) -> Path:
    lines = ["text,n"] + [f'"post ""{n}""",{n}' if n % 50 else f",{n}" for n in range(ROWS)]
    (tmp_path / "posts.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def whole(folder: Path) -> bytes:
    """What a run that nobody stops makes."""
    done = start(folder, "posts.csv", "--output", "whole.jsonl", delay=0)
    assert done.wait(60) == ExitCode.ROWS_FAILED, done.stderr and done.stderr.read()
    return (folder / "whole.jsonl").read_bytes()


def test_killed_at_any_moment_again_and_again(posts: Path) -> None:
    wanted, times = whole(posts), random.Random(7)
    for _ in range(5):
        run = start(posts, "posts.csv", "--output", "out.jsonl")
        time.sleep(times.uniform(0.8, 1.5))
        run.kill()
        run.wait(10)
        assert not (posts / "out.jsonl").exists()
    kept = len(list((posts / "out.jsonl.partial").glob("*.arrow")))
    assert 0 < kept < ROWS // 128
    last = start(posts, "posts.csv", "--output", "out.jsonl", delay=0)
    assert last.wait(60) == ExitCode.ROWS_FAILED
    assert last.stderr is not None
    assert f"Going on: {kept * 128:,} rows" in last.stderr.read()
    assert (posts / "out.jsonl").read_bytes() == wanted
    assert [json.loads(line)["row"] for line in wanted.splitlines()[:4]] == [0, 1, 1, 2]
    assert sorted(one.name for one in posts.iterdir() if one.name.startswith("out")) == [
        "out.jsonl",
        "out.jsonl.summary.html",
        "out.jsonl.summary.json",
    ]


def test_ctrl_c_says_how_to_go_on(posts: Path) -> None:
    run = start(posts, "posts.csv", "--output", "out.jsonl")
    while not list(posts.glob("out.jsonl.partial/*.arrow")):
        time.sleep(0.05)
    second = start(posts, "posts.csv", "--output", "out.jsonl")
    assert second.wait(20) == ExitCode.USAGE  # one at a time
    run.send_signal(signal.SIGINT)
    assert run.wait(20) == ExitCode.INTERRUPTED
    assert run.stderr is not None
    said = run.stderr.read()
    assert "The same command goes on from there" in said
    assert "Traceback" not in said
    other = start(posts, "posts.csv", "--output", "out.jsonl", "--layout", "wide")
    assert other.wait(20) == ExitCode.USAGE
    assert other.stderr is not None
    assert "layout" in other.stderr.read()
    again = start(posts, "posts.csv", "--output", "out.jsonl", delay=0)
    assert again.wait(60) == ExitCode.ROWS_FAILED
    assert (posts / "out.jsonl").read_bytes() == whole(posts)


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """A guard: ten times the rows, a few percent more memory."""
    most = {}
    for rows in (3_000, 30_000):
        path = tmp_path / f"{rows}.txt"
        path.write_text("".join(f"post number {n} {'word ' * 60}\n" for n in range(rows)))
        run = start(tmp_path, path.name, "--output", f"{rows}.parquet", "--no-texts", delay=0)
        _, status, used = os.wait4(run.pid, 0)
        assert status == 0
        most[rows] = used.ru_maxrss
    assert most[30_000] < 1.25 * most[3_000]
