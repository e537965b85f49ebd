"""One labelled example, whatever file it came from.

Every reader makes `Example`s, every rule takes and gives them, `training.data.prepared` keeps them.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from imhi.tasks import Label, Question


class Split(StrEnum):
    """The part of a set that an example stands in."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class Origin(StrEnum):
    """Whose word an example's label is.

    REFERENCE: the benchmark's reference answer. It follows ChatGPT where ChatGPT disagrees with the
    annotators. ANNOTATION: the annotators' own label, of the raw files.
    """

    REFERENCE = "reference"
    ANNOTATION = "annotation"


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a post that annotators marked.

    Attributes:
        start: offset of its first character in the post, in Unicode code points.
        end: offset after its last character.
    """

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Example:
    """A post, a question on it, and the answer.

    Attributes:
        post: the post's text.
        question: what is asked.
        label: the answer that is trained on or measured against.
        origin: whose answer it is.
        set: id of the data set, a key of `imhi.tasks.DATASETS`.
        split: the part of the set.
        source: the file it was read from, relative to the data folder, with forward slashes.
        row: number of the row in that file, from 1, the header not counted.
        explanation: why, in words, or None for a label-only row.
        evidence: what the annotators marked in the post; None where nobody was asked to, empty
            where they marked nothing.
        annotation: the annotators' label where it is known, whatever `origin` says.
    """

    post: str
    question: Question
    label: Label
    origin: Origin
    set: str
    split: Split
    source: str
    row: int
    explanation: str | None = None
    evidence: tuple[Span, ...] | None = None
    annotation: Label | None = None

    @property
    def id(self) -> str:
        """Unique among all examples: source, row and question."""
        return f"{self.source}:{self.row}:{self.question.id}"

    @property
    def post_key(self) -> str:
        """The same for all posts that are equal but for case, spaces, marks and punctuation."""
        return post_key(self.post)


_NOT_WORDS = re.compile(r"[\W_]+")


def post_key(post: str) -> str:
    """Return a digest of the normalised post: 16 hexadecimal digits.

    Normalised means: compatibility forms unified (NFKC), case folded, everything but letters and
    digits taken out. A post of punctuation alone is its own key.
    """
    folded = unicodedata.normalize("NFKC", post).casefold()
    words = _NOT_WORDS.sub("", folded) or post
    return hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()[:16]
