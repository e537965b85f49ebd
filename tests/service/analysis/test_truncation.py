"""Cutting a post to size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.analysis.truncation import GAP, fit
from service.analysis.types import Cut, Truncation
from service.errors import TextTooLongError

CUTTING = [Truncation.HEAD, Truncation.TAIL, Truncation.MIDDLE]


def test_a_text_that_fits_is_left_alone() -> None:
    for policy in Truncation:
        fitted = fit("one two", policy, 7, len)
        assert fitted.text == "one two"
        assert fitted.cuts == ()


@pytest.mark.parametrize(
    ("policy", "text", "cuts"),
    [
        (Truncation.HEAD, "abcde", (Cut(5, 10),)),
        (Truncation.TAIL, "fghij", (Cut(0, 5),)),
        (Truncation.MIDDLE, f"a{GAP}j", (Cut(1, 9),)),
    ],
)
def test_what_is_kept_and_what_is_said_to_be_cut(
    policy: Truncation, text: str, cuts: tuple[Cut, ...]
) -> None:
    fitted = fit("abcdefghij", policy, 5, len)
    assert (fitted.text, fitted.cuts) == (text, cuts)


def test_error_refuses_with_sizes_and_without_the_text() -> None:
    with pytest.raises(TextTooLongError, match=r"10 tokens .* 5") as raised:
        fit("abcdefghij", Truncation.ERROR, 5, len)
    assert "abc" not in raised.value.message
    assert raised.value.param == "text"


@pytest.mark.parametrize("policy", CUTTING)
def test_no_room_at_all_is_an_error(policy: Truncation) -> None:
    with pytest.raises(TextTooLongError, match="max-model-len"):
        fit("abcdefghij", policy, 2, lambda text: len(text) + 5)


@given(st.text(min_size=1), st.sampled_from(CUTTING), st.integers(8, 200))
def test_the_result_fits_and_cut_and_kept_make_up_the_text(
    text: str, policy: Truncation, budget: int
) -> None:
    def length(part: str) -> int:
        return 2 + len(part.encode("utf-8", "surrogatepass")) // 2

    try:
        fitted = fit(text, policy, budget, length)
    except TextTooLongError:
        # Only where every part that could be kept is blank.
        assert length(text) > budget
        return
    assert length(fitted.text) <= budget
    kept, position = [], 0
    for cut in fitted.cuts:
        assert position <= cut.start < cut.end <= len(text)
        kept.append(text[position : cut.start])
        position = cut.end
    kept.append(text[position:])
    assert fitted.text == (GAP if policy is Truncation.MIDDLE and fitted.cuts else "").join(kept)


@pytest.mark.parametrize("policy", CUTTING)
def test_a_long_text_is_counted_a_few_times_and_little_is_wasted(policy: Truncation) -> None:
    text = "".join(f"word{number} " for number in range(30_000))
    counted = []

    def length(part: str) -> int:
        counted.append(len(part))
        return 2 * part.count(" ") + part.count("9")

    fitted = fit(text, policy, 8_000, length)
    assert 7_900 <= length(fitted.text) <= 8_000
    assert len(counted) <= 10
