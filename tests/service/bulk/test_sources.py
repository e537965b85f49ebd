"""Files in every form: every row comes, in order, whatever is wrong with it."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.bulk.errors import InputError
from service.bulk.formats import Format, format_of
from service.bulk.sources import Source
from service.bulk.survey import Survey, survey

POSTS = ["I slept.\nTwice.", 'She said "go".', "Ünïcode 🙂", "a, b; c\td"]


def look(path: Path, column: str | None = None, said: Format | None = None) -> Survey:
    return survey([Source(path, format_of(path, said, option="--input-format"))], column)


def texts(found: Survey) -> list[str | None]:
    return [row.text for row in found.all_rows()]


def codes(found: Survey) -> list[str | None]:
    return [row.error.code if row.error else None for row in found.all_rows()]


def delimited(delimiter: str) -> bytes:
    rows = ["id" + delimiter + "text"]
    for place, post in enumerate(POSTS):
        quoted = post.replace('"', '""')
        rows.append(f'00{place}{delimiter}"{quoted}"')
    return "\r\n".join([*rows, ""]).encode()


def jsonl() -> bytes:
    import json

    return "".join(
        json.dumps({"id": place, "text": post, "of": {"a": [place]}}) + "\n"
        for place, post in enumerate(POSTS)
    ).encode()


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("ending", ["", ".gz", ".bz2", ".xz", ".zst"])
@pytest.mark.parametrize(
    ("name", "content", "ids"),
    [
        ("posts.csv", delimited(","), ["000", "001", "002", "003"]),
        ("posts.tsv", delimited("\t"), ["000", "001", "002", "003"]),
        ("posts.jsonl", jsonl(), [0, 1, 2, 3]),
    ],
)
def test_rows_come_as_they_were_written(
    tmp_path: Path, ending: str, name: str, content: bytes, ids: list[Any]
) -> None:
    pack = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    path = tmp_path / f"{name}{ending}"
    path.write_bytes(pack.get(ending, zstd)(content))
    found = look(path)
    assert (found.rows, found.column) == (4, "text")
    assert texts(found) == POSTS
    assert [row.columns["id"] for row in found.all_rows()] == ids


def test_parquet_keeps_types(tmp_path: Path) -> None:
    path = tmp_path / "posts.parquet"
    pq.write_table(pa.table({"n": pa.array([1, 2], pa.int16()), "post": ["a", None]}), path)
    found = look(path)
    assert (found.column, found.carried.field("n").type) == ("post", pa.int16())
    assert texts(found) == ["a", None]
    assert codes(found) == [None, "not_text"]


def test_a_line_is_a_post(tmp_path: Path) -> None:
    path = tmp_path / "posts.txt"
    path.write_bytes(b"\xef\xbb\xbffirst\r\n\r\nthird\xc2\x85still\nlast")
    assert texts(look(path)) == ["first", "", "third\x85still", "last"]


def test_semicolons_of_spreadsheets(tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    path.write_text("id;post\n1;a, b\n")
    assert texts(look(path)) == ["a, b"]


def test_a_row_that_is_none_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    path.write_bytes(b'id,text\n1,a\n2\n\n3,b,c\n4,"d" e\n5,\xff\n\xfe,f\n')
    found = look(path)
    bad = "malformed_row"
    assert codes(found) == [None, bad, None, bad, bad, "not_text", None]
    assert texts(found) == ["a", None, "", None, None, None, "f"]
    assert [row.columns.get("id") for row in found.all_rows()][-1] == "\\xfe"


def test_lines_that_are_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "posts.jsonl"
    path.write_text(
        '{"text": "a"}\n\n{"text": 5}\n["a"]\n{"text": \n{"other": 1}\n{"text": "\\ud800"}\n'
    )
    assert codes(look(path)) == [
        None,
        "not_text",
        "malformed_row",
        "malformed_row",
        "not_text",
        "not_text",
    ]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2], pa.int64()),
        ([1, 2.5], pa.float64()),
        ([True, None], pa.bool_()),
        ([1, "a"], pa.string()),
        ([{"a": 1}], pa.string()),
        ([2**70], pa.string()),
    ],
)
def test_what_stands_beside_a_text_keeps_its_type(
    tmp_path: Path, values: list[Any], kind: pa.DataType
) -> None:
    import json

    path = tmp_path / "posts.jsonl"
    path.write_text("".join(json.dumps({"text": "a", "x": value}) + "\n" for value in values))
    assert look(path).carried.field("x").type == kind


def test_files_together(tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.jsonl"
    first.write_text("text,n\nx,1\n")
    second.write_text('{"n": 2, "text": "y"}\n')
    found = survey([Source(first, Format.CSV), Source(second, Format.JSONL)], None)
    assert texts(found) == ["x", "y"]
    assert found.carried.field("n").type == pa.string()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("posts.csv", b'text\n"a\nb\n', "never closed"),
        ("posts.csv", "text\na\n".encode("utf-16"), "UTF-16"),
        ("posts.csv", b"", "first line must name"),
        ("posts.csv", b"text,text\na,b\n", "first line must name"),
        ("posts.csv", b"text\n", "no row"),
        ("posts.csv.gz", b"text\na\n", "not compressed"),
        ("posts.csv.zst", b"text\na\n", "damaged"),
        ("posts.parquet", b"text\na\n", "not a Parquet file"),
        ("posts.csv", b"a,b\n1,2\n", "--column"),
        ("posts.doc", b"a", "--input-format"),
    ],
)
def test_what_cannot_be_read_is_said_at_once(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        look(path)


def test_a_post_in_the_headers_place_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    path.write_text("I could not sleep again last night,2\nsecond post,3\n")
    with pytest.raises(InputError) as caught:
        look(path)
    assert "sleep" not in caught.value.message
    assert "(column 1), 2" in caught.value.message


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            look(path, said=Format.CSV)


def test_a_column_of_numbers_is_none_of_texts(tmp_path: Path) -> None:
    path = tmp_path / "posts.parquet"
    pq.write_table(pa.table({"text": [1, 2]}), path)
    with pytest.raises(InputError, match="no text"):
        look(path)
