"""What people said: one number an item, annotator and criterion.

`ratings.jsonl` in the folder of an export holds one line each. An import adds to it; the same item
rated twice by the same person keeps what came last, and the import says how often that was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from training.annotate.items import Key
from training.annotate.rubric import RUBRICS, SCALE
from training.errors import DataError
from training.evaluate.store import write_private

RATINGS_FILE = "ratings.jsonl"


@dataclass(frozen=True, slots=True)
class Rating:
    """One number.

    Attributes:
        item: id of the item.
        annotator: who said it.
        criterion: id of the criterion.
        value: from `training.annotate.rubric.SCALE`.
    """

    item: str
    annotator: str
    criterion: str
    value: int


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did.

    Attributes:
        added: ratings that were not there before.
        changed: ratings that were there with another value.
        missing: annotator to how many ratings of their items are still missing.
    """

    added: int
    changed: int
    missing: Mapping[str, int]


_RATING = TypeAdapter(Rating)


def checked(ratings: Iterable[Rating], key: Key, source: str) -> tuple[Rating, ...]:
    """See that ratings are of this export.

    Args:
        ratings: what was read.
        key: of the export.
        source: the file that they were read from, for messages.

    Raises:
        DataError: an unknown item, annotator or criterion, or a value out of the scale.
    """
    criteria = {criterion.id for criterion in RUBRICS[key.rubric].criteria}
    kept = tuple(ratings)
    for one in kept:
        if one.item not in key.origins:
            raise DataError(f"{source} rates {one.item}, which is no item of this export.")
        if one.annotator not in key.annotators:
            raise DataError(
                f"{source} is by {one.annotator}, who is none of this export's annotators: "
                f"{', '.join(key.annotators)}."
            )
        if one.criterion not in criteria:
            raise DataError(
                f"{source} rates {one.criterion}, which is not in the rubric {key.rubric}."
            )
        if one.value not in SCALE:
            raise DataError(
                f"{source} gives {one.item} {one.value} for {one.criterion}; the scale is "
                f"{SCALE[0]} to {SCALE[-1]}."
            )
    return kept


def add_ratings(
    folder: Path, ratings: Sequence[Rating], given: Mapping[str, Sequence[str]], rubric: str
) -> Imported:
    """Add ratings to those in a folder.

    Args:
        folder: of the export.
        ratings: checked ones; of two for one item, annotator and criterion the last counts.
        given: annotator to the items that they were given.
        rubric: id of the rubric.

    Raises:
        DataError: the file cannot be read or written.
    """
    there = {_place(one): one for one in load_ratings(folder)}
    before = dict(there)
    there.update((_place(one), one) for one in ratings)
    lines = (json.dumps(asdict(there[place])) for place in sorted(there))
    write_private(folder / RATINGS_FILE, "".join(f"{line}\n" for line in lines))
    criteria = [criterion.id for criterion in RUBRICS[rubric].criteria]
    missing = {
        name: sum((item, name, one) not in there for item in items for one in criteria)
        for name, items in given.items()
    }
    return Imported(
        added=len(there) - len(before),
        changed=sum(before[place].value != there[place].value for place in before),
        missing={name: number for name, number in missing.items() if number},
    )


def load_ratings(folder: Path) -> tuple[Rating, ...]:
    """Read the ratings in a folder; none where nothing was imported yet.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / RATINGS_FILE
    if not path.exists():
        return ()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return tuple(map(_RATING.validate_json, lines))
    except (OSError, ValidationError) as error:
        raise DataError(f"{path} is damaged ({type(error).__name__}).") from None


def _place(rating: Rating) -> tuple[str, str, str]:
    return rating.item, rating.annotator, rating.criterion
