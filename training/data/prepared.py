"""Prepared data on disk: what training, evaluation and calibration read.

    train.parquet val.parquet test.parquet    one row an example; the columns are `COLUMNS`
    report.json                               what was read, mended, removed, and why
    duplicates.json                           ids of rows whose posts are the same or nearly so
    README.md                                 the data card
    checksums.sha256                          of all of these, as `sha256sum --check` reads it

`write_prepared` writes a temporary folder beside the target and renames it, so a folder is there
whole or not at all; the same examples give the same bytes. `load_prepared` checks the sums before
it reads. The files hold posts: keep them where the data is kept.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imhi.tasks import DATASETS, QUESTIONS
from service.weights import CHECKSUMS_FILE, digest
from training.data.example import Example, Origin, Span, Split
from training.errors import DataError, UsageError

if TYPE_CHECKING:
    from datasets import Features

REPORT_FILE = "report.json"
DUPLICATES_FILE = "duplicates.json"
CARD_FILE = "README.md"
COLUMNS = (
    "id",
    "post",
    "post_key",
    "set",
    "split",
    "question",
    "label",
    "annotation",
    "explanation",
    "evidence",
    "origin",
    "source",
    "row",
)
"""Of `Example`, with ids for question and label, and `evidence` as a list of {start, end}."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Prepared data, read back.

    Attributes:
        examples: by split; a split without rows is there and empty.
        checksums: file name to SHA-256, 64 hexadecimal digits.
        report: what `report.json` holds.
    """

    examples: Mapping[Split, tuple[Example, ...]]
    checksums: Mapping[str, str]
    report: Mapping[str, Any]


def write_prepared(
    examples: Iterable[Example],
    out: Path,
    *,
    report: Mapping[str, Any],
    duplicates: Mapping[str, Any],
    card: str,
    force: bool = False,
) -> dict[str, str]:
    """Write prepared data.

    Args:
        examples: of all splits, in any order.
        out: the folder to make.
        report: for `report.json`.
        duplicates: for `duplicates.json`.
        card: for `README.md`.
        force: replace a folder that is not empty; one that holds no prepared data is refused still.

    Returns:
        File name to SHA-256.

    Raises:
        UsageError: `out` is a file, or a folder that is not empty.
        DataError: two examples have one id, or the disk refuses.
    """
    refuse_to_overwrite(out, force=force)
    ordered = sorted(examples, key=_place)
    ids = {example.id for example in ordered}
    if len(ids) != len(ordered):
        raise DataError(f"{len(ordered) - len(ids)} examples have the id of another one.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise DataError(f"{out.parent} cannot be written to: {error.strerror}.") from None
    try:
        new.chmod(0o755)
        for split in Split:
            _write_parquet([e for e in ordered if e.split is split], new / _parquet(split))
        (new / REPORT_FILE).write_text(_json(report), encoding="utf-8")
        (new / DUPLICATES_FILE).write_text(_json(duplicates), encoding="utf-8")
        (new / CARD_FILE).write_text(card, encoding="utf-8")
        sums = {path.name: digest(path) for path in sorted(new.iterdir())}
        lines = "".join(f"{found}  {name}\n" for name, found in sums.items())
        (new / CHECKSUMS_FILE).write_text(lines, encoding="utf-8")
        _replace(new, out)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror}.") from None
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return sums


def refuse_to_overwrite(out: Path, *, force: bool) -> None:
    """Raise `UsageError` where `write_prepared` would not write."""
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"{out} is a file: name a folder for the prepared data.")
    if not any(out.iterdir()):
        return
    if not force:
        raise UsageError(f"{out} is not empty: name another folder, or add --force to replace it.")
    if not (out / CHECKSUMS_FILE).is_file():
        raise UsageError(
            f"{out} holds no prepared data and is not replaced, not even with --force: name "
            "another folder."
        )


def load_prepared(folder: Path) -> Prepared:
    """Read prepared data, its checksums first.

    Raises:
        DataError: a file is missing or altered, or is not of the form above.
    """
    sums = _checked(folder)
    examples = {
        split: tuple(_read_parquet(folder / _parquet(split))) if _parquet(split) in sums else ()
        for split in Split
    }
    report = json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))
    return Prepared(examples, sums, report)


def _checked(folder: Path) -> dict[str, str]:
    path = folder / CHECKSUMS_FILE
    if not path.is_file():
        raise DataError(
            f"{folder} holds no prepared data ({CHECKSUMS_FILE} is missing): make it with "
            "`mentalllama-train data prepare`."
        )
    sums = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        wanted, _, name = line.partition("  ")
        if not name or Path(name).name != name:
            raise DataError(f"{path} is damaged: prepare the data again.")
        sums[name] = wanted
    lacking = {REPORT_FILE, *map(_parquet, Split)} - sums.keys()
    if lacking:
        raise DataError(f"{path} does not name {', '.join(sorted(lacking))}.")
    for name, wanted in sums.items():
        if not (folder / name).is_file():
            raise DataError(f"{folder / name} is missing: prepare the data again.")
        if digest(folder / name) != wanted:
            raise DataError(
                f"{folder / name} was altered after it was written: prepare the data again."
            )
    return sums


def _parquet(split: Split) -> str:
    return f"{split}.parquet"


_SETS = list(DATASETS)


def _place(example: Example) -> tuple[int, str, int, str]:
    return _SETS.index(example.set), example.source, example.row, example.question.id


def _features() -> Features:
    from datasets import Features, List, Value

    text, number = Value("string"), Value("int32")
    kinds = {"evidence": List({"start": number, "end": number}), "row": number}
    return Features({column: kinds.get(column, text) for column in COLUMNS})


def _write_parquet(examples: Sequence[Example], path: Path) -> None:
    from datasets import Dataset
    from datasets.utils.logging import (
        disable_progress_bar,
        enable_progress_bar,
        is_progress_bar_enabled,
    )

    columns: dict[str, list[Any]] = {column: [] for column in COLUMNS}
    for example in examples:
        for column, value in _cells(example).items():
            columns[column].append(value)
    table = Dataset.from_dict(columns, features=_features())
    shown = is_progress_bar_enabled()
    disable_progress_bar()
    try:
        table.to_parquet(path)
    finally:
        if shown:
            enable_progress_bar()


def _cells(example: Example) -> dict[str, Any]:
    marks = example.evidence
    return {
        "id": example.id,
        "post": example.post,
        "post_key": example.post_key,
        "set": example.set,
        "split": example.split.value,
        "question": example.question.id,
        "label": example.label.id,
        "annotation": example.annotation.id if example.annotation else None,
        "explanation": example.explanation,
        "evidence": None
        if marks is None
        else [{"start": mark.start, "end": mark.end} for mark in marks],
        "origin": example.origin.value,
        "source": example.source,
        "row": example.row,
    }


def _read_parquet(path: Path) -> list[Example]:
    # Not through `datasets`, which would leave a copy of the posts in its cache.
    from pyarrow import ArrowException, parquet

    try:
        rows = parquet.read_table(path, columns=list(COLUMNS)).to_pylist()
        return [_example(row) for row in rows]
    except (ArrowException, KeyError, ValueError) as error:
        raise DataError(
            f"{path} is not of the form expected ({type(error).__name__}): prepare the data again."
        ) from None


def _example(row: Mapping[str, Any]) -> Example:
    question = QUESTIONS[row["question"]]
    marks = row["evidence"]
    return Example(
        post=row["post"],
        question=question,
        label=question.label(row["label"]),
        origin=Origin(row["origin"]),
        set=row["set"],
        split=Split(row["split"]),
        source=row["source"],
        row=row["row"],
        explanation=row["explanation"],
        evidence=None if marks is None else tuple(Span(m["start"], m["end"]) for m in marks),
        annotation=question.label(row["annotation"]) if row["annotation"] else None,
    )


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _replace(new: Path, out: Path) -> None:
    """Put `new` where `out` is; a folder cannot be renamed onto one that is not empty."""
    if not out.exists() or not any(out.iterdir()):
        new.replace(out)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{out.name}-old-", dir=out.parent))
    out.replace(old)
    new.replace(out)
    shutil.rmtree(old)
