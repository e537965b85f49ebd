import hashlib
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.data.folders import CAMS, example, post
from training.data.example import Example, Origin, Span, Split
from training.data.prepared import (
    CHECKSUMS_FILE,
    COLUMNS,
    load_prepared,
    write_prepared,
)
from training.errors import DataError, UsageError


def rows() -> list[Example]:
    plain = example(post(1), row=1)
    annotated = replace(plain, row=2, annotation=plain.question.label("no"), explanation=None)
    marked = replace(
        example("🌧 rain again", CAMS, "none", set_id="CAMS", split=Split.VAL),
        evidence=(Span(2, 6), Span(7, 12)),
        origin=Origin.ANNOTATION,
    )
    return [plain, annotated, marked, replace(marked, row=2, evidence=())]


def write(examples: Iterable[Example], out: Path, *, force: bool = False) -> dict[str, str]:
    return write_prepared(
        examples, out, report={"seed": 0}, duplicates={}, card="# Card\n", force=force
    )


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    sums = write(reversed(rows()), tmp_path / "new" / "out")
    prepared = load_prepared(tmp_path / "new" / "out")
    plain, annotated, marked, unmarked = rows()
    assert prepared.examples == {
        Split.TRAIN: (plain, annotated),
        Split.VAL: (marked, unmarked),
        Split.TEST: (),
    }
    assert prepared.checksums == sums
    assert prepared.report == {"seed": 0}
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["out"]


def test_the_columns_are_as_documented(tmp_path: Path) -> None:
    from pyarrow import parquet

    (tmp_path / "out").mkdir()  # an empty folder is taken
    write(rows(), tmp_path / "out")
    for split in Split:
        table = parquet.read_table(tmp_path / "out" / f"{split}.parquet")
        assert tuple(table.column_names) == COLUMNS
    first = parquet.read_table(tmp_path / "out" / "val.parquet").to_pylist()[0]
    assert first["evidence"] == [{"start": 2, "end": 6}, {"start": 7, "end": 12}]
    assert first["post_key"] == rows()[2].post_key


def test_datasets_reads_the_files(tmp_path: Path) -> None:
    from datasets import Dataset

    write(rows(), tmp_path / "out")
    table = Dataset.from_parquet(
        str(tmp_path / "out" / "train.parquet"), cache_dir=str(tmp_path / "cache")
    )
    assert table["id"] == [row.id for row in rows()[:2]]


def test_checksums_are_of_sha256sums_form(tmp_path: Path) -> None:
    write(rows(), tmp_path / "out")
    command = ["sha256sum", "--check", "--strict", "--quiet", CHECKSUMS_FILE]
    assert subprocess.run(command, cwd=tmp_path / "out", check=False).returncode == 0
    named = (tmp_path / "out" / CHECKSUMS_FILE).read_text().split()[1::2]
    there = {path.name for path in (tmp_path / "out").iterdir()}
    assert set(named) == there - {CHECKSUMS_FILE}


@pytest.mark.parametrize("name", ["train.parquet", "test.parquet", "report.json", "README.md"])
def test_an_altered_file_is_named(tmp_path: Path, name: str) -> None:
    write(rows(), tmp_path / "out")
    with (tmp_path / "out" / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(DataError, match=f"{name} was altered"):
        load_prepared(tmp_path / "out")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write(rows(), tmp_path / "out")
    (tmp_path / "out" / "val.parquet").unlink()
    with pytest.raises(DataError, match=r"val\.parquet is missing"):
        load_prepared(tmp_path / "out")


@pytest.mark.parametrize("lines", ["", "nonsense\n", "00  ../train.parquet\n"])
def test_damaged_checksums(tmp_path: Path, lines: str) -> None:
    write(rows(), tmp_path / "out")
    (tmp_path / "out" / CHECKSUMS_FILE).write_text(lines)
    with pytest.raises(DataError, match=r"does not name|is damaged"):
        load_prepared(tmp_path / "out")


def test_a_table_of_another_form(tmp_path: Path) -> None:
    write(rows(), tmp_path / "out")
    (tmp_path / "out" / "train.parquet").write_bytes(b"no table")
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in (tmp_path / "out").iterdir()
        if path.name != CHECKSUMS_FILE
    ]
    (tmp_path / "out" / CHECKSUMS_FILE).write_text("".join(lines))
    with pytest.raises(DataError, match="not of the form expected"):
        load_prepared(tmp_path / "out")


def test_a_folder_without_prepared_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="mentalllama-train data prepare"):
        load_prepared(tmp_path)


def test_nothing_is_overwritten_unless_asked(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(rows(), out)
    with pytest.raises(UsageError, match="--force"):
        write(rows()[:1], out)
    write(rows()[:1], out, force=True)
    assert load_prepared(out).examples[Split.TRAIN] == (rows()[0],)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_force_spares_what_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="holds no prepared data"):
        write(rows(), tmp_path, force=True)
    with pytest.raises(UsageError, match="is a file"):
        write(rows(), tmp_path / "letter.txt", force=True)
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_nothing_is_left_of_a_write_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("training.data.prepared._write_parquet", full)
    with pytest.raises(DataError, match="No space left"):
        write(rows(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_id_stands_for_one_example(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 examples have the id"):
        write([rows()[0], rows()[0]], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
