"""Work of realistic size: lengths as drawn, no post like another, the same seed the same posts."""

from __future__ import annotations

import random
import statistics

import pytest

from loadtests.measurements import spread
from loadtests.workload import LENGTHS, POSTS, length, mixed, of_length


def words(text: str) -> int:
    return len(text.split())


def test_a_length_is_kept() -> None:
    posts = of_length(20, 300, words)
    assert [item.tokens for item in posts] == [300] * 20
    assert all(words(item.post) == 300 for item in posts)


def test_lengths_follow_their_set() -> None:
    posts = mixed(1600, words)
    for name, (median, high) in LENGTHS.items():
        own = sorted(item.tokens for item in posts if item.set == name)
        assert len(own) == 200
        assert statistics.median(own) == pytest.approx(median, rel=0.2)
        assert own[189] == pytest.approx(high, rel=0.35)


def test_the_median_and_the_95th_percentile_are_those_given() -> None:
    generator = random.Random(0)
    drawn = sorted(length(100, 400, generator) for _ in range(20_000))
    assert drawn[10_000] == pytest.approx(100, rel=0.05)
    assert drawn[19_000] == pytest.approx(400, rel=0.05)


def test_the_seed_decides() -> None:
    assert mixed(40, words, seed=1) == mixed(40, words, seed=1)
    assert mixed(40, words, seed=1) != mixed(40, words, seed=2)


def test_hardly_any_posts_begin_alike() -> None:
    posts = of_length(64, 120, words)
    heads = {" ".join(item.post.split()[:32]) for item in posts}
    assert len(heads) == 64


def test_there_are_32_posts_of_about_150_words() -> None:
    assert len(set(POSTS)) == 32
    assert all(130 <= words(post) <= 170 for post in POSTS)


def test_fewer_posts_are_as_long_as_all() -> None:
    posts = mixed(96, words)
    few = spread(posts, 12)
    assert len(few) == 12
    assert spread(posts, 200) == list(posts)
    means = [statistics.mean(item.tokens for item in items) for items in (few, posts)]
    assert means[0] == pytest.approx(means[1], rel=0.25)
