"""Runs of the command in this process, on an engine that makes an answer of a text's bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tests.service.bulk import engine

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run `mentalllama analyze` in an empty folder."""
    from service.cli import app

    engine.install(monkeypatch)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(app, ["analyze", *arguments], input=stdin)

    return run
