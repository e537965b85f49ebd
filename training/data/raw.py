"""The annotators' own rows of IRF, MultiWD and CAMS: labels and marks without explanations.

`read_raw` turns the files below into `RawRow`s, one a post and question; `join_raw` lays them
beside the released rows. Where a released row asks the same question of the same post, the raw
label becomes its `annotation`; where none does, the raw row becomes an example of its own, whose
label is the annotators'. A set's released val or test split never gets more rows this way.

    raw/Irf/{train,val}_data.csv     text, belong, belong_exp, burden, burden_exp
    raw/MultiWD/train_data.csv       text, and a column for each dimension: Spiritual, Physical, …
    raw/CAMS/added_CAMS_data.csv     selftext, cause (0..5), inference

What annotators marked (`*_exp`, `inference`) is looked up in the post as quotes are, by
`service.analysis.evidence`: the whole, or else its parts between commas, semicolons and line ends.
"""

# ruff: noqa: RUF001 - typographic quotation marks are meant

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from imhi.tasks import DATASETS, QUESTIONS, Label, Question
from service.analysis.evidence import find_evidence
from training.data.example import Example, Origin, Span, Split
from training.data.released import Unread
from training.data.same_post import SamePosts
from training.data.tables import Mend, read_table, untouched
from training.errors import DataError


@dataclass(frozen=True, slots=True)
class RawRow:
    """One question on one post, as annotated.

    Attributes:
        example: the row as an example of its own.
        marks: pieces of text that annotators marked.
        found: how many of them stand in the post.
    """

    example: Example
    marks: int
    found: int


