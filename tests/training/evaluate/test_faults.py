import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluate.faults import find_faults, repeated_4grams

POST = (
    "I have not slept since the move. My doctor said the results were clinical nonsense, and I "
    "just want a quiet week with my brother before the new job begins."
)
GOOD = (
    "The poster says that they have not slept and that they want a quiet week. They speak of a "
    "move and of a new job, which many people find hard, and they name no other reason for it."
)


def faults(explanation, post=POST, finish_reason="stop"):
    """Names of the faults."""
    found = find_faults(explanation, post, finish_reason)
    return {name for name in found.__slots__ if getattr(found, name) is True}


def test_good_prose_has_no_fault():
    assert faults(GOOD) == set()


@pytest.mark.parametrize(
    ("explanation", "expected"),
    [
        ("", {"empty"}),
        ("  \n ", {"empty"}),
        ("...", {"empty", "not_english"}),
        (GOOD + " They speak of a move. They speak of a move.", {"repeats"}),
        (GOOD + "\nThey speak of A MOVE!\nthey speak of a move", {"repeats"}),
        (GOOD + " It is so. It is so.", set()),  # three words
        (GOOD + " and it is hard and it is hard" * 12, {"repeats"}),
        ("As in the first example, " + GOOD, {"prompt_talk"}),
        ("Like the examples above, " + GOOD, {"prompt_talk"}),
        ("This follows example 2: " + GOOD, {"prompt_talk"}),
        (GOOD + ' Question: Does the poster suffer from stress?"', {"prompt_talk"}),
        (GOOD + " For example, the move.", set()),
        ("It says I just want a quiet week with my brother before it all.", {"copies_post"}),
        ("It says 'just want a quiet week'.", set()),  # five words of the post
        (GOOD.replace("poster", "post\ufffder"), {"not_english"}),
        (GOOD.replace("poster", "post\x1ber"), {"not_english"}),
        ("|| ## -- ** || ## -- ** ok", {"not_english"}),
        ("Автор пишет, что давно не спит.", {"not_english"}),
        (
            "Der Verfasser schreibt, dass er seit dem Umzug nicht geschlafen hat und sich eine "
            "ruhige Woche wünscht.",
            {"not_english"},
        ),
        ("Été ou café, naïve façade.", set()),  # too short to tell by its words
        ("This person was diagnosed with it. " + GOOD, {"clinical_words"}),
        ("The poster calls it clinical. " + GOOD, set()),  # the post's own word
    ],
)
def test_faults(explanation, expected):
    assert faults(explanation) == expected


def test_the_token_limit():
    assert faults(GOOD, finish_reason="length") == {"cut_off"}


def test_repeated_4grams_are_one_minus_distinct_over_all():
    assert repeated_4grams(list("abcdefgh")) == 0
    assert repeated_4grams(["a"] * 7) == 1 - 1 / 4
    assert repeated_4grams(list("abc")) == 0


def test_the_copied_share():
    found = find_faults("They want a quiet week with him", POST, "stop")
    assert found.copied == pytest.approx(5 / 7)  # "want a quiet week with"
    assert not found.copies_post


def longest_common_run(words, post):
    """By looking at every slice."""
    slices = {tuple(post[i:j]) for i in range(len(post)) for j in range(i + 1, len(post) + 1)}
    return max(
        (
            j - i
            for i in range(len(words))
            for j in range(i + 1, len(words) + 1)
            if tuple(words[i:j]) in slices
        ),
        default=0,
    )


LETTERS = st.lists(st.sampled_from("abc"), min_size=1, max_size=12)


@given(LETTERS, LETTERS)
def test_the_copied_share_is_that_of_the_longest_common_run(words, post):
    found = find_faults(" ".join(words), " ".join(post), "stop")
    assert found.copied == longest_common_run(words, post) / len(words)


@given(st.text(max_size=200), st.text(max_size=200))
def test_whatever_is_given_shares_are_shares(explanation, post):
    found = find_faults(explanation, post, "stop")
    assert 0 <= found.copied <= 1
    assert 0 <= found.repeated_4grams <= 1
