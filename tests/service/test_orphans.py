"""A process that `multiprocessing` started and whose parent is killed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.processes import child

ROOT = Path(__file__).parents[2]
PARENT = """
import multiprocessing, sys, time

def child(watches):
    if watches:
        from service import orphans
        orphans.register()
        orphans.register()
    print("ready", flush=True)
    time.sleep(60)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    process = context.Process(target=child, args=(sys.argv[2] == "watches",))
    process.start()
    print(process.pid, flush=True)
    process.join()
"""


@pytest.mark.parametrize(
    ("method", "watches"), [("forkserver", True), ("fork", True), ("fork", False)]
)
def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path, method: str, watches: bool) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    command = [sys.executable, str(script), method, "watches" if watches else "does not"]
    options = {"stdout": subprocess.PIPE, "text": True, "env": {"PYTHONPATH": str(ROOT)}}
    with child(command, **options) as parent:
        said = {parent.stdout.readline().strip() for _ in range(2)}
        (pid,) = said - {"ready"}
        orphan = psutil.Process(int(pid))
        assert orphan.is_running()
    try:
        orphan.wait(10 if watches else 0.3)
        assert watches
    except psutil.TimeoutExpired:  # or the test above would show nothing
        assert not watches
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            orphan.kill()


def test_nothing_without_a_parent() -> None:
    from service import orphans

    orphans.register()
    assert not orphans._watches
