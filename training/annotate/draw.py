"""Which explanations are rated, by whom, and in which order.

The same samples are drawn for every system, evenly over sets, so that systems are compared on the
same posts. An item goes to `overlap` annotators; each of them gets about as many items, in an order
of their own, in which no two items on one sample stand next to each other where that can be helped.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from imhi.tasks import DATASETS, QUESTIONS
from training.annotate.items import Item, Key, Origin
from training.errors import UsageError
from training.evaluate.records import Record


@dataclass(frozen=True, slots=True)
class Explained:
    """An explanation that could be rated.

    Attributes:
        sample: id of the sample.
        set: id of its data set.
        item: what an annotator would see; its id is not set yet.
    """

    sample: str
    set: str
    item: Item


def explained(records: Iterable[Record], *, free_form: bool = False) -> tuple[Explained, ...]:
    """The explanations of a run: of the decided labels, or those of its free-form responses."""
    found = []
    for record in records:
        if free_form:
            answer = record.free_form
            label, text = (answer.label, answer.explanation) if answer else (None, None)
        else:
            told = record.explained
            label, text = (told.label, told.text) if told else (None, None)
        if label is None or not text or not text.strip():
            continue
        question = QUESTIONS[record.question]
        item = Item("", record.post, question.text, question.label(label).answer, text.strip())
        found.append(Explained(record.id, record.set, item))
    return tuple(found)


def draw(
    systems: Mapping[str, Sequence[Explained]],
    *,
    rows: int,
    annotators: Sequence[str],
    overlap: int,
    rubric: str,
    seed: int,
) -> tuple[tuple[Item, ...], Key, Mapping[str, tuple[str, ...]]]:
    """Draw what is rated.

    Args:
        systems: name of a system to its explanations.
        rows: samples to draw, at most; each is rated once for every system.
        annotators: their names.
        overlap: how many of them rate an item.
        rubric: id of a rubric.
        seed: of everything that is random.

    Returns:
        The items in the order of their ids, the key, and annotator to item ids in their order.

    Raises:
        UsageError: more overlap than annotators, a name twice, or no sample that all systems
            explained.
    """
    if len(set(annotators)) != len(annotators):
        raise UsageError("Two annotators have one name: give each a name of their own.")
    if not 1 <= overlap <= len(annotators):
        raise UsageError(
            f"{overlap} annotators an item are asked for and there are {len(annotators)}: lower "
            "--overlap or name more annotators."
        )
    by_sample = {
        name: {one.sample: one for one in explained_by} for name, explained_by in systems.items()
    }
    common = set.intersection(*(set(one) for one in by_sample.values()))
    if not common:
        raise UsageError("No sample was explained by all of the systems: nothing can be compared.")
    first = next(iter(by_sample.values()))
    samples = _evenly([first[sample] for sample in sorted(common)], rows, seed)
    generator = random.Random(f"{seed}:items")
    drawn = [by_sample[name][sample] for sample in samples for name in systems]
    names = [name for _ in samples for name in systems]
    places = list(range(len(drawn)))
    generator.shuffle(places)  # ids in an order that tells nothing
    items, origins = [], {}
    for number, place in enumerate(places, 1):
        one, item = drawn[place], drawn[place].item
        name = f"item-{number:04d}"
        items.append(Item(name, item.post, item.question, item.label, item.explanation))
        origins[name] = Origin(system=names[place], set=one.set, sample=one.sample)
    key = Key(
        rubric=rubric, annotators=tuple(annotators), overlap=overlap, seed=seed, origins=origins
    )
    return tuple(items), key, _assigned(items, origins, annotators, overlap, seed)


def _evenly(explained_by: Sequence[Explained], rows: int, seed: int) -> list[str]:
    """Samples drawn evenly over sets: one of each in turn until there are enough."""
    sets: dict[str, list[str]] = defaultdict(list)
    for one in explained_by:
        sets[one.set].append(one.sample)
    for name in sets:
        random.Random(f"{seed}:{name}").shuffle(sets[name])
    chosen: list[str] = []
    order = [name for name in DATASETS if name in sets]
    order += [name for name in sets if name not in DATASETS]
    while len(chosen) < rows and any(sets.values()):
        for name in order:
            if sets[name] and len(chosen) < rows:
                chosen.append(sets[name].pop())
    return chosen


def _assigned(
    items: Sequence[Item],
    origins: Mapping[str, Origin],
    annotators: Sequence[str],
    overlap: int,
    seed: int,
) -> dict[str, tuple[str, ...]]:
    generator = random.Random(f"{seed}:annotators")
    load = dict.fromkeys(annotators, 0)
    given: dict[str, list[str]] = {name: [] for name in annotators}
    for item in items:
        # Who has least so far; chance among equals.
        by_load = sorted(annotators, key=lambda name: (load[name], generator.random()))
        for name in by_load[:overlap]:
            load[name] += 1
            given[name].append(item.id)
    return {
        name: tuple(_spread(ids, origins, random.Random(f"{seed}:{name}")))
        for name, ids in given.items()
    }


def _spread(
    ids: Sequence[str], origins: Mapping[str, Origin], generator: random.Random
) -> list[str]:
    """A random order in which items on one sample lie apart where they can."""
    left = list(ids)
    generator.shuffle(left)
    order: list[str] = []
    last = None
    while left:
        place = next((i for i, one in enumerate(left) if origins[one].sample != last), 0)
        order.append(left.pop(place))
        last = origins[order[-1]].sample
    return order
