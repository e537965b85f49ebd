"""The load tests' posts: as many, as long and as different as their measurements say."""

from __future__ import annotations

import re

import pytest

from loadtests.posts import MOST, POSTS, at_most, halves


def test_there_are_32_posts_of_about_150_words() -> None:
    assert len(POSTS) == len(set(POSTS)) == 32
    for post in POSTS:
        assert 130 <= len(post.split()) <= 170
        assert re.search(r"\b(I|me|my)\b", post)
        assert post == " ".join(post.split())


def test_no_two_posts_share_a_sentence() -> None:
    sentences = [one for post in POSTS for one in re.split(r"(?<=[.!?])\s+", post)]
    long = [one for one in sentences if len(one.split()) > 3]
    assert len(long) == len(set(long))


@pytest.mark.parametrize("post", POSTS)
def test_halves_are_whole_sentences_and_together_the_post(post: str) -> None:
    first, second = halves(post)
    assert f"{first} {second}" == post
    assert first.rstrip("\"'")[-1] in ".!?"
    assert re.match(r"[\"']?[A-Z]", second)
    assert min(len(first), len(second)) > len(post) / 4


def test_a_quoted_question_inside_a_sentence_does_not_end_it() -> None:
    assert halves('I said "and you?" and left. It rained.') == (
        'I said "and you?" and left.',
        "It rained.",
    )


def test_one_sentence_has_no_halves() -> None:
    with pytest.raises(ValueError, match="one sentence"):
        halves("It is over.")


def test_more_posts_than_there_are_bring_halves() -> None:
    assert at_most(3) == POSTS[:3]
    assert at_most(35) == (*POSTS, *halves(POSTS[0]), halves(POSTS[1])[0])
    assert len(set(at_most(MOST))) == MOST == 96


@pytest.mark.parametrize("number", [0, -1, MOST + 1])
def test_a_number_of_posts_out_of_range_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=f"from 1 to {MOST}"):
        at_most(number)
