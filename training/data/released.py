"""The rows that the benchmark's authors released.

`released_files` finds the files of the layout below, `read_released` parses every row of them into
`Example`s. Where a set's split has both wordings the instruction rows count; a completion row whose
post and question stand there too is the same row again. What could not be parsed comes out by row
number and reason, and so do the sets and splits that are not there.

    train_data/instruction_data/SET/{train,val}.csv    query, gpt-3.5-turbo
    train_data/complete_data/SET/{train,val}.csv       post, question, response
    test_data/test_instruction/SET.csv                 query, gpt-3.5-turbo
    test_data/test_complete/SET.csv                    query, gpt-3.5-turbo

Either form of the columns is read in any of the files. A file of a set may have its name in front
(`reddit_train.csv`, `dreaddit-train.csv`, as some were published) and `valid` for `val`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from imhi.parsing import parse_response
from imhi.tasks import DATASETS, QUESTIONS, Dataset, Question
from imhi.wording import parse_query
from training.data.example import Example, Origin, Split
from training.data.same_post import SamePosts
from training.data.tables import Mend, read_table, untouched
from training.errors import DataError


class Wording(StrEnum):
    """How queries and responses are put; see `imhi.wording`."""

    INSTRUCTION = "instruction"
    COMPLETION = "completion"


@dataclass(frozen=True, slots=True)
class ReleasedFile:
    """One file of the layout.

    Attributes:
        path: where it is.
        source: the same relative to the folder that holds `train_data` or `test_data`.
        set: id of the data set.
        split: the part of the set.
        wording: by the folder that it stands in.
    """

    path: Path
    source: str
    set: str
    split: Split
    wording: Wording


@dataclass(frozen=True, slots=True)
class Unread:
    """A row that is in a file and did not become an example.

    Attributes:
        source: the file.
        row: its number in the file, from 1, the header not counted.
        reason: why, without any of its text.
    """

    source: str
    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class Released:
    """What a folder of released files holds.

    Attributes:
        examples: in the order of sets, splits and rows.
        files: source to number of rows, of every file that was read.
        missing: set and split of which there is no file.
        unread: the rows that could not be parsed.
        again: completion rows that stand in the instruction wording too, by source.
        cut: of those, the ones whose post is longer in the completion wording, by source.
    """

    examples: tuple[Example, ...]
    files: Mapping[str, int]
    missing: tuple[tuple[str, Split], ...]
    unread: tuple[Unread, ...]
    again: Mapping[str, int]
    cut: Mapping[str, int]


def released_root(folder: Path) -> Path:
    """Return the folder that holds `train_data` or `test_data`.

    `folder` may be it, hold it as `imhi`, or be `train_data` or `test_data`.

    Raises:
        DataError: it is none of these.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}: give the one that holds the IMHI files.")
    inside = [folder, folder / "imhi"]
    if folder.name in _PARTS:
        inside = [folder.absolute().parent]
    for root in inside:
        if any((root / part).is_dir() for part in _PARTS):
            return root
    raise DataError(
        f"{folder} holds neither train_data nor test_data: give the folder of the IMHI files, as "
        "their public repository has it."
    )


def released_files(root: Path, sets: Collection[str] = tuple(DATASETS)) -> tuple[ReleasedFile, ...]:
    """Find the files of the layout under `released_root`'s answer, by set, split and wording.

    Raises:
        DataError: two files would be the same set, split and wording.
    """
    found: dict[tuple[str, Split, Wording], Path] = {}
    for folder, wording in _FOLDERS.items():
        is_test = folder.startswith("test_data")
        for path in sorted((root / folder).glob("**/*.csv")):
            named = _named(path, root / folder, is_test=is_test)
            if named is None or named[0] not in sets:
                continue
            key = (*named, wording)
            if key in found:
                raise DataError(
                    f"{path} and {found[key].name} are both {named[0]} {named[1]}: keep one."
                )
            found[key] = path
    order = list(DATASETS)
    ranked = sorted(
        found, key=lambda key: (order.index(key[0]), _SPLITS.index(key[1]), _WORDINGS.index(key[2]))
    )
    return tuple(
        ReleasedFile(found[key], found[key].relative_to(root).as_posix(), *key) for key in ranked
    )


