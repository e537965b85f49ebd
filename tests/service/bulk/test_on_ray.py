"""The same run on a Ray cluster of two nodes, one of whose actors is killed in the middle."""

from __future__ import annotations

import json
import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.bulk import on_ray
from service.cli.exit_codes import ExitCode
from service.errors import EngineError, ModelError
from tests.service.bulk import engine
from tests.service.bulk.conftest import Run

ROOT = str(Path(__file__).parents[3])


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two raylets on this machine."""
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", ROOT)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("BULK_DELAY", "0.5")
    one = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    one.add_node(num_cpus=1)
    yield one
    ray.shutdown()
    one.shutdown()


def actors() -> list[psutil.Process]:
    """The processes that analyse."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if (process.info["cmdline"] or [""])[0].startswith("ray::MapWorker(")
    ]


def test_without_ray_it_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("posts.txt").write_text("a post\n")
    monkeypatch.setattr(on_ray, "find_spec", lambda _: None)
    done = run("posts.txt", "--output", "out.csv", "--tasks", "stress", "--ray")
    assert done.exit_code == ExitCode.USAGE
    assert "pip install 'mentalllama[ray]'" in done.stderr


def test_an_actor_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is raised in an actor Ray writes a traceback."""
    part = {"number": 3, "texts": json.dumps(["a post", None])}
    opens, request = f"{engine.__name__}:opened", {"tasks": ["stress"]}
    done = on_ray.Actor(opens, "embedded", request)(part)
    first, second = json.loads(done["outcomes"])
    assert (done["number"], done["failure"], second) == (3, b"", None)
    assert first["answers"][0]["question"] == "stress"
    monkeypatch.setenv("BULK_FAILS", "1")
    failed = on_ray.Actor(opens, "embedded", request)(part)
    assert isinstance(error := pickle.loads(failed["failure"]), ModelError)
    assert error.message == "The model cannot be loaded."
    (odd,) = [on_ray.Actor("nowhere:opened", "embedded", request)(part)["failure"]]
    assert isinstance(pickle.loads(odd), EngineError)
    assert "ModuleNotFoundError" in pickle.loads(odd).message


def test_options_of_ray_without_ray(run: Run) -> None:
    done = run("posts.txt", "--output", "out.csv", "--engines", "2")
    assert done.exit_code == ExitCode.USAGE
    assert "are for --ray" in done.stderr


@pytest.mark.slow
def test_nothing_is_lost_or_there_twice(
    run: Run, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 128 * 11 + 5  # three turns of two actors, which take two parts at a time
    lines = "".join(f"post {n}\n" if n % 40 else "\n" for n in range(rows))
    Path("posts.txt").write_text(lines)
    killed: list[int] = []

    def kill_one() -> None:
        while not list(Path().glob("out.parquet.partial/*.arrow")):
            time.sleep(0.05)
        actors()[0].kill()
        killed.append(len(list(Path().glob("out.parquet.partial/*.arrow"))))

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    given = ("--tasks", "stress,loneliness")
    on_ray = ("--ray", "--ray-address", cluster.address, "--engines", "2")
    done = run("posts.txt", "--output", "out.parquet", *given, *on_ray)
    assert done.exit_code == ExitCode.ROWS_FAILED, (done.output, done.exception)
    assert killed
    assert killed[0] < 10  # of twelve: there was work left to do
    monkeypatch.delenv("BULK_DELAY")
    here = run("posts.txt", "--output", "here.parquet", *given)
    assert here.exit_code == ExitCode.ROWS_FAILED, here.output
    assert Path("out.parquet").read_bytes() == Path("here.parquet").read_bytes()
