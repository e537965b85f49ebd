"""Contamination: posts that stand in more than one place, equal or nearly so.

Posts are *equal* by `post_key`. They are *near* where the Jaccard similarity of their sets of
three-word shingles is at least `NEAR` and they are not equal: `datasketch` proposes pairs by
MinHash and locality-sensitive hashing, and each pair is verified on the shingles themselves. A part
is a set's split, written `set/split`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.data.example import Example, Split
from training.data.splits import part

NEAR = 0.8
"""Jaccard similarity from which on two posts are near."""

_SHINGLE_WORDS = 3
_PERMUTATIONS = 128
# Lower than `NEAR`, since hashing misses pairs close to its threshold; what it finds is verified.
_PROPOSED_FROM = 0.7
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two posts that are nearly the same.

    Attributes:
        one, other: their keys, in order.
        similarity: Jaccard similarity of their shingles, from `NEAR` to 1.
    """

    one: str
    other: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Contamination:
    """Where equal and near posts stand.

    Attributes:
        rows: key of a post to its rows, as part and example id.
        near: near pairs, by key.
    """

    rows: Mapping[str, tuple[tuple[str, str], ...]]
    near: tuple[NearPair, ...]

    def near_keys(self) -> dict[str, set[str]]:
        """Key of a post to the keys of the posts near it."""
        keys: dict[str, set[str]] = defaultdict(set)
        for pair in self.near:
            keys[pair.one].add(pair.other)
            keys[pair.other].add(pair.one)
        return dict(keys)

    def equal_counts(self) -> dict[str, dict[str, int]]:
        """Part by part: posts that stand in both; with itself: its posts."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for places in self.rows.values():
            parts = {place for place, _ in places}
            for one in parts:
                counts[one].update(parts)
        return _ordered(counts)

    def near_counts(self) -> dict[str, dict[str, int]]:
        """Part by part: posts of the first that have a near one in the second."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for key, others in self.near_keys().items():
            there = {place for other in others for place, _ in self.rows[other]}
            for one in {place for place, _ in self.rows[key]}:
                counts[one].update(there)
        return _ordered(counts)

    def to_json(self) -> dict[str, Any]:
        """Ids of rows with equal posts (several rows of one question count) and of near ones."""
        return {
            "equal": [
                [row for _, row in places]
                for _, places in sorted(self.rows.items())
                if len({place for place, _ in places}) > 1 or _asked_twice(places)
            ],
            "near": [
                {
                    "similarity": round(pair.similarity, 4),
                    "rows": [[row for _, row in self.rows[key]] for key in (pair.one, pair.other)],
                }
                for pair in self.near
            ],
        }


def find_contamination(
    examples: Iterable[Example], advance: Callable[[int, int], None] = lambda done, total: None
) -> Contamination:
    """Find equal and near posts.

    Args:
        examples: of all sets and splits.
        advance: told after each post how many of how many are done.
    """
    rows: dict[str, list[tuple[str, str]]] = defaultdict(list)
    posts: dict[str, str] = {}
    for example in examples:
        rows[example.post_key].append((part(example), example.id))
        posts.setdefault(example.post_key, example.post)
    return Contamination(
        {key: tuple(places) for key, places in rows.items()}, _near_pairs(posts, advance)
    )


def find_near_measured(
    examples: Sequence[Example], contamination: Contamination
) -> dict[str, tuple[str, ...]]:
    """Find the train rows whose post is near one in a val or test split of any set.

    Returns:
        Example id to the parts in which such posts stand.
    """
    measured = {part(example) for example in examples if example.split is not Split.TRAIN}
    near = contamination.near_keys()
    found = {}
    for example in examples:
        if example.split is Split.TRAIN:
            others = near.get(example.post_key, ())
            parts = {place for other in others for place, _ in contamination.rows[other]}
            if parts & measured:
                found[example.id] = tuple(sorted(parts & measured))
    return found


def _near_pairs(
    posts: Mapping[str, str], advance: Callable[[int, int], None]
) -> tuple[NearPair, ...]:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=_PROPOSED_FROM, num_perm=_PERMUTATIONS)
    shingles: dict[str, frozenset[str]] = {}
    pairs = []
    for done, key in enumerate(sorted(posts), 1):
        advance(done, len(posts))
        own = _shingles(posts[key])
        if not own:
            continue
        sketch = MinHash(num_perm=_PERMUTATIONS)
        sketch.update_batch([shingle.encode("utf-8", "surrogatepass") for shingle in sorted(own)])
        for other in index.query(sketch):
            similarity = _jaccard(own, shingles[other])
            if similarity >= NEAR:
                pairs.append(NearPair(other, key, similarity))
        index.insert(key, sketch, check_duplication=False)
        shingles[key] = own
    return tuple(sorted(pairs, key=lambda pair: (pair.one, pair.other)))


def _shingles(post: str) -> frozenset[str]:
    """Runs of three words; a shorter post is one shingle, one without words has none."""
    words = _WORD.findall(post.casefold())
    if not words:
        return frozenset()
    last = max(len(words) - _SHINGLE_WORDS, 0)
    return frozenset(" ".join(words[i : i + _SHINGLE_WORDS]) for i in range(last + 1))


def _jaccard(one: Collection[str], other: Collection[str]) -> float:
    both = len(set(one) & set(other))
    return both / (len(one) + len(other) - both)


def _asked_twice(places: Sequence[tuple[str, str]]) -> bool:
    asked = Counter((place, row.rpartition(":")[2]) for place, row in places)
    return max(asked.values()) > 1


def _ordered(counts: Mapping[str, Counter[str]]) -> dict[str, dict[str, int]]:
    return {one: dict(sorted(others.items())) for one, others in sorted(counts.items())}
