"""Work of realistic size: lengths as drawn, no post like another, the same seed the same posts."""

from __future__ import annotations

import random
import statistics

import pytest

from loadtests.workload import LENGTHS, Lengths, mixed, of_length


def words(text: str) -> int:
    return len(text.split())


def test_a_length_is_kept() -> None:
    posts = of_length(20, 300, words)
    assert [item.tokens for item in posts] == [300] * 20
    assert all(words(item.post) == 300 for item in posts)


def test_lengths_follow_their_set() -> None:
    posts = mixed(1600, words)
    for name, lengths in LENGTHS.items():
        own = sorted(item.tokens for item in posts if item.set == name)
        assert len(own) == 200
        assert statistics.median(own) == pytest.approx(lengths.median, rel=0.2)
        assert own[189] == pytest.approx(lengths.high, rel=0.35)


def test_the_median_and_the_95th_percentile_are_those_given() -> None:
    generator = random.Random(0)
    drawn = sorted(Lengths(100, 400).drawn(generator) for _ in range(20_000))
    assert drawn[10_000] == pytest.approx(100, rel=0.05)
    assert drawn[19_000] == pytest.approx(400, rel=0.05)


def test_the_seed_decides() -> None:
    assert mixed(40, words, seed=1) == mixed(40, words, seed=1)
    assert mixed(40, words, seed=1) != mixed(40, words, seed=2)


def test_hardly_any_posts_begin_alike() -> None:
    posts = of_length(64, 120, words)
    heads = {" ".join(item.post.split()[:32]) for item in posts}
    assert len(heads) == 64
