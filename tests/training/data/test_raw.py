from pathlib import Path

import pytest

from tests.training.data.folders import BELONGING, STRESS, example, post, write_csv
from training.data.example import Example, Origin, Span, Split
from training.data.mending import Mender
from training.data.raw import Joined, join_raw, read_raw
from training.errors import DataError

IRF_COLUMNS = ("", "text", "belong", "belong_exp", "burden", "burden_exp")
CAMS_COLUMNS = ("selftext", "cause", "inference")


def irf(folder: Path, rows: list[tuple[str, ...]], split: str = "train") -> Path:
    rows = [(str(i), *row) for i, row in enumerate(rows)]
    write_csv(folder / f"raw/Irf/{split}_data.csv", IRF_COLUMNS, rows)
    return folder


def cams(folder: Path, rows: list[tuple[str, ...]]) -> Path:
    write_csv(folder / "raw/CAMS/added_CAMS_data.csv", CAMS_COLUMNS, rows)
    return folder


def marked(found: Example) -> list[str] | None:
    if found.evidence is None:
        return None
    return [found.post[mark.start : mark.end] for mark in found.evidence]


def released(text: str, split: Split, label: str = "yes") -> Example:
    return example(text, BELONGING, label, set_id="IRF", split=split)


def test_irf_rows(tmp_path: Path) -> None:
    text = "Nobody at the new office talks to me. I eat alone."
    raw = read_raw(irf(tmp_path, [(text, "1", "nobody at the new OFFICE", "0", "")]), ["IRF"])
    belong, burden = (row.example for row in raw.rows)
    assert belong.question.id == "interpersonal_risk.thwarted_belongingness"
    assert burden.question.id == "interpersonal_risk.perceived_burdensomeness"
    assert (belong.label.id, burden.label.id) == ("yes", "no")
    assert marked(belong) == ["Nobody at the new office"]
    assert marked(burden) == []
    assert belong.origin is Origin.ANNOTATION
    assert belong.annotation is belong.label
    assert belong.explanation is None
    assert raw.files == {"raw/Irf/train_data.csv": 1}
    assert raw.missing == ("raw/Irf/val_data.csv",)


def test_multiwd_rows(tmp_path: Path) -> None:
    names = ("Spiritual", "Physical", "Intellectual", "Social", "Vocational", "Emotional")
    write_csv(
        tmp_path / "raw/MultiWD/train_data.csv",
        ("text", *names),
        [(post(1), "0", "1", "0", "1", "0", "1.0")],
    )
    rows = [row.example for row in read_raw(tmp_path, ["MultiWD"]).rows]
    assert {e.question.id: e.label.id for e in rows} == {
        "wellness.spiritual": "no",
        "wellness.physical": "yes",
        "wellness.intellectual": "no",
        "wellness.social": "yes",
        "wellness.vocational": "no",
        "wellness.emotional": "yes",
    }
    assert all(e.evidence is None for e in rows)
    assert len({e.id for e in rows}) == 6


def test_cams_causes(tmp_path: Path) -> None:
    rows = read_raw(cams(tmp_path, [(post(n), str(n), "") for n in range(6)]), ["CAMS"]).rows
    assert [row.example.label.id for row in rows] == [
        *("none", "bias_or_abuse", "jobs_and_career", "medication", "relationship", "alienation")
    ]


@pytest.mark.parametrize(
    ("inference", "found", "marks"),
    [
        ("lost my job, then my flat", ["lost my job, then my flat"], (1, 1)),
        ("my flat ,lost my job,", ["lost my job", "my flat"], (2, 2)),
        ("my flat; a dog\nlost my", ["lost my", "my flat"], (3, 2)),
        ("nothing of this", None, (1, 0)),
        ("", [], (0, 0)),
    ],
)
def test_marks_are_looked_up(
    tmp_path: Path, inference: str, found: list[str] | None, marks: tuple[int, int]
) -> None:
    text = "First I lost my job, then my flat."
    (row,) = read_raw(cams(tmp_path, [(text, "2", inference)]), ["CAMS"]).rows
    assert marked(row.example) == found
    assert (row.marks, row.found) == marks


