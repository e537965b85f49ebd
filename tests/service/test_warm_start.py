"""The engine's process comes from a fork server and has the environment of the one who asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import multiprocessing, os, signal, sys, time
from multiprocessing import forkserver
from service import warm_start

def engine(answer, word):
    answer.send((os.environ.get("SET"), os.environ.get("GONE"), word, "vllm" in sys.modules))

def start():
    receive, send = multiprocessing.Pipe(duplex=False)
    given = {"answer": send, "word": "given"}
    process = warm_start._WarmContext().Process(target=engine, name="EngineCore", kwargs=given)
    process.start()
    print(*receive.recv(), sep=", ")
    process.join()
    print(process.exitcode)

if __name__ == "__main__":
    os.environ["GONE"] = "before"
    warm_start.begin()
    os.environ["SET"] = "later"
    del os.environ["GONE"]
    start()
    server = forkserver._forkserver._forkserver_pid
    os.kill(server, signal.SIGTERM)
    start()
    print(server == forkserver._forkserver._forkserver_pid)
"""


def test_processes_from_the_fork_server(tmp_path: Path) -> None:
    """It imports vLLM for them, and a SIGTERM that everybody gets does not end it."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, env=variables
    )
    started = ["later, None, given, True", "0"]
    assert done.stdout.splitlines() == [*started, *started, "True"], done.stderr
