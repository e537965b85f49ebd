"""A process that `multiprocessing` started and whose parent is killed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

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
    ("method", "watches"),
    [("spawn", True), ("fork", True), ("spawn", False)],
)
def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path, method: str, watches: bool) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    command = [sys.executable, str(script), method, "watches" if watches else "does not"]
    parent = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert parent.stdout is not None
    said = {parent.stdout.readline().strip() for _ in range(2)}
    (pid,) = said - {"ready"}
    child = psutil.Process(int(pid))
    time.sleep(0.2)
    assert child.is_running()
    parent.kill()
    parent.wait(10)
    if watches:
        child.wait(10)
    else:  # or the test above would show nothing
        time.sleep(0.3)
        assert child.is_running()
        child.kill()


def test_nothing_without_a_parent() -> None:
    from service import orphans

    orphans.register()
    assert not orphans._watches
