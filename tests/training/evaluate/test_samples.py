"""Records: what is known of a row and what the journal holds on it, and no more than was asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from imhi.tasks import QUESTIONS
from tests.training.evaluate.benchmarks import EXPLANATION, example, stress_rows
from training.evaluate.journal import Outcome, Way, open_journal
from training.evaluate.records import Explained, FreeForm, Read, Record
from training.evaluate.samples import records_of
from training.evaluate.selection import select
from training.evaluate.source import Source

READ = Read({"yes": -0.1, "no": -2.4}, {"yes": 0.9, "no": 0.1}, 1.0)
SAID = Explained("yes", "Because.", "stop", 2, 0.8)
RESPONSE = FreeForm("Yes.", "stop", 2, "yes", None, None)


def source(seen: frozenset[str] | None = None) -> Source:
    return Source("data", (), (), seen, None)


def records(
    folder: Path, outcomes: list[Outcome], explained: int = 1, free_form: int = 1
) -> tuple[Record, ...]:
    rows = [replace(example(0), annotation=QUESTIONS["stress"].label("no"))]
    selection = select(rows, explained=explained, free_form=free_form)
    with open_journal(folder, {}) as journal:
        for outcome in outcomes:
            journal.add(outcome)
        return records_of(selection, source(), journal)


def test_a_record_holds_the_row_and_all_answers(tmp_path: Path) -> None:
    row = example(0)
    outcomes = [
        Outcome(row.id, Way.READ, READ, cut=3),
        Outcome(row.id, Way.EXPLAINED, SAID, cut=9),
        Outcome(row.id, Way.FREE_FORM, RESPONSE),
    ]
    assert records(tmp_path, outcomes) == (
        Record(
            id=row.id,
            set="dreaddit",
            split="val",
            question="stress",
            post=row.post,
            post_key=row.post_key,
            reference="yes",
            annotation="no",
            reference_explanation=EXPLANATION,
            read=READ,
            explained=SAID,
            free_form=RESPONSE,
            cut=9,
        ),
    )


def test_answers_of_a_wider_run_that_were_not_asked_for_are_left_out(tmp_path: Path) -> None:
    row = example(0)
    outcomes = [Outcome(row.id, Way.READ, READ), Outcome(row.id, Way.EXPLAINED, SAID, cut=9)]
    [record] = records(tmp_path, outcomes, explained=0)
    assert (record.read, record.explained, record.cut) == (READ, None, 0)


def test_a_row_that_cannot_be_read_has_an_error(tmp_path: Path) -> None:
    row = example(0)
    [record] = records(tmp_path, [Outcome(row.id, Way.READ, None, "text_too_long")])
    assert (record.read, record.error) == (None, "text_too_long")


def test_a_response_that_cannot_be_had_is_one_that_cannot_be_read(tmp_path: Path) -> None:
    row = example(0)
    outcomes = [
        Outcome(row.id, Way.READ, READ),
        Outcome(row.id, Way.FREE_FORM, None, "text_too_long"),
    ]
    [record] = records(tmp_path, outcomes)
    assert record.error is None
    assert record.free_form == FreeForm("", "error", 0, None, None, "text_too_long")


def test_a_row_that_was_not_asked_yet_is_there_and_empty(tmp_path: Path) -> None:
    [record] = records(tmp_path, [])
    assert (record.read, record.explained, record.free_form, record.error) == (None,) * 4


def test_seen_posts_are_marked_where_they_are_known(tmp_path: Path) -> None:
    rows = stress_rows()
    with open_journal(tmp_path, {}) as journal:
        known = records_of(select(rows), source(frozenset([rows[1].post_key])), journal)
    assert [record.seen for record in known] == [False, True, False, False, False, False]
    assert records(tmp_path, [])[0].seen is None
