"""The ten sources of IMHI: annotated posts as their authors give them out, read into `Example`s.

DR         a folder for each class, a text file a post
dreaddit   text; label 0 or 1
SWMH       text; label, the name of the subreddit. Under an agreement
SAD        sentence; original_label
CAMS       selftext; cause 0 to 5; inference, the words that annotators marked
MultiWD    text; a column for each dimension, 0 or 1
IRF        text; belong, burden, 0 or 1; belong_exp, burden_exp, the words marked
CLP, T-SID, loneliness
           no format is published: the recipe says which columns there are (CLP: an agreement)

A recipe's `text` and `labels` go before what is known here. A row without a post or without a label
is skipped and counted with its reason; nothing is guessed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from imhi.tasks import DATASETS, QUESTIONS, Label, Question
from training.build.readers import FOLDER_COLUMNS, Cells, read_cells
from training.build.recipe import SourceRecipe
from training.data.example import Example, Origin, Span, Split
from training.data.raw import find_marks, raw_columns, raw_label
from training.data.tables import Mend
from training.errors import DataError, RecipeError

AGREEMENTS: Mapping[str, str] = {
    "SWMH": "the data use agreement of its authors (Ji et al., 2022), on request at Zenodo",
    "CLP": "the agreement of the CLPsych shared task's organisers",
}
"""Sets that may only be used under an agreement, and which it is."""


@dataclass(frozen=True, slots=True)
class FileRows:
    """What one file or folder of a source holds.

    Attributes:
        set: id of the set.
        split: of the set.
        source: the file, relative to the recipe's root.
        rows: in the file, each a post.
        examples: one a post and question.
        skipped: reason to rows, or to questions of rows, that gave no example.
        marks: examples with words that annotators marked.
        marks_found: those of them whose marks stand in the post.
    """

    set: str
    split: Split
    source: str
    rows: int
    examples: tuple[Example, ...]
    skipped: Mapping[str, int]
    marks: int
    marks_found: int


@dataclass(frozen=True, slots=True)
class _Column:
    """Where a question's label and marks stand, and how a cell is read."""

    label: str
    read: Callable[[str], Label | None]
    marks: str | None = None


def read_source(source: SourceRecipe, root: Path, mend: Mend) -> tuple[FileRows, ...]:
    """Read the files of a source.

    Args:
        source: with absolute paths.
        root: that rows' ids are relative to.
        mend: applied to posts and marks.

    Raises:
        RecipeError: the source needs an agreement or a mapping that the recipe does not give.
        DataError: a file cannot be read, lacks a column, or gives no example at all.
    """
    if source.set in AGREEMENTS and not source.agreed:
        raise RecipeError(
            f"{source.set} may only be used under {AGREEMENTS[source.set]}: set `agreed: true` in "
            "its source once you have it."
        )
    columns = _columns(source)
    return tuple(
        _read_file(path, split, source, columns, root, mend) for split, path in source.files.items()
    )


def _columns(source: SourceRecipe) -> Mapping[str, _Column]:
    """Question id to its column: the recipe's, or the known format's."""
    if source.labels is not None:
        return {
            name: _Column(column.column, _mapped(column.values, QUESTIONS[name]), column.evidence)
            for name, column in source.labels.items()
        }
    known = _known(source.set)
    if known is None:
        raise RecipeError(
            f"No raw format of {source.set} is published: say in its source what the columns are, "
            "with `text` and `labels`."
        )
    return known


def _known(set_id: str) -> Mapping[str, _Column] | None:
    if (raw := raw_columns(set_id)) is not None:
        return {
            name: _Column(label, _raw(QUESTIONS[name]), marks)
            for name, (label, marks) in raw[1].items()
        }
    reading = _FORMATS.get(set_id)
    if reading is None:
        return None
    column, values = reading
    (question,) = DATASETS[set_id].questions
    return {question.id: _Column(column, _mapped(values, question))}


def _text_columns(source: SourceRecipe) -> tuple[str, ...]:
    if source.text is not None:
        return source.text
    raw = raw_columns(source.set)
    return (raw[0],) if raw else (_TEXT.get(source.set, "text"),)


def _raw(question: Question) -> Callable[[str], Label | None]:
    return lambda cell: raw_label(cell, question)


