"""A run's answers in the layout that the paper's own scorers read.

Records go in; `read/<SET>.csv` (the decided label and its explanation) and `free_form/<SET>.csv`
(the generated response as it came) come out, with the columns `goldens` and `generated_text` and
the file names of the benchmark's public repository (github.com/SteveKGYang/MentalLLaMA). There,
`src/label_inference.py --data_path` takes one of these folders as it is, and `src/score.py` reads
it as a folder of `model_output`. Both read with `pandas.read_csv` every file below a folder, so
nothing else is written beside the files.

A golden is the reference label's answer sentence and the reference explanation: the same words as
in the released files but for what cleaning mended. What the scorers then do is theirs:
the rules in `IMHI.py` stop at a golden on emotion turmoil (they look for "emotional turmoil") and
take the "yes" in "yesterday" for a yes; `label_inference.py`, which reads goldens by other rules
and generated texts by a classifier, does neither.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from imhi.tasks import DATASETS, QUESTIONS
from imhi.wording import render_answer
from training.errors import DataError
from training.evaluate.records import Record
from training.evaluate.results import FREE_FORM, READ

COLUMNS = ("goldens", "generated_text")

# What pandas takes for a missing value where a field is exactly that: the scorers would then meet
# a number instead of a text.
_MISSING = frozenset(
    {
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"),
        *("1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    }
)

_PRIVATE = 0o600
"""Explanations quote posts: only their owner may read them."""


def write_released_layout(
    records: Sequence[Record], directory: Path
) -> Mapping[str, Mapping[str, int]]:
    """Write one file a way and a set, in the order of the records.

    A record that the model could not answer keeps its row, with nothing generated, in `read`; in
    `free_form` only records with a response have one. A field that pandas would take for a missing
    value gets a space after it. Characters that a CSV file in UTF-8 cannot hold are replaced.

    Args:
        records: the run's samples, of the ten sets.
        directory: where the folders of the ways go. Files of sets from an earlier export there are
            removed.

    Returns:
        Way to set id to rows written.

    Raises:
        DataError: a record is of a set that the layout has no name for, or the folder cannot be
            written.
    """
    unknown = sorted({record.set for record in records} - set(DATASETS))
    if unknown:
        raise DataError(
            f"The released layout has no file name for: {', '.join(unknown)}. It knows the sets "
            f"{', '.join(DATASETS)}."
        )
    written: dict[str, dict[str, int]] = {}
    for way, rows in ((READ, _read_rows(records)), (FREE_FORM, _free_form_rows(records))):
        by_set: dict[str, list[tuple[str, str]]] = {}
        for set_id, golden, generated in rows:
            by_set.setdefault(set_id, []).append((_field(golden), _field(generated)))
        try:
            _write_way(by_set, directory / way)
        except OSError as error:
            raise DataError(
                f"{directory} cannot be written ({type(error).__name__}). Give a folder that can."
            ) from error
        if by_set:
            written[way] = {set_id: len(of_set) for set_id, of_set in by_set.items()}
    return written


def _read_rows(records: Sequence[Record]) -> Iterator[tuple[str, str, str]]:
    """Set, golden and generated text of each record that was asked for its label."""
    for record in records:
        if record.read is None and record.error is None:
            continue
        yield record.set, _golden(record), _guided(record)


def _free_form_rows(records: Sequence[Record]) -> Iterator[tuple[str, str, str]]:
    for record in records:
        if record.free_form is not None:
            yield record.set, _golden(record), record.free_form.text


def _golden(record: Record) -> str:
    return _response(record, record.reference, record.reference_explanation)


def _guided(record: Record) -> str:
    """The answer as the service gives it, in the wording of a response."""
    if record.explained is not None:
        return _response(record, record.explained.label, record.explained.text.strip())
    if record.read is None:
        return ""
    probabilities = record.read.probabilities
    return _response(record, max(probabilities, key=lambda label: probabilities[label]), None)


def _response(record: Record, label_id: str, explanation: str | None) -> str:
    label = QUESTIONS[record.question].label(label_id)
    return render_answer(label, explanation) if explanation else label.answer


def _field(text: str) -> str:
    # pandas ends a field at a NUL; half a surrogate pair is no character.
    whole = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    whole = whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return f"{whole} " if whole in _MISSING else whole


def _write_way(by_set: Mapping[str, Sequence[tuple[str, str]]], folder: Path) -> None:
    for dataset in DATASETS.values():
        (folder / f"{dataset.file_name}.csv").unlink(missing_ok=True)
    for set_id, rows in by_set.items():
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{DATASETS[set_id].file_name}.csv"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE)
        with open(descriptor, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123
            # Every field in quotes: a blank line would not be a row.
            writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(rows)
