"""Posts that no prefix cache holds, and servers that are given the same options."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from imhi.tasks import QUESTIONS
from loadtests import servers
from loadtests.clients import Ask
from loadtests.field import Field


def test_every_measurement_has_posts_of_its_own() -> None:
    field = object.__new__(Field)
    field._marks = 0
    asks = [Ask("A post.", (QUESTIONS["stress"],), explained=False)] * 2
    first, second = field.fresh(asks), field.fresh(asks)
    assert {len(one.post) for one in (*first, *second)} == {len("1001. A post.")}
    assert not {one.post for one in first} & {one.post for one in second}
    assert all(one.questions == asks[0].questions and not one.explained for one in first)


async def test_options_of_vllm_reach_both_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {}

    def server(name: str) -> Any:
        @contextlib.asynccontextmanager
        async def started(_: str, log: Path, options: Sequence[str]) -> AsyncIterator[Any]:
            given[name] = tuple(options)
            yield SimpleNamespace(started_after=1.0)

        return started

    for name in ("ours", "plain"):
        monkeypatch.setattr(servers, name, server(name))
    field = object.__new__(Field)
    field._asked, field.dtype, field.folder, field._started = "model", "bfloat16", tmp_path, {}
    field._options = ("--max-model-len", "64")
    async with contextlib.AsyncExitStack() as field._stack:
        await field.ours()
        await field.plain()
    assert given["ours"] == ("--max-model-len", "64")
    assert given["plain"] == ("--dtype", "bfloat16", "--max-model-len", "64")
