"""Progress where there is no terminal: a line at both ends of a way, and now and then between."""

from __future__ import annotations

import pytest

from training.evaluate import progress
from training.evaluate.journal import Way
from training.evaluate.progress import shown_progress


def test_lines_come_at_the_ends_and_every_half_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with shown_progress() as show:
        for done in range(20, 101):
            show(Way.READ, done, 100)
            now += 1.0
        show(Way.EXPLAINED, 0, 5)
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.splitlines() == [
        "Label reads: 20 of 100",
        "Label reads: 50 of 100, 1.0/s, 50 s left",
        "Label reads: 80 of 100, 1.0/s, 20 s left",
        "Label reads: 100 of 100, 1.0/s",
        "Explanations: 0 of 5",
    ]