def test_marks_are_offsets_in_the_mended_post(tmp_path: Path) -> None:
    text = "It\N{RIGHT SINGLE QUOTATION MARK}s late &amp; I am alone"
    damaged = text.encode().decode("mac_roman")
    raw = read_raw(cams(tmp_path, [(damaged, "5", "I am alone")]), ["CAMS"], Mender())
    mended = raw.rows[0].example
    assert mended.post == "It\N{RIGHT SINGLE QUOTATION MARK}s late & I am alone"
    assert marked(mended) == ["I am alone"]


def test_rows_without_a_label_are_named(tmp_path: Path) -> None:
    raw = read_raw(cams(tmp_path, [(post(1), "7", ""), (post(2), "", ""), (post(3), "1", "")]))
    assert [(row.row, row.reason) for row in raw.unread] == [
        (1, "the column cause holds no label"),
        (2, "the column cause holds no label"),
    ]
    assert len(raw.rows) == 1


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    write_csv(tmp_path / "raw/CAMS/added_CAMS_data.csv", ("selftext", "cause"), [("a", "1")])
    with pytest.raises(DataError, match="lacks the columns inference"):
        read_raw(tmp_path)


def joined(folder: Path, *rows: Example) -> Joined:
    return join_raw(rows, read_raw(folder, ["IRF"]).rows)


def test_raw_labels_annotate_released_rows_of_any_split(tmp_path: Path) -> None:
    text = post(1)
    irf(tmp_path, [(text.upper(), "0", "THING1X0 thing1x1", "1", "")])
    both = joined(tmp_path, released(text, Split.VAL))
    assert both.examples[0].label.id == "yes"
    assert both.examples[0].annotation is not None
    assert both.examples[0].annotation.id == "no"
    assert marked(both.examples[0]) == ["thing1x0 thing1x1"]
    assert both.annotated == (both.examples[0].id,)
    # The other question of the post is asked nowhere else.
    assert [e.question.id for e in both.examples[1:]] == [
        "interpersonal_risk.perceived_burdensomeness"
    ]


def test_a_post_that_was_cut_is_the_same_post(tmp_path: Path) -> None:
    long = post(1) * 5
    irf(tmp_path, [(long, "0", "", "1", "")])
    both = joined(tmp_path, released(long[:250], Split.TRAIN))
    assert both.annotated == (both.examples[0].id,)


def test_another_sets_rows_are_not_annotated(tmp_path: Path) -> None:
    irf(tmp_path, [(post(1), "0", "", "1", "")])
    both = joined(tmp_path, example(post(1), STRESS))
    assert both.annotated == ()
    assert len(both.examples) == 3


def test_raw_rows_that_contradict_each_other_annotate_nothing(tmp_path: Path) -> None:
    irf(tmp_path, [(post(1), "0", "", "1", ""), (post(1), "1", "", "1", "")])
    both = joined(tmp_path, released(post(1), Split.VAL))
    assert both.disputed == (both.examples[0].id,)
    assert both.examples[0].annotation is None


def test_a_released_val_split_gets_no_more_rows(tmp_path: Path) -> None:
    irf(tmp_path, [(post(1), "0", "", "1", ""), (post(2), "1", "", "1", "")], "val")
    both = joined(tmp_path, released(post(1), Split.VAL))
    assert len(both.examples) == 1
    assert len(both.outside) == 3
    alone = joined(tmp_path, released(post(9), Split.TRAIN))
    assert [e.split for e in alone.examples[1:]] == [Split.VAL] * 4
    assert alone.outside == ()


def test_spans_count_code_points(tmp_path: Path) -> None:
    (row,) = read_raw(cams(tmp_path, [("🌧 rain again", "0", "rain")]), ["CAMS"]).rows
    assert row.example.evidence == (Span(2, 6),)
