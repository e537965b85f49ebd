"""What all tests share: one embedded model, one running server, and no silent skips in CI."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import RunningServer, serve

# A shell that starts the tests in the background has them ignore SIGINT, and every program that
# they start inherits it: none could be interrupted as from a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """In CI a skipped test is a failure: whatever it needs belongs to the test command."""
    outcome = yield
    report = outcome.get_result()
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"


@pytest.fixture(scope="session")
def embedded_model() -> Path:
    """The embedded model's directory, built on first use and kept between runs."""
    from service.models import resolve_model

    return Path(resolve_model("embedded").path)


@pytest.fixture(scope="session")
def server(
    embedded_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """The real server with the embedded model, as a child process; one for all end-to-end tests."""
    with serve([], tmp_path_factory.mktemp("server") / "log") as running:
        yield running