def read_released(
    folder: Path, sets: Collection[str] = tuple(DATASETS), mend: Mend = untouched
) -> Released:
    """Read the released rows of `sets`.

    Args:
        folder: the data folder, its `imhi` or its `train_data`.
        sets: ids of `imhi.tasks.DATASETS`.
        mend: applied to posts and explanations after the wording is parsed.

    Raises:
        DataError: no file of the layout is there, or one cannot be read.
    """
    root = released_root(folder)
    files = released_files(root, sets)
    if not files:
        raise DataError(f"{root} holds no file of the sets asked for ({', '.join(sorted(sets))}).")
    examples: list[Example] = []
    unread: list[Unread] = []
    counts: dict[str, int] = {}
    again: dict[str, int] = {}
    cut: dict[str, int] = {}
    for file in files:
        rows = list(_rows(file, mend))
        counts[file.source] = len(rows)
        unread += [row for row in rows if isinstance(row, Unread)]
        new = [row for row in rows if isinstance(row, Example)]
        if file.wording is Wording.COMPLETION:
            known = SamePosts(e for e in examples if (e.set, e.split) == (file.set, file.split))
            same = {example.id: known.same_row(example) for example in new}
            again[file.source] = sum(map(bool, same.values()))
            cut[file.source] = sum(
                example.post_key != same[example.id][0].post_key
                for example in new
                if same[example.id]
            )
            new = [example for example in new if not same[example.id]]
        examples += new
    there = {(file.set, file.split) for file in files}
    missing = tuple(
        (set_id, split)
        for set_id in DATASETS
        if set_id in sets
        for split in Split
        if (set_id, split) not in there
    )
    return Released(tuple(examples), counts, missing, tuple(unread), again, cut)


def parse_completion_query(query: str) -> tuple[str, Question]:
    """Return the post and the question of a query in the completion wording.

    The inverse of `imhi.wording.render_completion_query`; spaces around the parts do not matter.

    Raises:
        ValueError: it is not of that form; the message holds none of its text.
    """
    parts = _COMPLETION.fullmatch(query)
    if parts is None:
        raise ValueError("not a completion query: no 'Post:' with 'Question:' after it")
    question = _BY_STUB.get(" ".join(parts["stub"].split()))
    if question is None:
        raise ValueError(
            "not a completion query: what stands after the last 'Question:' is no IMHI stub"
        )
    return parts["post"], question


_PARTS = ("train_data", "test_data")
_FOLDERS = {
    "train_data/instruction_data": Wording.INSTRUCTION,
    "train_data/complete_data": Wording.COMPLETION,
    "test_data/test_instruction": Wording.INSTRUCTION,
    "test_data/test_complete": Wording.COMPLETION,
}
_SPLITS = tuple(Split)
_WORDINGS = tuple(Wording)
_SPLIT_NAMES = {"train": Split.TRAIN, "val": Split.VAL, "valid": Split.VAL, "test": Split.TEST}
_SPLIT_ENDING = re.compile(r"(?:.*[-_])?(train|valid|val|test)", re.IGNORECASE)
_BY_NAME = {
    name.casefold(): dataset.id
    for dataset in DATASETS.values()
    for name in (dataset.id, dataset.file_name)
}
_COMPLETION = re.compile(
    r"\s*Post: ?(?P<post>.*\S)?\s+Question:(?P<stub>(?:(?!Question:).)*)", re.DOTALL
)
_BY_STUB = {question.stub: question for question in QUESTIONS.values()}


def _named(path: Path, folder: Path, *, is_test: bool) -> tuple[str, Split] | None:
    """Set and split of a file by its place in `folder`; None where it is neither."""
    *parents, _ = path.relative_to(folder).parts
    if len(parents) > 1:
        return None
    set_id = _BY_NAME.get((parents[0] if parents else path.stem).casefold())
    if set_id is None:
        return None
    ending = _SPLIT_ENDING.fullmatch(path.stem)
    if ending and parents:
        split = _SPLIT_NAMES[ending[1].casefold()]
        return (set_id, split) if is_test == (split is Split.TEST) else None
    return (set_id, Split.TEST) if is_test else None


def _rows(file: ReleasedFile, mend: Mend) -> Iterator[Example | Unread]:
    dataset = DATASETS[file.set]
    for number, row in enumerate(read_table(file.path), 1):
        try:
            yield _example(row, file, number, dataset, mend)
        except ValueError as error:
            yield Unread(file.source, number, str(error))


def _example(
    row: Mapping[str, str], file: ReleasedFile, number: int, dataset: Dataset, mend: Mend
) -> Example:
    if {"query", "gpt-3.5-turbo"} <= row.keys():
        query, response = row["query"], row["gpt-3.5-turbo"]
    elif {"post", "question", "response"} <= row.keys():
        query, response = f"{row['post']} {row['question']}", row["response"]
    else:
        raise DataError(
            f"{file.source} has neither the columns query and gpt-3.5-turbo nor post, question "
            "and response."
        )
    parse = parse_query if file.wording is Wording.INSTRUCTION else parse_completion_query
    post, question = parse(query)
    if question not in dataset.questions:
        raise ValueError("the question is not one of this set's")
    answer = parse_response(response, question)
    if answer.label is None:
        raise ValueError(f"the response cannot be read: {answer.problem}")
    row_id = f"{file.source}:{number}"
    return Example(
        post=mend(post, row_id),
        question=question,
        label=answer.label,
        origin=Origin.REFERENCE,
        set=file.set,
        split=file.split,
        source=file.source,
        row=number,
        explanation=mend(answer.explanation, row_id) or None,
    )
