"""Which explanations are drawn, for whom, and what an annotator can tell of them."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from tests.training.annotate.made import POSTS, record, records
from training.annotate.draw import draw, explained
from training.errors import UsageError

SYSTEMS = {name: explained(records(name)) for name in ("ours", "theirs")}
PEOPLE = ("ana", "ben", "eva")


def drawn(rows: int = 8, overlap: int = 2, seed: int = 1):
    return draw(SYSTEMS, rows=rows, annotators=PEOPLE, overlap=overlap, rubric="imhi", seed=seed)


def test_the_same_samples_are_drawn_for_every_system_evenly_over_sets() -> None:
    items, key, _ = drawn()
    assert len(items) == 16
    by_system = {
        name: {one.sample for one in key.origins.values() if one.system == name} for name in SYSTEMS
    }
    assert by_system["ours"] == by_system["theirs"]
    assert len(by_system["ours"]) == 8
    assert Counter(one.set for one in key.origins.values()) == {"dreaddit": 8, "DR": 8}
    for item in items:
        assert item.explanation.startswith(key.origins[item.id].system)


def test_an_item_tells_nothing_of_its_system() -> None:
    items, key, _ = drawn()
    assert all(item.id.startswith("item-") and item.id[5:].isdigit() for item in items)
    in_order = [key.origins[item.id].system for item in items]
    assert in_order not in (sorted(in_order), sorted(in_order, reverse=True))
    assert in_order != ["ours", "theirs"] * 8


def test_each_item_goes_to_as_many_annotators_as_asked_and_all_get_as_much() -> None:
    items, _, given = drawn(overlap=2)
    times = Counter(item for ids in given.values() for item in ids)
    assert times == {item.id: 2 for item in items}
    assert {len(ids) for ids in given.values()} <= {10, 11}
    assert all(len(set(ids)) == len(ids) for ids in given.values())
    everybody = drawn(overlap=3)[2]
    assert {len(ids) for ids in everybody.values()} == {16}
    assert len({tuple(ids) for ids in everybody.values()}) == 3  # an order of their own


def test_items_on_one_sample_do_not_follow_each_other() -> None:
    _, key, given = drawn(overlap=3)
    for ids in given.values():
        samples = [key.origins[one].sample for one in ids]
        assert sum(a == b for a, b in pairwise(samples)) <= 1  # the last may be left over


def test_the_seed_decides_and_nothing_else() -> None:
    assert drawn() == drawn()
    assert drawn(seed=2) != drawn()
    assert len(drawn(rows=1000)[0]) == 2 * 2 * POSTS


def test_free_form_responses_can_be_rated_and_what_is_empty_is_not() -> None:
    texts = {one.item.explanation for one in explained(records("x"), free_form=True)}
    assert texts == {"A free explanation."}
    assert explained([record(1, text=None), record(2, text="  ")]) == ()


@pytest.mark.parametrize(
    ("annotators", "overlap", "said"),
    [(("ana", "ana"), 1, "one name"), (("ana",), 0, "--overlap")],
)
def test_what_cannot_be_drawn_is_refused(
    annotators: tuple[str, ...], overlap: int, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        draw(SYSTEMS, rows=4, annotators=annotators, overlap=overlap, rubric="imhi", seed=0)


def test_systems_without_a_sample_in_common_are_refused() -> None:
    other = explained([record(77)])
    with pytest.raises(UsageError, match="nothing can be compared"):
        draw(
            {**SYSTEMS, "other": other},
            rows=4,
            annotators=PEOPLE,
            overlap=1,
            rubric="imhi",
            seed=0,
        )
