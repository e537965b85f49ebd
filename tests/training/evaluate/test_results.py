"""The form of results.json: what it holds together, what it refuses, what it says then."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.training.evaluate.made_records import made_records, with_free_form
from tests.training.evaluate.test_summary import summary_of
from training.errors import DataError
from training.evaluate.reports import write_reports
from training.evaluate.results import RESULTS_FILE, Confusion, Figure, load_results

pytestmark = pytest.mark.usefixtures("no_drawings")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    results = summary_of(with_free_form(made_records(("DR", "SAD"))))
    write_reports(tmp_path, results)
    assert load_results(tmp_path) == results


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist: give the output folder"):
        load_results(tmp_path)


@pytest.mark.parametrize(
    ("change", "field"),
    [({"schema_version": 2}, "schema_version"), ({"surprise": 1}, "surprise")],
)
def test_another_releases_file_is_refused_by_the_field(
    tmp_path: Path, change: dict[str, int], field: str
) -> None:
    write_reports(tmp_path, summary_of(made_records(("DR",), 5)))
    path = tmp_path / RESULTS_FILE
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change))
    with pytest.raises(DataError, match=f"`{field}`.*evaluate"):
        load_results(tmp_path)


def test_a_figure_has_a_value_or_a_reason() -> None:
    with pytest.raises(ValidationError, match="reason"):
        Figure(value=None)
    with pytest.raises(ValidationError, match="low at most high"):
        Figure(value=0.5, interval=(0.6, 0.4))


def test_a_matrix_has_a_column_for_no_label() -> None:
    with pytest.raises(ValidationError, match="one more"):
        Confusion(labels=("yes", "no"), counts=((1, 2), (3, 4)))


def test_reports_that_cannot_be_written_say_so(tmp_path: Path) -> None:
    results = summary_of(made_records(("DR",), 5))
    with pytest.raises(DataError, match="cannot be written"):
        write_reports(tmp_path / "missing", results)
