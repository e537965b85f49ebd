"""The data of a run: prepared or released, with the posts that the model may know."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.evaluate.benchmarks import (
    POSTS,
    example,
    released_folder,
    stress_rows,
)
from training.data.example import Split, post_key
from training.data.prepared import write_prepared
from training.errors import DataError
from training.evaluate.source import load_source


def prepared(folder: Path) -> Path:
    rows = [*stress_rows(), example(0, split=Split.TRAIN), example(3, split=Split.TRAIN)]
    write_prepared(rows, folder, report={}, duplicates={}, card="card")
    return folder


def test_released_files_are_read_as_they_are(tmp_path: Path) -> None:
    source = load_source(released_folder(tmp_path / "imhi"), Split.VAL)
    assert source.name == "imhi"
    assert [row.post for row in source.examples if row.set == "dreaddit"] == list(POSTS)
    assert sum(row.set == "MultiWD" for row in source.examples) == 12
    assert [row.post for row in source.train] == [POSTS[0]]
    assert source.seen_in == "the train split of imhi"
    assert [source.was_seen(row) for row in source.examples[:2]] == [True, False]


def test_released_text_is_mended_as_prepared_data_is(tmp_path: Path) -> None:
    folder = released_folder(tmp_path)
    path = folder / "train_data" / "instruction_data" / "dreaddit" / "val.csv"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("my shifts", "my shifts &amp; hours"), encoding="utf-8")
    assert load_source(folder, Split.VAL).examples[0].post == POSTS[0].replace(
        "my shifts", "my shifts & hours"
    )


def test_prepared_data_is_known_by_its_checksums(tmp_path: Path) -> None:
    source = load_source(prepared(tmp_path / "prepared"), Split.VAL)
    assert list(source.examples) == stress_rows()
    assert source.seen == {post_key(POSTS[0]), post_key(POSTS[3])}
    (tmp_path / "prepared" / "val.parquet").write_bytes(b"altered")
    with pytest.raises(DataError, match=r"val\.parquet"):
        load_source(tmp_path / "prepared", Split.VAL)


def test_seen_posts_may_come_from_other_data(tmp_path: Path) -> None:
    released = released_folder(tmp_path / "imhi")
    source = load_source(released, Split.VAL, prepared(tmp_path / "other"))
    assert source.seen == {post_key(POSTS[0]), post_key(POSTS[3])}
    assert source.seen_in == "the train split of other"
    assert [row.post for row in source.train] == [POSTS[0]]


def test_without_a_train_split_it_is_not_known_what_was_seen(tmp_path: Path) -> None:
    folder = released_folder(tmp_path)
    (folder / "train_data" / "instruction_data" / "dreaddit" / "train.csv").unlink()
    source = load_source(folder, Split.VAL)
    assert (source.seen, source.seen_in) == (None, None)
    assert source.was_seen(source.examples[0]) is None


def test_a_folder_that_holds_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        load_source(tmp_path, Split.VAL)
    with pytest.raises(DataError):
        load_source(tmp_path / "nothing", Split.VAL)
