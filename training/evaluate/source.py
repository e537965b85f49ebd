"""The data of a run: the rows that are measured, and the posts that a model may know.

A folder of prepared data, or of the benchmark's released files, goes in; a `Source` comes out.
Released files are read as they are: text is mended as `data prepare` does it, so that prompts are
the same, and no row is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from service.weights import CHECKSUMS_FILE
from training.data.example import Example, Split
from training.data.mending import Mender
from training.data.prepared import load_prepared
from training.data.raw import join_raw, read_raw
from training.data.released import read_released


@dataclass(frozen=True, slots=True)
class Source:
    """The data of a run.

    Attributes:
        name: what the data is called; the folder's own name.
        examples: the split that is measured, all sets.
        train: the train split of the same data; empty where it has none.
        seen: keys of the posts that the model was trained on, or None if they are not known.
        seen_in: what these were taken from, or None.
    """

    name: str
    examples: tuple[Example, ...]
    train: tuple[Example, ...]
    seen: frozenset[str] | None
    seen_in: str | None

    def was_seen(self, example: Example) -> bool | None:
        """Whether the example's post is among those that the model was trained on."""
        return None if self.seen is None else example.post_key in self.seen


def load_source(folder: Path, split: Split, seen_in: Path | None = None) -> Source:
    """Read the data of a run.

    Args:
        folder: prepared data, or released files as their public repository has them.
        split: the part that is measured.
        seen_in: data whose train split the model was trained on; that of `folder` by default.

    Raises:
        DataError: a folder holds neither, or something in it cannot be read.
    """
    examples = _examples(folder)
    train = _of(examples, Split.TRAIN)
    known = train if seen_in is None else _of(_examples(seen_in), Split.TRAIN)
    name = (seen_in or folder).absolute().name
    return Source(
        name=folder.absolute().name,
        examples=_of(examples, split),
        train=train,
        seen=frozenset(example.post_key for example in known) if known else None,
        seen_in=f"the train split of {name}" if known else None,
    )


def _examples(folder: Path) -> tuple[Example, ...]:
    """All rows of a folder."""
    if (folder / CHECKSUMS_FILE).is_file():
        prepared = load_prepared(folder)
        return tuple(example for rows in prepared.examples.values() for example in rows)
    mend = Mender()
    released = read_released(folder, mend=mend).examples
    # The annotators' labels, where the raw files stand beside; their other rows are no part of the
    # benchmark until `data prepare` divides them.
    ids = {example.id for example in released}
    joined = join_raw(released, read_raw(folder, mend=mend).rows).examples
    return tuple(example for example in joined if example.id in ids)


def _of(examples: Iterable[Example], split: Split) -> tuple[Example, ...]:
    return tuple(example for example in examples if example.split is split)
