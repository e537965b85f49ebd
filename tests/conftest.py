"""What all tests share: the embedded model, engines by xdist group, and no silent skips in CI."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

# A shell that starts the tests in the background has them ignore SIGINT, and every program that
# they start inherits it: none could be interrupted as from a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)

ENGINES = ("server", "words_server", "embedded_server")
"""Fixtures with an engine: all tests that use one run in one worker of pytest-xdist."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "xdist_group(name): in one worker, where there are several")
    config.addinivalue_line("markers", "ends_server: ends a server that others use; runs last")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group tests by their engine; those that end one come last."""
    for item in items:
        for name in ENGINES:
            if name in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=lambda item: item.get_closest_marker("ends_server") is not None)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """In CI a skipped test is a failure: whatever it needs belongs to the test command."""
    outcome = yield
    report = outcome.get_result()
    if _in_ci() and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"


@pytest.fixture(scope="session")
def embedded_model() -> Path:
    """The embedded model's directory; in CI it is built where it is missing."""
    from service.models import embedded_model_path, is_embedded_model, resolve_model

    if not _in_ci() and not is_embedded_model(embedded_model_path()):
        pytest.skip("the embedded model is not built; run `mentalllama model build`")
    return Path(resolve_model("embedded").path)


def _in_ci() -> bool:
    return os.environ.get("CI") == "true"
