"""The journal of a run: what a model has answered so far, so that an interrupted run goes on.

`answers.jsonl` in the run's folder begins with a line of settings; each further line is one
`Outcome`, written and flushed as soon as the model gave it, or the environment of the process whose
outcomes follow. A run that starts again reads the
journal, leaves out what it holds, and refuses one that was made with other settings: its answers
would be another model's, or on other data. A last line that a kill tore is cut off.

The file holds what models wrote about posts, quotes included: only its owner may read it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import TypeAdapter

from training.errors import DataError, UsageError
from training.evaluate.records import Explained, FreeForm, Read
from training.evaluate.store import answer_fields, read_fields

JOURNAL_FILE = "answers.jsonl"

_FORM = 1


class Way(StrEnum):
    """How a model is asked; in the order in which a run goes through them."""

    READ = "read"
    EXPLAINED = "explained"
    FREE_FORM = "free_form"


Answer = Read | Explained | FreeForm


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of asking a model one sample in one way.

    Attributes:
        id: the example's id.
        way: how it was asked.
        answer: of the way's kind; None where the model could not be asked, and for an explanation
            also where the model's policy abstained and there was nothing to explain.
        error: a stable code where it could not be asked, else None.
        cut: characters of the post that were cut out to fit the model's context.
    """

    id: str
    way: Way
    answer: Answer | None
    error: str | None = None
    cut: int = 0


_KINDS: Mapping[Way, TypeAdapter[Any]] = {
    Way.READ: TypeAdapter(Read),
    Way.EXPLAINED: TypeAdapter(Explained),
    Way.FREE_FORM: TypeAdapter(FreeForm),
}
_STRINGS = TypeAdapter(dict[str, str])


class Journal:
    """The outcomes of a run, kept in a file as they come.

    Made by `open_journal`.

    Attributes:
        settings: what the answers depend on: name to value.
        environment: versions and hardware of the last process that added to it; empty where none
            has.
    """

    def __init__(self, file: BinaryIO, settings: Mapping[str, str]) -> None:
        self._file = file
        self.settings = settings
        self.environment: Mapping[str, str] = {}
        self._outcomes: dict[tuple[str, Way], Outcome] = {}

    def __len__(self) -> int:
        return len(self._outcomes)

    def get(self, example_id: str, way: Way) -> Outcome | None:
        """What came of asking a sample in a way; None where it was not asked yet."""
        return self._outcomes.get((example_id, way))

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome: it outlives the process from here on."""
        _append(self._file, _fields(outcome))
        self._outcomes[outcome.id, outcome.way] = outcome

    def begin(self, environment: Mapping[str, str]) -> None:
        """Say where the outcomes that follow come from: versions and hardware, name to value."""
        if environment != self.environment:
            _append(self._file, {"environment": environment})
            self.environment = environment

    def restore(self, path: Path, lines: Iterable[str]) -> None:
        """Take in the lines of the file, those of settings left out.

        Raises:
            DataError: a line is damaged.
        """
        for number, line in enumerate(lines, 2):
            try:
                fields = json.loads(line)
                if "environment" in fields:
                    self.environment = _STRINGS.validate_python(fields["environment"])
                else:
                    outcome = _outcome(fields)
                    self._outcomes[outcome.id, outcome.way] = outcome
            except (ValueError, TypeError, KeyError):
                raise DataError(
                    f"Line {number} of {path} is damaged: take it out, or give --restart to throw "
                    "the answers away."
                ) from None


@contextmanager
def open_journal(
    directory: Path, settings: Mapping[str, str], *, restart: bool = False
) -> Iterator[Journal]:
    """Open the journal in a run's folder, or begin one.

    Args:
        directory: the run's folder; it exists.
        settings: what the answers depend on: name to value.
        restart: throw away what is there and begin anew.

    Raises:
        UsageError: it was made with other settings, or another process is writing it.
        DataError: it cannot be read or written.
    """
    path = directory / JOURNAL_FILE
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}.") from error
    with os.fdopen(descriptor, "r+b") as file:
        _lock(path, descriptor)
        if restart:
            file.truncate(0)
        kept = _whole_lines(path, file)
        if kept:
            _check(directory, _settings(path, kept[0]), settings)
        else:
            _append(file, {"form": _FORM, "settings": settings})
        journal = Journal(file, settings)
        journal.restore(path, kept[1:])
        yield journal


def read_journal(directory: Path) -> Journal:
    """The journal of a run as it is; nothing can be added to it.

    Raises:
        DataError: it cannot be read.
    """
    path = directory / JOURNAL_FILE
    try:
        with path.open("rb") as file:
            lines = [line.decode("utf-8") for line in file if line.endswith(b"\n")]
            if not lines:
                raise _not_a_journal(path)
            journal = Journal(file, _settings(path, lines[0]))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise _not_a_journal(path) from None
    journal.restore(path, lines[1:])
    return journal


def _append(file: BinaryIO, fields: Mapping[str, Any]) -> None:
    line = json.dumps(fields, ensure_ascii=False, allow_nan=False)
    # What UTF-8 cannot hold, half a surrogate pair, becomes the escape that JSON has for it.
    file.write(f"{line}\n".encode("utf-8", "backslashreplace"))
    file.flush()


def _lock(path: Path, descriptor: int) -> None:
    """Hold the file while it is open; a file system without locks goes without."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"Another run is writing {path}: wait for it to end, or give another --output."
        ) from None
    except OSError:
        return


def _whole_lines(path: Path, file: BinaryIO) -> list[str]:
    """The lines of the file; a torn last one is cut off, and writing goes on after the others.

    A line is whole with its line feed, which is written in the same call.
    """
    lines = [line for line in file if line.endswith(b"\n")]
    whole = sum(map(len, lines))
    file.truncate(whole)
    file.seek(whole)
    try:
        return [line.decode("utf-8") for line in lines]
    except UnicodeDecodeError:
        raise _not_a_journal(path) from None


def _settings(path: Path, line: str) -> dict[str, str]:
    try:
        header = json.loads(line)
        if header["form"] == _FORM:
            return _STRINGS.validate_python(header["settings"])
    except (ValueError, KeyError, TypeError):
        pass
    raise _not_a_journal(path)


def _not_a_journal(path: Path) -> DataError:
    return DataError(
        f"{path} is not a journal of this release: give another --output, or --restart to throw "
        "it away."
    )


def differing(made: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Names of the settings in which two runs differ."""
    return [name for name in {**wanted, **made} if made.get(name) != wanted.get(name)]


def _check(directory: Path, made: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    names = differing(made, wanted)
    if not names:
        return
    said = "; ".join(
        f"`{name}` was {made.get(name, 'not given')} and is now {wanted.get(name, 'not given')}"
        for name in names
    )
    raise UsageError(
        f"The answers in {directory} were made with other settings: {said}. Use the same settings, "
        "give another --output, or --restart to throw the answers away."
    )


def _fields(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.id,
        "way": outcome.way.value,
        "answer": None if outcome.answer is None else answer_fields(outcome.answer),
        "error": outcome.error,
        "cut": outcome.cut,
    }


def _outcome(fields: Mapping[str, Any]) -> Outcome:
    """The inverse; ValueError, TypeError or KeyError where the fields are not of the form."""
    way, answer = Way(fields["way"]), fields["answer"]
    if answer is not None:
        answer = _KINDS[way].validate_python(read_fields(answer) if way is Way.READ else answer)
    return Outcome(fields["id"], way, answer, fields["error"], fields["cut"])