def _mapped(values: Mapping[str, str], question: Question) -> Callable[[str], Label | None]:
    """A reader of cells: by the mapping, or by the labels' ids and names where there is none."""
    labels = values or {
        **{label.id: label.id for label in question.labels},
        **{label.name: label.id for label in question.labels},
    }
    folded = {_folded(cell): label for cell, label in labels.items()}

    def read(cell: str) -> Label | None:
        found = folded.get(_folded(cell))
        return question.label(found) if found else None

    return read


_PREFIX = re.compile(r"^(?:self\.|/?r/)")


def _folded(cell: str) -> str:
    text = _PREFIX.sub("", cell.strip().casefold()).removesuffix(".0")
    return re.sub(r"[\W_]+", " ", text).strip()


def _read_file(
    path: Path,
    split: Split,
    source: SourceRecipe,
    columns: Mapping[str, _Column],
    root: Path,
    mend: Mend,
) -> FileRows:
    name = _name(path, root)
    texts = _text_columns(source)
    wanted = {*texts, *(column.label for column in columns.values())}
    wanted |= {column.marks for column in columns.values() if column.marks}
    examples: list[Example] = []
    skipped: Counter[str] = Counter()
    rows = marks = found = 0
    for rows, cells in enumerate(read_cells(path), 1):
        if rows == 1 and (lacking := sorted(wanted - cells.keys())):
            raise DataError(_lacks(name, lacking, path, cells))
        row_id = f"{name}:{rows}"
        parts = (mend(cells.get(column, ""), row_id).strip() for column in texts)
        post = "\n\n".join(part for part in parts if part)
        if not post:
            skipped["no post"] += 1
            continue
        for question_id, column in columns.items():
            label = column.read(cells.get(column.label, ""))
            if label is None:
                skipped[f"no label in {column.label}"] += 1
                continue
            spans: tuple[Span, ...] | None = None
            if column.marks is not None:
                marked = mend(cells.get(column.marks, ""), row_id)
                spans = find_marks(marked, post)
                marks += bool(marked.strip())
                found += bool(spans)
            examples.append(
                Example(
                    post=post,
                    question=QUESTIONS[question_id],
                    label=label,
                    origin=Origin.ANNOTATION,
                    set=source.set,
                    split=split,
                    source=name,
                    row=rows,
                    evidence=spans,
                    annotation=label,
                )
            )
    if not examples:
        reasons = ", ".join(f"{reason} ({n:,})" for reason, n in skipped.items()) or "no rows"
        raise DataError(f"{name} gives no example: {reasons}. Check `text` and `labels`.")
    return FileRows(source.set, split, name, rows, tuple(examples), dict(skipped), marks, found)


def _lacks(name: str, lacking: list[str], path: Path, cells: Cells) -> str:
    there = ", ".join(FOLDER_COLUMNS if path.is_dir() else sorted(cells))
    return (
        f"{name} lacks the columns {', '.join(lacking)}; it has: {there}. Say with `text` and "
        "`labels` which they are."
    )


def _name(path: Path, root: Path) -> str:
    try:
        return path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return path.name


def labelled(files: tuple[FileRows, ...]) -> Iterator[Example]:
    """All examples of files, in their order."""
    for file in files:
        yield from file.examples


_YES_NO = {"0": "no", "1": "yes"}
_TEXT = {"SAD": "sentence"}
# Set to its label's column and what the cells mean; case, punctuation and "self." do not matter.
_FORMATS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "DR": (
        "folder",
        {
            **_YES_NO,
            "depression": "yes",
            "depressed": "yes",
            "non depression": "no",
            "not depression": "no",
            "non depressed": "no",
            "no depression": "no",
            "control": "no",
        },
    ),
    "dreaddit": ("label", _YES_NO),
    "SWMH": (
        "label",
        {
            "depression": "depression",
            "SuicideWatch": "suicide",
            "Anxiety": "anxiety",
            "bipolar": "bipolar_disorder",
            "offmychest": "none",
        },
    ),
    "SAD": (
        "original_label",
        {
            "School": "school",
            "Financial Problem": "financial_problem",
            "Family Issues": "family_issues",
            "Social Relationships": "social_relationships",
            "Work": "work",
            "Health Issues": "health_issues",
            "Health, Fatigue, or Physical Pain": "health_issues",
            "Emotional Turmoil": "emotion_turmoil",
            "Emotion Turmoil": "emotion_turmoil",
            "Everyday Decision Making": "everyday_decision_making",
            "Other": "other",
            "Other Causes": "other",
        },
    ),
}
