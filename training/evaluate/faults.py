"""Faults of an explanation that need no reference to be seen.

An explanation, its post and its finish reason go in, `Faults` come out. Each is a rule that a
reader can check by hand, defined where it is; none reads meaning. Of the 3,983 reference
explanations of the benchmark's seven public validation sets none breaks a rule but two: 6 speak of
examples (they leak the few-shot prompt that they were made with), 21 hold clinical words. Their
largest share of repeated 4-grams is 0.12, their longest run of the post's words 0.28.
"""

# ruff: noqa: RUF001 - telling look-alike apostrophes apart is part of what this module does

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from imhi.clinical import clinical_stems

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+|\n+")

MAX_REPEATED_4GRAMS = 0.2
"""The largest share of 4-grams that repeat others before an explanation counts as repeating."""
MIN_SENTENCE_WORDS = 4
"""Words from which on a sentence may not be said twice; shorter ones recur in good prose."""
MAX_COPIED = 0.5
MIN_COPIED_WORDS = 8
"""An explanation copies where more than this share of it is one run of the post's words, and the
run has at least this many: a short explanation may well quote a phrase."""
MIN_LETTERS = 0.7
"""The smallest share of letters and digits among the characters that are not white space."""
MIN_LATIN = 0.8
"""The smallest share of Latin letters among the letters."""
MIN_FUNCTION_WORDS = 0.15
MIN_WORDS_TO_JUDGE = 12
"""A text of fewer words is not judged. In the references the smallest share is 0.27, the median of
a set 0.46 to 0.53."""

_ENGLISH = """
a about after all also an and any are as at be because been being but by can could do does for from
had has have he her him his how i if in indicates into is it its may me more mentions my no not of
on or other post poster she show shows so such than that the their them there these they this to too
was we were what when which while who will with would you your
"""
_FUNCTION_WORDS = frozenset(_ENGLISH.split())

# What explanations written from a few-shot prompt say of its examples, and the query's own wording,
# which a model repeats that runs on into a next question.
_PROMPT_TALK = re.compile(
    r"\b(?:first|second|third|fourth|fifth|last|previous|above|preceding|earlier|provided)"
    r" (?:\w+ )?examples?\b"
    r"|\bexamples? (?:above|below|provided|given|\d+)\b"
    r"|\bin (?:the|these|those|both) examples?\b"
    r"|\bconsider this post\s*:|\bquestion\s*:|\breasoning\s*:",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong with one explanation.

    Attributes:
        empty: no word in it.
        repeats: repeats itself: more than `MAX_REPEATED_4GRAMS` of its 4-grams are repetitions, or
            a sentence of at least `MIN_SENTENCE_WORDS` words is said twice.
        cut_off: the token limit ended it.
        prompt_talk: speaks of examples of a prompt, or repeats the query's wording.
        copies_post: consists for the most part of one run of words of the post.
        not_english: not English, or garbled.
        clinical_words: holds words of clinical reports that the post does not.
        repeated_4grams: share of its 4-grams that are repetitions, from 0 to 1.
        copied: share of its words in the longest run that stands in the post too, from 0 to 1.
    """

    empty: bool
    repeats: bool
    cut_off: bool
    prompt_talk: bool
    copies_post: bool
    not_english: bool
    clinical_words: bool
    repeated_4grams: float
    copied: float


def find_faults(explanation: str, post: str, finish_reason: str) -> Faults:
    """Look for faults in an explanation.

    Args:
        explanation: the model's words.
        post: the text that they explain a label of.
        finish_reason: `length` where the token limit ended the generation, `repetition` where
            a loop did.
    """
    words = _words(explanation)
    repeated = repeated_4grams(words)
    run = _longest_run(words, _words(post))
    copied = run / len(words) if words else 0.0
    return Faults(
        empty=not words,
        repeats=repeated > MAX_REPEATED_4GRAMS or says_twice(explanation),
        cut_off=finish_reason in ("length", "repetition"),
        prompt_talk=_PROMPT_TALK.search(explanation) is not None,
        copies_post=copied > MAX_COPIED and run >= MIN_COPIED_WORDS,
        not_english=_is_garbled(explanation) or _is_foreign(words),
        clinical_words=bool(clinical_stems(explanation) - clinical_stems(post)),
        repeated_4grams=repeated,
        copied=copied,
    )


def repeated_4grams(words: list[str]) -> float:
    """Return 1 minus the share of distinct 4-grams among all; 0 for fewer than four words.

    The measure seq-rep-4 of Welleck et al., arXiv 1908.04319, section 6.1, on words.
    """
    grams = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _words(text: str) -> list[str]:
    return [word.replace("’", "'").casefold() for word in _WORD.findall(text)]


def says_twice(explanation: str) -> bool:
    """Whether a sentence of at least `MIN_SENTENCE_WORDS` words stands in it twice."""
    sentences = [tuple(_words(sentence)) for sentence in _SENTENCE_END.split(explanation)]
    long = [sentence for sentence in sentences if len(sentence) >= MIN_SENTENCE_WORDS]
    return len(set(long)) < len(long)


def _longest_run(words: list[str], post: list[str]) -> int:
    """Words in the longest run that stands in both."""
    places: dict[str, list[int]] = {}
    for place, word in enumerate(post):
        places.setdefault(word, []).append(place)
    longest = 0
    ending: dict[int, int] = {}  # place in the post to the length of the run that ends there
    for word in words:
        ending = {place: ending.get(place - 1, 0) + 1 for place in places.get(word, ())}
        longest = max(longest, *ending.values(), 0)
    return longest


def _is_garbled(explanation: str) -> bool:
    """Replacement or control characters, or too few letters among what is written."""
    if any(
        character == "\N{REPLACEMENT CHARACTER}"
        or (unicodedata.category(character) == "Cc" and not character.isspace())
        for character in explanation
    ):
        return True
    written = [character for character in explanation if not character.isspace()]
    letters = [character for character in written if character.isalnum()]
    if len(letters) < MIN_LETTERS * len(written):
        return True
    alphabetic = [character for character in letters if character.isalpha()]
    latin = sum(1 for character in alphabetic if _is_latin(character))
    return latin < MIN_LATIN * len(alphabetic)


def _is_latin(character: str) -> bool:
    return character.isascii() or unicodedata.name(character, "").startswith("LATIN")


def _is_foreign(words: list[str]) -> bool:
    if len(words) < MIN_WORDS_TO_JUDGE:
        return False
    common = sum(1 for word in words if word in _FUNCTION_WORDS)
    return common < MIN_FUNCTION_WORDS * len(words)
