"""Reading the raw sources: every form of file, every known format, and what is skipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.training.data.folders import write_csv
from training.build.recipe import SourceRecipe
from training.build.sources import FileRows, read_source
from training.data.example import Example, Origin
from training.data.mending import Mender
from training.errors import DataError, RecipeError

POSTS = ("I slept for two hours again.", "We went for a swim, it was lovely.")


def read(root: Path, set_id: str, file: str, **fields: Any) -> FileRows:
    source = SourceRecipe(set=set_id, files={"train": root / file}, **fields)
    [found] = read_source(source, root, Mender())
    return found


def labels(found: FileRows) -> list[str]:
    return [example.label.id for example in found.examples]


def by_question(found: FileRows) -> dict[str, Example]:
    return {example.question.id: example for example in found.examples}


def test_dreaddit(tmp_path: Path) -> None:
    rows = [("ptsd", POSTS[0], "1"), ("food", POSTS[1], "0"), ("food", "  ", "0"), ("x", "Hm", "?")]
    write_csv(tmp_path / "d.csv", ("subreddit", "text", "label"), rows)
    found = read(tmp_path, "dreaddit", "d.csv")
    assert labels(found) == ["yes", "no"]
    assert (found.rows, found.skipped) == (4, {"no post": 1, "no label in label": 1})
    first = found.examples[0]
    assert (first.id, first.post, first.origin) == ("d.csv:1:stress", POSTS[0], Origin.ANNOTATION)
    assert first.annotation == first.label
    assert first.explanation is None


def test_a_folder_of_text_files(tmp_path: Path) -> None:
    for folder, name, text in (("depression", "b", POSTS[0]), ("non-depression", "a", POSTS[1])):
        (tmp_path / "DR" / folder).mkdir(parents=True)
        (tmp_path / "DR" / folder / f"{name}.txt").write_text(text)
    found = read(tmp_path, "DR", "DR")
    assert [(e.post, e.label.id, e.row) for e in found.examples] == [
        (POSTS[0], "yes", 1),
        (POSTS[1], "no", 2),
    ]


def test_folders_of_other_names_are_mapped(tmp_path: Path) -> None:
    for folder in ("mh", "birds"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.txt").write_text(POSTS[0])
    with pytest.raises(DataError, match=r"gives no example: no label in folder .2."):
        read(tmp_path, "DR", ".")
    column = {"column": "folder", "values": {"mh": "yes", "birds": "no"}}
    assert labels(read(tmp_path, "DR", ".", labels={"depression": column})) == ["no", "yes"]


def test_swmh_goes_by_subreddit_and_needs_an_agreement(tmp_path: Path) -> None:
    names = ("self.depression", "self.SuicideWatch", "r/Anxiety", "bipolar", "self.offmychest")
    rows = [(f"{POSTS[0]} {number}", name) for number, name in enumerate(names)]
    write_csv(tmp_path / "s.csv", ("text", "label"), rows)
    with pytest.raises(RecipeError, match="agreed: true"):
        read(tmp_path, "SWMH", "s.csv")
    assert labels(read(tmp_path, "SWMH", "s.csv", agreed=True)) == [
        "depression",
        "suicide",
        "anxiety",
        "bipolar_disorder",
        "none",
    ]


def test_sad(tmp_path: Path) -> None:
    rows = [
        (POSTS[0], "Health, Fatigue, or Physical Pain"),
        (POSTS[1], "Everyday Decision Making"),
        ("The rent again.", "Financial Problem"),
    ]
    write_csv(tmp_path / "s.csv", ("sentence", "original_label"), rows)
    found = read(tmp_path, "SAD", "s.csv")
    assert labels(found) == ["health_issues", "everyday_decision_making", "financial_problem"]


def test_cams_with_what_annotators_marked(tmp_path: Path) -> None:
    rows = [(POSTS[0], "5", "two hours"), (POSTS[1], "2", "my boss"), ("They left me.", "4.0", "")]
    write_csv(tmp_path / "c.csv", ("selftext", "cause", "inference"), rows)
    found = read(tmp_path, "CAMS", "c.csv")
    assert labels(found) == ["alienation", "jobs_and_career", "relationship"]
    [span] = found.examples[0].evidence or ()
    assert POSTS[0][span.start : span.end] == "two hours"
    assert [example.evidence for example in found.examples[1:]] == [None, ()]
    assert (found.marks, found.marks_found) == (2, 1)


def test_one_post_with_several_questions(tmp_path: Path) -> None:
    names = ("Spiritual", "Physical", "Intellectual", "Social", "Vocational", "Emotional")
    row = (POSTS[0], "0", "1", "0", "0", "", "1")
    write_csv(tmp_path / "w.csv", ("text", *names), [row])
    found = read(tmp_path, "MultiWD", "w.csv")
    assert found.skipped == {"no label in Vocational": 1}
    assert {name: one.label.id for name, one in by_question(found).items()} == {
        "wellness.spiritual": "no",
        "wellness.physical": "yes",
        "wellness.intellectual": "no",
        "wellness.social": "no",
        "wellness.emotional": "yes",
    }


LONELY = {"loneliness": {"column": "class", "values": {"lonely": "yes", "control": "no", 3: "no"}}}


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_a_mapping_reads_every_form(tmp_path: Path, form: str) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    rows = [
        {"title": "Again", "tweet": POSTS[0], "class": "Lonely"},
        {"title": "", "tweet": POSTS[1], "class": "control"},
        {"title": "", "tweet": "Three.", "class": "3"},
    ]
    path = tmp_path / f"l.{form}"
    if form == "jsonl":
        numbers = [{**row, "class": 3} if row["class"] == "3" else row for row in rows]
        path.write_text("".join(f"{json.dumps(row)}\n" for row in numbers) + "\n")
    elif form == "parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        mark = "\t" if form == "tsv" else ","
        lines = [mark.join(f'"{cell}"' for cell in row.values()) for row in rows]
        path.write_text("\n".join([mark.join(rows[0]), *lines]))
    found = read(tmp_path, "loneliness", path.name, text=["title", "tweet"], labels=LONELY)
    assert labels(found) == ["yes", "no", "no"]
    assert [example.post for example in found.examples] == [
        f"Again\n\n{POSTS[0]}",
        POSTS[1],
        "Three.",
    ]


def test_labels_by_their_own_names(tmp_path: Path) -> None:
    rows = [(POSTS[0], "PTSD"), (POSTS[1], "none"), ("x y", "no mental disorders"), ("z", "joy")]
    write_csv(tmp_path / "t.csv", ("text", "label"), rows)
    found = read(tmp_path, "T-SID", "t.csv", labels={"mental_disorder.tsid": {"column": "label"}})
    assert labels(found) == ["ptsd", "none", "none"]
    assert found.skipped == {"no label in label": 1}


@pytest.mark.parametrize("set_id", ["T-SID", "loneliness", "CLP"])
def test_a_source_without_a_published_format_needs_a_mapping(tmp_path: Path, set_id: str) -> None:
    write_csv(tmp_path / "t.csv", ("text", "label"), [("x", "y")])
    with pytest.raises(RecipeError, match="say in its source what the columns are"):
        read(tmp_path, set_id, "t.csv", agreed=True)


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    write_csv(tmp_path / "d.csv", ("body", "label"), [(POSTS[0], "1")])
    with pytest.raises(DataError, match="lacks the columns text; it has: body, label") as caught:
        read(tmp_path, "dreaddit", "d.csv")
    assert POSTS[0] not in caught.value.message
    assert labels(read(tmp_path, "dreaddit", "d.csv", text="body")) == ["yes"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.csv", None, "There is no file"),
        ("x.xlsx", b"x", "of no form that is known"),
        ("x.jsonl", b'{"text": "a", "label": 1}\n{"te', "Line 2 of"),
        ("x.jsonl", b"[1]\n", "Line 1 of"),
        ("x.jsonl", b'{"text": "\xff"}\n', "not UTF-8"),
        ("x.parquet", b"PAR1 no", "cannot be read"),
        ("empty", "folder", "holds no folder with text files"),
    ],
)
def test_files_that_cannot_be_read(
    tmp_path: Path, name: str, content: bytes | str | None, said: str
) -> None:
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content:
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=said):
        read(tmp_path, "dreaddit", name)


def test_text_is_mended(tmp_path: Path) -> None:
    write_csv(tmp_path / "d.csv", ("text", "label"), [("Rock &amp;amp; roll all night", "0")])
    mend = Mender()
    source = SourceRecipe(set="dreaddit", files={"train": tmp_path / "d.csv"})
    [found] = read_source(source, tmp_path, mend)
    assert found.examples[0].post == "Rock & roll all night"
    assert list(mend.changed["entities"]) == ["d.csv:1"]
