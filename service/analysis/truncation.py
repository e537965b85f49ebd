"""Fitting a post into the model's context, as the caller chose, and saying what was left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from service.analysis.types import Cut, Truncation
from service.errors import TextTooLongError

_BY_PROPORTION = 8
GAP = " … "
"""What the model sees where the middle of a post was cut out."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A post as the model will see it.

    Attributes:
        text: the post, or what was kept of it.
        cuts: what was left out, as offsets into the original.
    """

    text: str
    cuts: tuple[Cut, ...]


def fit(text: str, policy: Truncation, budget: int, length: Callable[[str], int]) -> Fitted:
    """Return `text` within `budget` tokens.

    Args:
        text: the post.
        policy: `head` keeps the beginning, `tail` the end, `middle` both ends in equal parts;
            `error` refuses.
        budget: most tokens, as `length` counts them.
        length: number of tokens of a text in its prompt; grows with the text.

    Raises:
        TextTooLongError: the post does not fit and the policy is `error`, or nothing of it would.
    """
    tokens = length(text)
    if tokens <= budget:
        return Fitted(text, ())
    if policy is Truncation.ERROR:
        raise TextTooLongError(
            f"The text takes {tokens} tokens with the prompt's beginning; there is room for "
            f"{budget}. Shorten it, ask for a shorter explanation (`explanation_tokens`), or set "
            "`truncation` to `head`, `tail` or `middle`.",
            param="text",
        )
    fitted = _kept(text, policy, _characters(text, policy, budget, length, tokens))
    if not fitted.text.replace(GAP, "").strip():
        raise TextTooLongError(
            f"There is room for {budget} tokens of prompt beginning and text, too few for any of "
            "the text. Ask for a shorter explanation (`explanation_tokens`) or serve the model "
            "with a larger --max-model-len.",
            param="explanation_tokens",
        )
    return fitted


def _characters(
    text: str, policy: Truncation, budget: int, length: Callable[[str], int], tokens: int
) -> int:
    """How many characters to keep: as many as fit, to within a hundredth of the budget.

    Each step counts the tokens of a part of about the size wanted, since counting those of a long
    text takes long; steps by proportion need a few of them, halving finishes what they leave.
    """
    low, high = 0, len(text) - 1  # `low` characters fit, more than `high` do not
    per_token = len(text) / tokens
    guess = int(budget * per_token)
    for step in range(64):
        if low >= high:
            break
        middle = min(max(guess, low + 1), high) if step < _BY_PROPORTION else (low + high + 1) // 2
        found = length(_kept(text, policy, middle).text)
        if found <= budget:
            low = middle
            if budget - found <= budget // 100:
                break
        else:
            high = middle - 1
        guess = middle + int((budget - found) * per_token)
    return low


def _kept(text: str, policy: Truncation, characters: int) -> Fitted:
    """What is left of `text` when `characters` of it are kept."""
    total = len(text)
    if policy is Truncation.HEAD:
        return Fitted(text[:characters], (Cut(characters, total),))
    if policy is Truncation.TAIL:
        return Fitted(text[total - characters :], (Cut(0, total - characters),))
    first = (characters + 1) // 2
    last = total - (characters - first)
    return Fitted(text[:first] + GAP + text[last:], (Cut(first, last),))
