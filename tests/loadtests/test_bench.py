"""Emptying the cache between measurements, and scripts that say what they do without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from loadtests import bench
from tests.loadtests.benches import FakeClient, fake_bench

ROOT = Path(__file__).resolve().parents[2]

# An entry of None makes the import of that name fail.
WITHOUT_HEAVY = """
import runpy, sys
sys.modules.update(dict.fromkeys(("torch", "transformers", "vllm")))
name = sys.argv.pop(1)
runpy.run_module(name, run_name="__main__", alter_sys=True)
"""


async def test_the_cache_is_emptied_as_soon_as_the_engine_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench, "_PAUSE", 0)
    client = FakeClient(refusals=3)
    await fake_bench(client=client).forget()
    assert client.emptied == 1


async def test_a_cache_that_stays_in_use_stops_the_measurement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench, "_PAUSE", 0)
    with pytest.raises(TimeoutError, match="still in use"):
        await fake_bench(client=FakeClient(refusals=10_000)).forget()


@pytest.mark.parametrize("script", ["loadtests.sharing", "loadtests.determinism"])
def test_help_needs_neither_torch_nor_vllm(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_HEAVY, script, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "--posts" in done.stdout
    assert "--json" in done.stdout
