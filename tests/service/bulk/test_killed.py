"""Runs that are stopped: the same command does the rest, and no row is lost or there twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from service.cli.exit_codes import ExitCode
from tests.processes import child
from tests.service.bulk.conftest import Run

ROWS = 1000
COMMAND = [sys.executable, "-m", "tests.service.bulk.engine", "analyze"]
ROOT = Path(__file__).parents[3]
GIVEN = ("posts.csv", "--output", "out.jsonl", "--tasks", "stress,loneliness")
MADE = ["out.jsonl", "out.jsonl.summary.html", "out.jsonl.summary.json"]


def start(folder: Path, *arguments: str, delay: float = 0.0) -> AbstractContextManager[Any]:
    return child(
        [*COMMAND, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "BULK_DELAY": str(delay)},
        stderr=subprocess.PIPE,
        text=True,
    )


def write_posts(folder: Path, rows: int) -> None:
    """Every fiftieth is empty, and so fails."""
    lines = ["text,n"] + [f'"post ""{n}""",{n}' if n % 50 else f",{n}" for n in range(rows)]
    (folder / "posts.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def posts(tmp_path: Path, run: Run) -> bytes:
    """The input, and what a run that nobody stops makes of it."""
    write_posts(tmp_path, ROWS)
    assert run(*GIVEN[:2], "whole.jsonl", *GIVEN[3:]).exit_code == ExitCode.ROWS_FAILED
    return Path("whole.jsonl").read_bytes()


def parts(folder: Path) -> int:
    return len(list(folder.glob("out.jsonl.partial/*.arrow")))


def made(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if "out.jsonl" in one.name)


def until(met: Callable[[], bool], seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.mark.slow
def test_interrupted_then_killed_then_ended(tmp_path: Path, posts: bytes) -> None:
    # A text takes so long that a whole run would last a quarter of a minute.
    with start(tmp_path, *GIVEN, delay=1) as running:
        until(lambda: parts(tmp_path) > 0)
        with start(tmp_path, *GIVEN) as second:
            assert second.wait(20) == ExitCode.USAGE  # one at a time
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=20)
        assert running.returncode == ExitCode.INTERRUPTED
    assert "The same command goes on from there" in said
    assert "Traceback" not in said
    kept = parts(tmp_path)
    with start(tmp_path, *GIVEN, delay=0.3):
        until(lambda: parts(tmp_path) > kept)
    assert not (tmp_path / "out.jsonl").exists()
    kept = parts(tmp_path)
    assert kept < ROWS // 128
    with start(tmp_path, *GIVEN) as last:
        _, said = last.communicate(timeout=60)
        assert last.returncode == ExitCode.ROWS_FAILED
    assert f"Going on: {kept * 128:,} rows" in said
    assert (tmp_path / "out.jsonl").read_bytes() == posts
    assert [json.loads(line)["row"] for line in posts.splitlines()[:4]] == [0, 1, 1, 2]
    assert made(tmp_path) == MADE


class Killed(BaseException):
    """In place of a signal that cannot be caught."""


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many changes of names on the disk the command may still make before it dies."""
    left = [-1]

    def deadly(name: str) -> None:
        real = getattr(Path, name)

        def change(*arguments: Any, **options: Any) -> Any:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return real(*arguments, **options)

        monkeypatch.setattr(Path, name, change)

    for name in ("replace", "unlink", "touch", "mkdir"):
        deadly(name)
    return left


@pytest.mark.slow
def test_killed_at_every_change_on_the_disk(run: Run, tmp_path: Path, left: list[int]) -> None:
    """The command dies before its first change of a name, before its second, and so on."""
    write_posts(tmp_path, 260)
    whole = run(*GIVEN[:2], "whole.jsonl", *GIVEN[3:])
    assert whole.exit_code == ExitCode.ROWS_FAILED
    wanted = Path("whole.jsonl").read_bytes()
    moments = 0
    while True:
        left[0] = moments
        try:
            killed = run(*GIVEN, "--restart" if Path("out.jsonl").exists() else "--texts")
        except Killed:
            pass
        else:
            assert killed.exit_code == ExitCode.ROWS_FAILED
            break
        left[0] = -1
        again = run(*GIVEN)
        assert again.exit_code == ExitCode.ROWS_FAILED, (moments, again.output)
        assert Path("out.jsonl").read_bytes() == wanted, moments
        assert made(tmp_path) == MADE, moments
        moments += 1
    # The folder, the run, three parts, the result, two pages, and what clears up.
    assert moments > 10


def test_another_run_is_not_mixed_in(run: Run, tmp_path: Path, left: list[int]) -> None:
    write_posts(tmp_path, 260)
    assert run(*GIVEN[:2], "whole.jsonl", *GIVEN[3:]).exit_code == ExitCode.ROWS_FAILED
    left[0] = 5
    with pytest.raises(Killed):
        run(*GIVEN)
    left[0] = -1
    assert parts(tmp_path) > 0
    for other, said in (
        (("--layout", "wide"), "layout"),
        (("--no-texts",), "texts"),
        (("--min-probability", "0.9"), "request"),
        (("--model", "embedded-base"), "model"),
    ):
        done = run(*GIVEN, *other)
        assert done.exit_code == ExitCode.USAGE
        assert f"(other: {said})" in " ".join(done.stderr.split())
    Path("posts.csv").write_text("text,n\nanother post,1\n")
    assert "files" in run(*GIVEN).stderr
    write_posts(tmp_path, 260)
    assert run(*GIVEN).exit_code == ExitCode.ROWS_FAILED
    assert Path("out.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """A guard: five times the rows, hardly more memory."""
    most = {}
    for rows in (5_000, 25_000):
        path = tmp_path / f"{rows}.txt"
        path.write_text("".join(f"post number {n} {'word ' * 60}\n" for n in range(rows)))
        given = (path.name, "--output", f"{rows}.parquet", "--tasks", "stress")
        with start(tmp_path, *given) as running:
            _, status, used = os.wait4(running.pid, 0)
        assert status == 0
        most[rows] = used.ru_maxrss
    assert most[25_000] < 1.15 * most[5_000]
