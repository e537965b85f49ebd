"""Every sample of a run on one HTML page, so that a figure can be looked into.

Records go in; the page shows the post, the reference, and all that the model said, by set, and asks
for nothing outside itself. It holds posts: only its owner may read the file, and the page says what
it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imhi.tasks import QUESTIONS
from training.evaluate.pages import render
from training.evaluate.records import Record
from training.evaluate.store import write_private
from training.evaluate.summary import by_set

PAGE_FILE = "samples.html"


@dataclass(frozen=True, slots=True)
class _Sample:
    """A record as the page shows it."""

    record: Record

    @property
    def question(self) -> str:
        """What was asked, in words."""
        return QUESTIONS[self.record.question].text

    @property
    def given(self) -> str | None:
        """The most probable label, else the one that the response names."""
        if self.record.read is not None:
            probabilities = self.record.read.probabilities
            return max(probabilities, key=probabilities.__getitem__)
        return self.record.free_form.label if self.record.free_form else None

    @property
    def outcome(self) -> str:
        """`right` where the given label is the reference, else `wrong`."""
        return "right" if self.given == self.record.reference else "wrong"

    @property
    def written(self) -> bool:
        """Whether the model wrote anything."""
        return self.record.explained is not None or self.record.free_form is not None

    @property
    def probabilities(self) -> str:
        """The read's probabilities, the largest first."""
        read = self.record.read
        if read is None:
            return ""
        ordered = sorted(read.probabilities.items(), key=lambda one: -one[1])
        return ", ".join(f"{label} {probability:.3f}" for label, probability in ordered)


@dataclass(frozen=True, slots=True)
class _Set:
    """The samples of one set."""

    id: str
    samples: Sequence[_Sample]


def write_sample_page(directory: Path, records: Sequence[Record], model: str) -> Path:
    """Write `samples.html` into a run's folder, in place of one that is there.

    Args:
        directory: the run's folder.
        records: the samples.
        model: the model's name.

    Returns:
        The file's path.

    Raises:
        DataError: it cannot be written.
    """
    sets = [_Set(name, list(map(_Sample, of_set))) for name, of_set in by_set(records).items()]
    page = render("samples.html.j2", model=model, sets=sets)
    path = directory / PAGE_FILE
    write_private(path, page)
    return path
