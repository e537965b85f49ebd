"""The journal: what was answered outlives the process; other settings are refused by name."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from training.errors import DataError, UsageError
from training.evaluate.journal import JOURNAL_FILE, Journal, Outcome, Way, open_journal
from training.evaluate.records import Explained, FreeForm, Read

SETTINGS = {"model": "tested", "truncation": "error"}
OUTCOMES = [
    Outcome("a", Way.READ, Read({"yes": 0.0, "no": -math.inf}, {"yes": 1.0, "no": 0.0}, 0.5)),
    Outcome("a", Way.EXPLAINED, Explained("yes", "so\n“quoted” \ud83d", "stop", 3, None), cut=7),
    Outcome("a", Way.FREE_FORM, FreeForm("Yes.", "stop", 2, "yes", None, None)),
    Outcome("b", Way.READ, None, "text_too_long"),
    Outcome("b", Way.EXPLAINED, None),
]


def fill(folder: Path) -> Path:
    with open_journal(folder, SETTINGS) as journal:
        journal.begin({"python": "3.11"})
        for outcome in OUTCOMES:
            journal.add(outcome)
    return folder / JOURNAL_FILE


def held(journal: Journal) -> list[Outcome]:
    return [one for o in OUTCOMES if (one := journal.get(o.id, o.way)) is not None]


def test_outcomes_come_back_as_they_were(tmp_path: Path) -> None:
    path = fill(tmp_path)
    with open_journal(tmp_path, SETTINGS) as journal:
        assert held(journal) == OUTCOMES
        assert len(journal) == len(OUTCOMES)
        assert journal.environment == {"python": "3.11"}
        assert journal.get("b", Way.FREE_FORM) is None
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_torn_last_line_is_cut_off_wherever_it_was_torn(tmp_path: Path) -> None:
    path = fill(tmp_path)
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    for length in range(1, len(last)):
        path.write_bytes(whole[: -len(last)] + last[:length])
        with open_journal(tmp_path, SETTINGS) as journal:
            assert held(journal) == OUTCOMES[:-1]
            journal.add(OUTCOMES[-1])
        assert path.read_bytes() == whole


def test_a_torn_first_line_begins_anew(tmp_path: Path) -> None:
    path = fill(tmp_path)
    path.write_bytes(path.read_bytes()[:9])
    with open_journal(tmp_path, SETTINGS) as journal:
        assert len(journal) == 0
    with open_journal(tmp_path, SETTINGS) as journal:
        assert journal.settings == SETTINGS


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({**SETTINGS, "truncation": "middle"}, "`truncation` was error and is now middle"),
        ({"model": "tested"}, "`truncation` was error and is now not given"),
        ({**SETTINGS, "adapter": "x"}, "`adapter` was not given and is now x"),
    ],
)
def test_other_settings_are_refused_by_name(
    tmp_path: Path, settings: dict[str, str], said: str
) -> None:
    path = fill(tmp_path)
    before = path.read_bytes()
    with pytest.raises(UsageError) as raised, open_journal(tmp_path, settings):
        pass
    assert said in raised.value.message
    assert "`model`" not in raised.value.message
    assert path.read_bytes() == before


def test_restart_throws_the_answers_away(tmp_path: Path) -> None:
    fill(tmp_path)
    with open_journal(tmp_path, {"model": "other"}, restart=True) as journal:
        assert len(journal) == 0
        journal.add(OUTCOMES[0])
    with open_journal(tmp_path, {"model": "other"}) as journal:
        assert held(journal) == OUTCOMES[:1]


def test_two_runs_do_not_write_one_journal(tmp_path: Path) -> None:
    with (
        open_journal(tmp_path, SETTINGS),
        pytest.raises(UsageError, match="Another run"),
        open_journal(tmp_path, SETTINGS),
    ):
        pass
    with open_journal(tmp_path, SETTINGS) as journal:
        assert len(journal) == 0


@pytest.mark.parametrize(
    "line",
    [
        b"{secret",
        b"[]",
        b'{"id": "a", "way": "secret", "answer": null, "error": null, "cut": 0}',
        b'{"id": "a", "way": "read", "answer": {"text": "secret"}, "error": null, "cut": 0}',
    ],
)
def test_a_damaged_line_is_named_and_not_shown(tmp_path: Path, line: bytes) -> None:
    path = fill(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], line + b"\n", *lines[2:]]))
    with pytest.raises(DataError, match="Line 3 of") as raised, open_journal(tmp_path, SETTINGS):
        pass
    assert "secret" not in raised.value.message


def test_another_file_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / JOURNAL_FILE).write_text('{"form": 99, "settings": {}}\n')
    with pytest.raises(DataError, match="not a journal"), open_journal(tmp_path, SETTINGS):
        pass
