"""What is rated, kept apart from where it came from.

An `Item` is all that an annotator sees: a post, what was asked, the label and its explanation. Its
id says nothing. Which system wrote it, and for which sample, stands in the `Key`, in a file of its
own that annotators are not given.

    items.jsonl  the items; they hold posts
    key.json     item to system, set and sample; rubric, annotators and seed

Both may be read by their owner only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from training.errors import DataError
from training.evaluate.store import write_private

ITEMS_FILE = "items.jsonl"
KEY_FILE = "key.json"


@dataclass(frozen=True, slots=True)
class Item:
    """One explanation to rate.

    Attributes:
        id: opaque, unique in the folder.
        post: the post's text.
        question: what was asked, in the benchmark's words.
        label: the label that is explained, as its answer sentence.
        explanation: the text to rate.
    """

    id: str
    post: str
    question: str
    label: str
    explanation: str


class Origin(BaseModel):
    """Where an item came from.

    Attributes:
        system: who wrote the explanation.
        set: id of the data set.
        sample: id of the sample; the same for all systems on it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str
    set: str
    sample: str


class Key(BaseModel):
    """What annotators do not see.

    Attributes:
        rubric: id of the rubric that is rated by.
        annotators: their names, as in the file names.
        overlap: annotators an item.
        seed: of the draw and of the order.
        origins: item id to where it came from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rubric: str
    annotators: tuple[str, ...]
    overlap: int
    seed: int
    origins: Mapping[str, Origin]


_ITEM = TypeAdapter(Item)


def write_items(folder: Path, items: Sequence[Item], key: Key) -> None:
    """Write both files.

    Raises:
        DataError: they cannot be written.
    """
    lines = [json.dumps(_ITEM.dump_python(item), ensure_ascii=False) for item in items]
    write_private(folder / ITEMS_FILE, "".join(f"{line}\n" for line in lines))
    write_private(folder / KEY_FILE, key.model_dump_json(indent=2) + "\n")


def load_items(folder: Path) -> tuple[Mapping[str, Item], Key]:
    """Read both files: items by id, and the key.

    Raises:
        DataError: a file is missing, damaged, or does not go with the other.
    """
    try:
        lines = (folder / ITEMS_FILE).read_text(encoding="utf-8").splitlines()
        key = Key.model_validate_json((folder / KEY_FILE).read_bytes())
        items = {item.id: item for item in map(_ITEM.validate_json, lines)}
    except FileNotFoundError as error:
        raise DataError(
            f"{error.filename} does not exist: name a folder that `mentalllama-train annotate "
            "export` wrote."
        ) from None
    except (OSError, ValidationError) as error:
        raise DataError(
            f"{folder} holds a damaged {ITEMS_FILE} or {KEY_FILE} ({type(error).__name__})."
        ) from None
    if items.keys() != key.origins.keys():
        raise DataError(f"{ITEMS_FILE} and {KEY_FILE} in {folder} are not of one export.")
    return items, key
