import pytest

from tests.training.data.folders import LONELINESS, example, post
from training.data.duplicates import NEAR, find_contamination, find_near_measured
from training.data.example import Split, post_key

WORDS = [f"word{i}" for i in range(40)]


def text(*changed: int) -> str:
    """Forty words, 38 shingles; each changed word inside breaks three of them."""
    return " ".join("changed" + word if i in changed else word for i, word in enumerate(WORDS))


@pytest.mark.parametrize(
    ("other", "similarity"),
    [
        (text(20), 35 / 41),
        (text(39), 37 / 39),
        (text() + " more", 38 / 39),
        (text().upper().replace(" ", ", ", 1) + " end", 38 / 39),
    ],
)
def test_near_posts(other: str, similarity: float) -> None:
    found = find_contamination([example(text(), row=1), example(other, row=2)])
    (pair,) = found.near
    assert {pair.one, pair.other} == {post_key(text()), post_key(other)}
    assert pair.similarity == pytest.approx(similarity)


def test_posts_that_are_less_alike_are_not_near() -> None:
    other = text(10, 20)  # 32 shingles of 44 in common
    assert NEAR > 32 / 44
    assert find_contamination([example(text(), row=1), example(other, row=2)]).near == ()


@pytest.mark.parametrize("pair", [("so tired", "so bored"), ("tired", "bored"), ("!!", "?!")])
def test_short_posts_are_near_only_if_equal(pair: tuple[str, str]) -> None:
    found = find_contamination([example(words, row=i) for i, words in enumerate(pair)])
    assert found.near == ()


def test_counts_by_part() -> None:
    rows = [
        example(text(), row=1),
        example(text(20), split=Split.VAL, row=2),
        example(text(), LONELINESS, set_id="loneliness", row=3),
        example(post(1), LONELINESS, set_id="loneliness", row=4),
        example(post(2), row=5),
        example(post(2).upper(), row=6),
    ]
    found = find_contamination(rows)
    assert found.equal_counts() == {
        "dreaddit/train": {"dreaddit/train": 2, "loneliness/train": 1},
        "dreaddit/val": {"dreaddit/val": 1},
        "loneliness/train": {"dreaddit/train": 1, "loneliness/train": 2},
    }
    assert found.near_counts() == {
        "dreaddit/train": {"dreaddit/val": 1},
        "dreaddit/val": {"dreaddit/train": 1, "loneliness/train": 1},
        "loneliness/train": {"dreaddit/val": 1},
    }
    ids = [row.id for row in rows]
    kept = found.to_json()
    assert sorted(kept["equal"]) == sorted([[ids[0], ids[2]], [ids[4], ids[5]]])
    assert [near["similarity"] for near in kept["near"]] == [round(35 / 41, 4)]
    assert sorted(map(sorted, kept["near"][0]["rows"])) == sorted([[ids[0], ids[2]], [ids[1]]])
    assert find_near_measured(rows, found) == {
        ids[0]: ("dreaddit/val",),
        ids[2]: ("dreaddit/val",),
    }


def test_progress_is_told() -> None:
    told = []
    rows = [example(post(n), row=n) for n in range(3)]
    find_contamination([*rows, rows[0]], lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
