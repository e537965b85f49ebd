from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.training.data.folders import CAMS, LONELINESS, STRESS, example, post
from training.data.example import Example, Split
from training.data.splits import find_shared, hold_out

CAUSES = [label.id for label in CAMS.labels]


def cams(number: int, label: str, row: int | None = None) -> Example:
    return example(post(number), CAMS, label, set_id="CAMS", row=row or number, explanation=None)


def held(examples: tuple[Example, ...]) -> set[str]:
    return {e.id for e in examples if e.split is Split.VAL}


def test_a_fifth_is_held_out_by_label() -> None:
    rows = [cams(n, "relationship" if n % 4 else "none") for n in range(1, 101)]
    moved, counts = hold_out(rows, seed=0)
    assert counts == {"CAMS": 20}
    labels = Counter(e.label.id for e in moved if e.split is Split.VAL)
    assert labels == {"relationship": 15, "none": 5}
    assert [e.row for e in moved] == [e.row for e in rows]


def test_no_more_is_held_out_than_the_benchmark_has() -> None:
    rows = [cams(n, CAUSES[n % 6]) for n in range(1, 2001)]
    assert hold_out(rows, seed=0)[1] == {"CAMS": 320}


@given(st.randoms(use_true_random=False))
def test_the_choice_does_not_depend_on_the_order(random) -> None:
    rows = [cams(n, CAUSES[n % 6]) for n in range(1, 61)]
    expected = held(hold_out(rows, seed=3)[0])
    random.shuffle(rows)
    assert held(hold_out(rows, seed=3)[0]) == expected


def test_posts_are_taken_whole() -> None:
    rows = [cams(n // 3, "none", row=n) for n in range(3, 93)]
    moved, counts = hold_out(rows, seed=0)
    assert counts == {"CAMS": 18}
    keys = {split: {e.post_key for e in moved if e.split is split} for split in Split}
    assert not keys[Split.TRAIN] & keys[Split.VAL]


def test_posts_that_are_measured_anyway_go_first() -> None:
    rows = [cams(n, "none") for n in range(1, 51)]
    measured = [
        example(post(n), LONELINESS, set_id="loneliness", split=Split.VAL, row=n)
        for n in range(41, 51)
    ]
    moved, _ = hold_out([*rows, *measured], seed=0)
    own = {e.row for e in moved if e.set == "CAMS" and e.split is Split.VAL}
    assert own == set(range(41, 51))


def test_sets_with_val_rows_stay() -> None:
    rows = [*(example(post(n), row=n) for n in range(20)), example(post(99), split=Split.VAL)]
    assert hold_out(rows, seed=0) == (tuple(rows), {})


def test_shared_posts_are_found_across_sets() -> None:
    train = example(post(1).upper(), STRESS, row=1)
    alone = example(post(2), STRESS, row=2)
    val = example(post(1), LONELINESS, set_id="loneliness", split=Split.VAL)
    test = example(post(1), LONELINESS, set_id="loneliness", split=Split.TEST)
    rows = [train, alone, val, test]
    assert find_shared(rows, Split.TRAIN) == {train.id: ("loneliness/test", "loneliness/val")}
    assert find_shared(rows, Split.VAL) == {val.id: ("loneliness/test",)}
    assert find_shared(rows, Split.TEST) == {}
