"""`mentalllama-train annotate`: the whole way, from two runs to a report, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import Result

from tests.training.annotate.made import records
from tests.training.command import error_text, invoke
from training.annotate.rubric import RUBRICS
from training.evaluate.store import write_records


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        write_records(tmp_path / name, records(name))
    return [str(tmp_path / "ours"), f"rival={tmp_path / 'theirs'}"]


def annotate(*arguments: str) -> Result:
    return invoke("annotate", *arguments)


def fill(path: Path, value: int) -> None:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row.update({criterion.id: str(value) for criterion in RUBRICS["imhi"].criteria})
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_the_whole_way(runs, tmp_path) -> None:
    out = tmp_path / "rated"
    drawn = annotate(
        "export", *runs, "--annotators", "ana,ben", "--rows", "4", "--output", str(out)
    )
    assert drawn.exit_code == 0, drawn.stderr
    assert "8 explanations of 2 systems." in drawn.stdout
    fill(out / "annotators" / "ana" / "ratings.csv", 3)
    first = annotate("import", str(out), "--json")
    assert json.loads(first.stdout) == {"added": 32, "changed": 0, "missing": {"ben": 32}}
    sheet = tmp_path / "ben.csv"
    sheet.write_bytes((out / "annotators" / "ben" / "ratings.csv").read_bytes())
    fill(sheet, 2)
    second = annotate("import", str(out), str(sheet))
    assert "32 ratings added, 0 changed." in second.stdout
    assert "missing" not in second.stdout
    shown = annotate("report", str(out), "--resamples", "50")
    assert shown.exit_code == 0, shown.stderr
    assert "rival" in shown.stdout
    assert "2.500" in shown.stdout
    results = json.loads((out / "annotation.json").read_text())
    assert results["systems"] in (["ours", "rival"], ["rival", "ours"])
    assert (out / "annotation.html").is_file()
    assert json.loads(annotate("report", str(out), "--json").stdout)["ratings"] == 64


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--annotators", "ana", "--overlap", "2"), "lower --overlap"),
        (("--annotators", "../ana"), "Name annotators by"),
        (("--annotators", ","), "Name annotators by"),
        (("--annotators", "ana,ben", "--rubric", "mine"), "There is no rubric mine"),
        (("RUN", "--annotators", "ana", "--overlap", "1"), "Two systems are called ours"),
    ],
)
def test_a_wrong_export_says_what_to_do(runs, tmp_path, arguments, said) -> None:
    words = [runs[0] if word == "RUN" else word for word in arguments]
    result = annotate("export", *runs, *words, "--output", str(tmp_path / "rated"))
    assert result.exit_code == 2
    assert said in error_text(result)
    assert not (tmp_path / "rated").exists()


def test_a_file_of_nobody_is_refused(runs, tmp_path) -> None:
    out = str(tmp_path / "rated")
    annotate("export", *runs, "--annotators", "ana", "--overlap", "1", "--output", out)
    (tmp_path / "zoe.csv").write_text("item\n")
    result = annotate("import", out, str(tmp_path / "zoe.csv"))
    assert result.exit_code == 2
    assert "Call it NAME.csv, by one of: ana" in error_text(result)


def test_there_is_nothing_to_report_without_ratings(runs, tmp_path) -> None:
    out = str(tmp_path / "rated")
    annotate("export", *runs, "--annotators", "ana", "--overlap", "1", "--output", out)
    assert annotate("report", out).exit_code == 3
    nothing = annotate("report", str(tmp_path / "nowhere"))
    assert nothing.exit_code == 3
    assert "annotate export" in nothing.stderr
