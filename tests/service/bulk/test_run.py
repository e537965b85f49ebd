"""A whole run by the command: what it writes, what it says, and what it refuses."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.bulk.summary import Summary
from service.cli.exit_codes import ExitCode
from service.errors import EngineError
from tests.service.bulk import engine
from tests.service.bulk.conftest import Run

WORD = "zqword"
POSTS = [f"{WORD} number {n}" for n in range(300)]


@pytest.fixture(autouse=True)
def posts(run: Run) -> None:
    rows = [{"id": n, "text": post, "label": "mine"} for n, post in enumerate(POSTS)]
    Path("posts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def read(name: str) -> list[dict[str, Any]]:
    if name.endswith(".parquet"):
        return pq.read_table(name).to_pylist(maps_as_pydicts="strict")
    with Path(name).open(newline="") as file:
        if name.endswith(".csv"):
            return list(csv.DictReader(file))
        return [json.loads(line) for line in file]


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv"])
def test_a_tidy_result(run: Run, kind: str) -> None:
    done = run("posts.jsonl", "--output", f"out.{kind}", "--tasks", "stress,interpersonal_risk")
    assert done.exit_code == 0, done.output
    rows = read(f"out.{kind}")
    assert [int(row["row"]) for row in rows] == [n for n in range(300) for _ in range(3)]
    assert [row["text"] for row in rows[::3]] == POSTS
    assert {row["input_label"] for row in rows} == {"mine"}
    assert [row["question"] for row in rows[:3]] == [
        "stress",
        "interpersonal_risk.thwarted_belongingness",
        "interpersonal_risk.perceived_burdensomeness",
    ]
    first = rows[0]
    said, found = first["probabilities"], first["evidence"]
    if kind == "csv":
        said, found = json.loads(said), json.loads(found)
    assert sum(said.values()) == pytest.approx(1)
    assert found == [{"quote": "zqwo", "start": 0, "end": 4}]
    assert float(first["probability"]) == pytest.approx(said[first["candidate"]])
    assert not Path(f"out.{kind}.partial").exists()


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv"])
def test_a_wide_result(run: Run, kind: str) -> None:
    done = run("posts.jsonl", "--output", f"out.{kind}", "--tasks", "stress", "--layout", "wide")
    assert done.exit_code == 0, done.output
    rows = read(f"out.{kind}")
    assert [int(row["row"]) for row in rows] == list(range(300))
    for row in rows:
        yes, no = float(row["stress.p.yes"]), float(row["stress.p.no"])
        assert row["stress.candidate"] == ("yes" if yes >= no else "no")
    assert rows[0]["label"] == "mine"  # no other column has the name


def test_rows_that_fail_are_counted(run: Run) -> None:
    Path("bad.csv").write_bytes(b"text,n\nfine,1\n,2\nlong " + b"x" * 6000 + b",3\n\xff,4\nodd\n")
    done = run("bad.csv", "--output", "out.jsonl", "--tasks", "stress")
    assert done.exit_code == ExitCode.ROWS_FAILED
    rows = read("out.jsonl")
    assert [(row["row"], row["error"]) for row in rows] == [
        (0, None),
        (1, "empty_text"),
        (2, "text_too_long"),
        (3, "not_text"),
        (4, "malformed_row"),
    ]
    assert [row["n"] for row in rows] == ["1", "2", "3", "4", None]
    assert "4 rows have no answers" in done.stderr
    summary = Summary.model_validate_json(Path("out.jsonl.summary.json").read_text())
    assert summary.tally.rows == 5
    assert sum(summary.tally.failed.values()) == 4


def test_no_text_but_where_it_was_asked_for(run: Run) -> None:
    done = run("posts.jsonl", "--output", "out.csv", "--tasks", "stress", "--no-texts")
    assert "text" not in read("out.csv")[0]
    said = done.output + Path("out.csv.summary.json").read_text()
    page = Path("out.csv.summary.html").read_text()
    assert WORD not in said + page
    assert not re.search(r"""(src|href)=|url\(|https?://|<script""", page)
    assert "diagnos" in page  # the notice that it is none


def test_the_summary_counts_what_the_result_holds(run: Run) -> None:
    run("posts.jsonl", "--output", "out.jsonl", "--tasks", "stress", "--abstention-band", "0,1")
    rows = read("out.jsonl")
    summary = Summary.model_validate_json(Path("out.jsonl.summary.json").read_text())
    counts = summary.tally.questions["stress"]
    for label in ("yes", "no"):
        assert counts.labels[label] == sum(row["label"] == label for row in rows)
    assert counts.abstained == sum(row["abstained"] for row in rows) > 0
    assert sum(counts.confidence) == counts.answers == 300
    assert counts.probability == pytest.approx(sum(row["probability"] for row in rows))
    assert summary.sessions[0].rows == 300


def test_standard_input(run: Run) -> None:
    lines = "\n".join(POSTS).encode()
    given = ("-", "--output", "out.jsonl", "--tasks", "stress", "--input-format", "text")
    assert run(*given, stdin=lines).exit_code == 0
    assert [row["text"] for row in read("out.jsonl")] == POSTS
    assert run(*given[:3], stdin=lines).exit_code == ExitCode.USAGE
    assert "empty" in run(*given[:2], "other.jsonl", *given[3:], stdin=b"").output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("posts.jsonl", "--output", "out.txt"), "--output"),
        (("posts.jsonl", "--output", "out.doc"), "--output-format"),
        (("posts.jsonl", "--output", "none/out.csv"), "does not exist"),
        (("posts.jsonl", "--output", "posts.jsonl", "--restart"), "one of the inputs"),
        (("posts.jsonl", "--output", "out.csv", "--column", "body"), "--column"),
        (("posts.jsonl", "--output", "out.csv", "--tasks", "sadness"), "names nothing"),
        (("posts.jsonl", "--output", "out.csv", "--json"), "--json"),
        (("posts.jsonl", "--output", "out.csv", "--ray", "--url", "http://x"), "not both"),
        (("posts.jsonl",), "--output RESULT"),
        (("one text", "another"), "Give one text"),
    ],
)
def test_what_cannot_be_done_is_said(run: Run, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.exit_code == ExitCode.USAGE
    assert said in done.stderr.replace("\n", " ")
    assert not list(Path().glob("*.partial"))


def test_a_result_is_not_written_over(run: Run) -> None:
    given = ("posts.jsonl", "--output", "out.csv", "--tasks", "stress")
    assert run(*given).exit_code == 0
    before = Path("out.csv").read_bytes()
    again = run(*given)  # as a scheduler does that starts it once more
    assert (again.exit_code, "made it before" in again.stderr) == (0, True)
    other = run(*given, "--layout", "wide")
    assert (other.exit_code, "--restart" in other.stderr) == (ExitCode.USAGE, True)
    assert run(*given, "--restart").exit_code == 0
    assert Path("out.csv").read_bytes() == before
    with Path("out.csv").open("a") as file:
        file.write("somebody's\n")
    assert run(*given).exit_code == ExitCode.USAGE
    assert "somebody's" in Path("out.csv").read_text()
    assert not Path("out.csv.partial").exists()


def test_columns_of_any_type_come_along(run: Run) -> None:
    table = pa.table(
        {
            "text": ["a", "b"],
            "tags": [["x", "y"], None],
            "of": [{"n": 1}, {"n": 2}],
            "share": [float("nan"), 0.5],
            "kind": pa.array(["u", "v"]).dictionary_encode(),
            "bytes": [b"\xff", b"z"],
            "day": pa.array([0, 1], pa.date32()),
            "price": pa.array([None, 1], pa.decimal128(5, 2)),
            "at": pa.array([1, 2], pa.time64("us")),
        }
    )
    pq.write_table(table, "posts.parquet")
    for kind in ("csv", "jsonl", "parquet"):
        given = ("posts.parquet", "--output", f"out.{kind}", "--tasks", "stress")
        done = run(*given, "--layout", "wide")
        assert done.exit_code == 0, (kind, done.output)
        first, second = read(f"out.{kind}")
        tags = json.loads(first["tags"]) if kind == "csv" else first["tags"]
        assert tags == ["x", "y"]
        assert (first["kind"], second["kind"]) == ("u", "v")
        assert float(second["share"]) == 0.5
    assert "NaN" not in Path("out.jsonl").read_text()


def test_names_and_values_that_are_no_unicode(run: Run) -> None:
    Path("odd.jsonl").write_text('{"text": "a", "\\ud800": 1, "of": {"x": ["\\udfff"]}}\n')
    for kind in ("csv", "jsonl", "parquet"):
        done = run("odd.jsonl", "--output", f"out.{kind}", "--tasks", "stress")
        assert done.exit_code == 0, done.output


def test_a_text_on_which_the_engine_fails_is_a_row(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from service.bulk import answering

    asked: list[str] = []

    def opened(*given: Any) -> Any:
        @asynccontextmanager
        async def fails() -> AsyncIterator[Any]:
            async with engine.opened(*given) as answer:

                async def one(text: str) -> Any:
                    asked.append(text)
                    if text == POSTS[7]:
                        raise EngineError("The engine failed.")
                    return await answer(text)

                yield answering.blaming(one)

        return fails()

    from service.cli import bulk

    monkeypatch.setattr(bulk, "in_process", opened)
    done = run("posts.jsonl", "--output", "out.jsonl", "--tasks", "stress")
    assert done.exit_code == ExitCode.ROWS_FAILED
    assert [row["row"] for row in read("out.jsonl") if row["error"] == "engine_error"] == [7]
    assert (asked.count(POSTS[7]), asked.count(answering.PROBE)) == (3, 1)
    monkeypatch.setattr(answering, "PROBE", POSTS[7])  # now it answers nothing
    done = run("posts.jsonl", "--output", "other.jsonl", "--tasks", "stress")
    assert done.exit_code == ExitCode.FAILURE
    assert not Path("other.jsonl").exists()