@dataclass(frozen=True, slots=True)
class Raw:
    """What a folder of raw files holds.

    Attributes:
        rows: in the order of files and rows.
        files: source to number of rows in the file.
        unread: rows whose label is no label.
        missing: the files that are not there.
    """

    rows: tuple[RawRow, ...]
    files: Mapping[str, int]
    unread: tuple[Unread, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Joined:
    """Released and raw rows together.

    Attributes:
        examples: the released ones, annotated where possible, then the new ones.
        annotated: ids of the released examples whose annotation was filled.
        disputed: ids of the released examples left without one, since raw rows contradict each
            other.
        added: ids of the raw rows that became examples.
        outside: ids of the raw rows that no released row matches and that were left out, since
            their split is a released one.
    """

    examples: tuple[Example, ...]
    annotated: tuple[str, ...]
    disputed: tuple[str, ...]
    added: tuple[str, ...]
    outside: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _RawFile:
    """A file of the layout: its text column, and question id to columns of label and marks."""

    source: str
    set: str
    split: Split
    text: str
    columns: Mapping[str, tuple[str, str | None]]


_IRF = {
    "interpersonal_risk.thwarted_belongingness": ("belong", "belong_exp"),
    "interpersonal_risk.perceived_burdensomeness": ("burden", "burden_exp"),
}
_MULTIWD = {
    question.id: (question.id.removeprefix("wellness.").capitalize(), None)
    for question in DATASETS["MultiWD"].questions
}
_FILES = (
    _RawFile("raw/Irf/train_data.csv", "IRF", Split.TRAIN, "text", _IRF),
    _RawFile("raw/Irf/val_data.csv", "IRF", Split.VAL, "text", _IRF),
    _RawFile("raw/MultiWD/train_data.csv", "MultiWD", Split.TRAIN, "text", _MULTIWD),
    _RawFile(
        "raw/CAMS/added_CAMS_data.csv",
        "CAMS",
        Split.TRAIN,
        "selftext",
        {"depression_cause": ("cause", "inference")},
    ),
)
# The numbers of the CAMS annotation scheme (Garg et al., LREC 2022).
_CAUSES = ("none", "bias_or_abuse", "jobs_and_career", "medication", "relationship", "alienation")


def read_raw(folder: Path, sets: Collection[str] = tuple(DATASETS), mend: Mend = untouched) -> Raw:
    """Read the raw rows of `sets` that stand under `folder`/raw.

    Args:
        folder: the data folder.
        sets: ids of `imhi.tasks.DATASETS`; those without raw files have no rows.
        mend: applied to posts and marks before marks are looked up.

    Raises:
        DataError: a file cannot be read or lacks a column.
    """
    rows: list[RawRow] = []
    unread: list[Unread] = []
    counts: dict[str, int] = {}
    missing: list[str] = []
    for file in _FILES:
        if file.set not in sets:
            continue
        if not (folder / file.source).is_file():
            missing.append(file.source)
            continue
        counts[file.source] = 0
        for number, cells in enumerate(read_table(folder / file.source), 1):
            counts[file.source] += 1
            for row in _read(cells, number, file, mend):
                if isinstance(row, Unread):
                    unread.append(row)
                else:
                    rows.append(row)
    return Raw(tuple(rows), counts, tuple(unread), tuple(missing))


def join_raw(released: Iterable[Example], raw: Iterable[RawRow]) -> Joined:
    """Lay raw rows beside released ones; see the head of this module."""
    examples = list(released)
    known = SamePosts(examples)
    fixed = {(e.set, e.split) for e in examples if e.split is not Split.TRAIN}
    said: dict[str, list[Example]] = defaultdict(list)
    added: list[Example] = []
    outside: list[str] = []
    for row in raw:
        example = row.example
        same = [e for e in known.same_row(example) if e.set == example.set]
        for match in same:
            said[match.id].append(example)
        if not same and (example.set, example.split) in fixed:
            outside.append(example.id)
        elif not same:
            added.append(example)
    annotated: list[str] = []
    disputed: list[str] = []
    for i, example in enumerate(examples):
        votes = said.get(example.id, [])
        if len({vote.label.id for vote in votes}) > 1:
            disputed.append(example.id)
        elif votes:
            annotated.append(example.id)
            examples[i] = replace(
                example, annotation=votes[0].label, evidence=_moved(votes[0], example)
            )
    return Joined(
        (*examples, *added),
        tuple(annotated),
        tuple(disputed),
        tuple(example.id for example in added),
        tuple(outside),
    )


def _read(
    cells: Mapping[str, str], number: int, file: _RawFile, mend: Mend
) -> Iterator[RawRow | Unread]:
    wanted = {file.text, *(name for pair in file.columns.values() for name in pair if name)}
    if not wanted <= cells.keys():
        lacking = ", ".join(sorted(wanted - cells.keys()))
        raise DataError(f"{file.source} lacks the columns {lacking}.")
    row_id = f"{file.source}:{number}"
    post = mend(cells[file.text], row_id)
    for question_id, (label_column, marks_column) in file.columns.items():
        question = QUESTIONS[question_id]
        label = raw_label(cells[label_column], question)
        if label is None:
            yield Unread(file.source, number, f"the column {label_column} holds no label")
            continue
        marks = _marks(mend(cells[marks_column], row_id), post) if marks_column else None
        yield RawRow(
            Example(
                post=post,
                question=question,
                label=label,
                origin=Origin.ANNOTATION,
                set=file.set,
                split=file.split,
                source=file.source,
                row=number,
                evidence=marks.spans if marks else None,
                annotation=label,
            ),
            marks=marks.marked if marks else 0,
            found=marks.found if marks else 0,
        )


def raw_columns(set_id: str) -> tuple[str, Mapping[str, tuple[str, str | None]]] | None:
    """The columns of a set's raw files: of the post, and by question id of label and marks.

    None for a set that has no raw files here.
    """
    found = next((file for file in _FILES if file.set == set_id), None)
    return (found.text, found.columns) if found else None


def raw_label(cell: str, question: Question) -> Label | None:
    """The label that a cell of a raw file stands for, or None where it stands for none."""
    code = cell.strip().removesuffix(".0")
    if question.id == "depression_cause":
        return question.label(_CAUSES[int(code)]) if code in set("012345") else None
    return {"0": question.label("no"), "1": question.label("yes")}.get(code)


def find_marks(marked: str, post: str) -> tuple[Span, ...] | None:
    """Where what annotators marked stands in the post.

    Args:
        marked: their cell: the whole, or parts between commas, semicolons and line ends.
        post: the post.

    Returns:
        The places in order; empty where they marked nothing, None where nothing of it was found.
    """
    return _marks(marked, post).spans


@dataclass(frozen=True, slots=True)
class _Marks:
    spans: tuple[Span, ...] | None
    marked: int
    found: int


_QUOTES = re.compile('["“”„«»‹›]')
_BETWEEN = re.compile(r"[,;\n]+")


def _marks(marked: str, post: str) -> _Marks:
    """Where what annotators marked stands in the post.

    None for spans where something was marked and nothing of it was found: they did mark something,
    so it is not empty.
    """
    marked = _QUOTES.sub("", marked).strip()
    if not marked:
        return _Marks((), 0, 0)
    pieces = [marked]
    spans = _located(marked, post)
    found = int(bool(spans))
    if not spans:
        pieces = [piece for piece in _BETWEEN.split(marked) if any(map(str.isalnum, piece))]
        places = [_located(piece, post) for piece in pieces] if len(pieces) > 1 else []
        found = sum(map(bool, places))
        spans = {span for place in places for span in place}
    ordered = tuple(Span(*span) for span in sorted(spans))
    return _Marks(ordered or None, len(pieces), found)


def _located(text: str, post: str) -> set[tuple[int, int]]:
    return {(piece.start, piece.end) for piece in find_evidence(f"“{text}”", post)}


def _moved(vote: Example, example: Example) -> tuple[Span, ...] | None:
    """The marks of a raw row on the released row's post, which may differ in spaces or be cut."""
    if vote.evidence is None or vote.post == example.post:
        return vote.evidence
    marked = (_QUOTES.sub("", vote.post[mark.start : mark.end]) for mark in vote.evidence)
    found = sorted({place for text in marked for place in _located(text, example.post)})
    return tuple(Span(*place) for place in found) or (None if vote.evidence else ())
