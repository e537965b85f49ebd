"""Samples on disk: nothing is lost, nobody else may read them, and no post is in a message."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from training.errors import DataError
from training.evaluate.records import Explained, FreeForm, Read, Record
from training.evaluate.store import SAMPLES_FILE, load_records, write_records

RECORD = Record(
    id="dreaddit/val.csv:1:stress",
    set="dreaddit",
    split="val",
    question="stress",
    post="The rent is due.\nAgain… \u2028 “soon”",
    post_key="0123456789abcdef",
    reference="yes",
    annotation="no",
    reference_explanation="It says so.",
    seen=False,
    read=Read({"yes": -0.25, "no": -1.5}, {"yes": 0.7, "no": 0.3}, 0.9),
    explained=Explained("yes", "Because.", "stop", 2, None),
    free_form=FreeForm("Hm.", "length", 3, None, None, "no_label"),
    error=None,
    cut=12,
)


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    bare = Record("a:1:stress", "dreaddit", "val", "stress", "x", "k", "no", error="text_too_long")
    write_records(tmp_path, [RECORD, bare])
    assert load_records(tmp_path) == [RECORD, bare]


def test_a_label_without_any_probability_comes_back(tmp_path: Path) -> None:
    read = Read({"yes": 0.0, "no": -math.inf}, {"yes": 1.0, "no": 0.0}, 0.5)
    write_records(tmp_path, [replace(RECORD, read=read)])
    assert load_records(tmp_path)[0].read == read
    line = (tmp_path / SAMPLES_FILE).read_text(encoding="utf-8")
    assert json.loads(line)["read"]["log_probabilities"] == {"yes": 0.0, "no": None}


def test_half_a_surrogate_pair_comes_back(tmp_path: Path) -> None:
    write_records(tmp_path, [replace(RECORD, post="so \ud83d tired")])
    (tmp_path / SAMPLES_FILE).read_bytes().decode("utf-8")
    assert load_records(tmp_path)[0].post == "so \ud83d tired"


def test_only_the_owner_may_read_samples_even_over_an_open_file(tmp_path: Path) -> None:
    path = tmp_path / SAMPLES_FILE
    path.write_text("old")
    path.chmod(0o644)
    write_records(tmp_path, [RECORD])
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == [SAMPLES_FILE]


@pytest.mark.parametrize("line", ["{secret", '{"post": "secret"}', "[]", '{"read": {}}', ""])
def test_a_damaged_line_is_named_and_not_shown(tmp_path: Path, line: str) -> None:
    write_records(tmp_path, [RECORD])
    with (tmp_path / SAMPLES_FILE).open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(DataError, match="Line 2 of") as raised:
        load_records(tmp_path)
    assert "secret" not in raised.value.message


def test_a_folder_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="evaluate"):
        load_records(tmp_path)
