"""Rules that take out rows, or the explanation of a row.

`clean` puts all examples through the rules one after the other. A rule finds rows; what it finds in
train is removed, or keeps its label and loses its explanation. What it finds in val and test is
counted and left alone, so that the benchmark stays the benchmark, unless `everywhere` says
otherwise. Every rule can be switched off; none works on a row that an earlier one removed. Text is
mended before, by `training.data.mending`.
"""

# ruff: noqa: RUF001 - typographic quotation marks are meant

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from service.analysis.evidence import find_quotes
from training.data.example import Example, Split
from training.data.verdict import verdict


class Effect(StrEnum):
    """What becomes of a row that a rule finds."""

    REMOVED = "removed"
    LABEL_ONLY = "label_only"


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of fault.

    Attributes:
        id: the name on the command line and in reports.
        description: which rows it finds, one sentence.
        effect: what becomes of them.
        find: ids of such rows among all examples.
    """

    id: str
    description: str
    effect: Effect
    find: Callable[[Sequence[Example]], set[str]]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule did.

    Attributes:
        rule: the rule.
        found: ids of the rows that it found, in order.
        applied: those of them on which it had its effect.
    """

    rule: Rule
    found: tuple[str, ...]
    applied: tuple[str, ...]


def clean(
    examples: Iterable[Example],
    *,
    rules: Sequence[Rule],
    everywhere: bool = False,
) -> tuple[tuple[Example, ...], tuple[Finding, ...]]:
    """Put examples through rules.

    Args:
        examples: of all splits.
        rules: in the order in which they work; `rules_but` gives the usual ones.
        everywhere: let them have their effect on val and test too.

    Returns:
        The examples that are left, in order, and what each rule did.
    """
    left = list(examples)
    findings = []
    for rule in rules:
        found = rule.find(left)
        applied = {e.id for e in left if e.id in found and (everywhere or e.split is Split.TRAIN)}
        findings.append(
            Finding(
                rule,
                tuple(e.id for e in left if e.id in found),
                tuple(e.id for e in left if e.id in applied),
            )
        )
        if rule.effect is Effect.REMOVED:
            left = [e for e in left if e.id not in applied]
        else:
            left = [replace(e, explanation=None) if e.id in applied else e for e in left]
    return tuple(left), tuple(findings)


def rules_but(without: Collection[str] = (), *, quotes_found: float = 1.0) -> tuple[Rule, ...]:
    """Return all rules but those named, in their order.

    Args:
        without: ids of rules; those that are none are ignored.
        quotes_found: share of an explanation's quotes, 0 to 1, that must stand in the post.
    """
    grounded = Rule(
        "quotes",
        f"Less than {quotes_found:.0%} of the explanation's quotes stand in the post.",
        Effect.LABEL_ONLY,
        _each(lambda example: _ungrounded(example, quotes_found)),
    )
    return tuple(rule for rule in (*_RULES, grounded) if rule.id not in without)


MIN_CHARACTERS = 10
"""A shorter post says too little to label."""


def _each(fault: Callable[[Example], bool]) -> Callable[[Sequence[Example]], set[str]]:
    return lambda examples: {example.id for example in examples if fault(example)}


# What a spreadsheet writes in place of a text that it took for a formula.
_SPREADSHEET = re.compile(r"#(?:NAME\?|REF!|VALUE!|N/A|DIV/0!|NUM!|NULL!)")


def _broken(example: Example) -> bool:
    post = example.post.strip()
    return bool(_SPREADSHEET.fullmatch(post)) or not any(map(str.isalnum, post))


def _short(example: Example) -> bool:
    return len(example.post.strip()) < MIN_CHARACTERS


# English function words make up about half of running English text. Elsewhere hardly one is met.
_FUNCTION_WORDS_TEXT = """
a about all am an and are as at be been but by can did do does for from get got had has have he her
his how i if in into is it its just like me my no not of on or our out she so some than that the
their them then there they this to up us was we were what when where which who why will with would
you your
"""
_FUNCTION_WORDS = frozenset(_FUNCTION_WORDS_TEXT.split())
_WORD = re.compile(r"[^\W\d_]+")
_FEW_WORDS = 12
_FEW_LETTERS = 10
_LEAST_FUNCTION_WORDS = 0.1
_MOST_OTHER_LETTERS = 0.3


def _not_english(example: Example) -> bool:
    """Few function words, in a post long enough to tell, or many letters beyond ASCII."""
    words = [word.casefold() for word in _WORD.findall(example.post)]
    letters = sum(map(len, words))
    other = sum(not letter.isascii() for word in words for letter in word)
    if letters >= _FEW_LETTERS and other > _MOST_OTHER_LETTERS * letters:
        return True
    functional = sum(word in _FUNCTION_WORDS for word in words)
    return len(words) >= _FEW_WORDS and functional < _LEAST_FUNCTION_WORDS * len(words)


def _same_rows(examples: Iterable[Example]) -> Iterable[list[Example]]:
    """Examples of one set and split with the same post and question, where there are several."""
    rows: Mapping[tuple[str, ...], list[Example]] = defaultdict(list)
    for example in examples:
        key = (example.set, example.split, example.post_key, example.question.id)
        rows[key].append(example)
    return [same for same in rows.values() if len(same) > 1]


def _contradicting(examples: Sequence[Example]) -> set[str]:
    return {
        example.id
        for same in _same_rows(examples)
        if len({example.label.id for example in same}) > 1
        for example in same
    }


def _repeated(examples: Sequence[Example]) -> set[str]:
    """All but one of the rows that say the same; the one with an explanation stays, or the first.

    Rows of one question with different labels are none of this rule's business.
    """
    found = set()
    for same in _same_rows(examples):
        if len({example.label.id for example in same}) == 1:
            kept = next((example for example in same if example.explanation), same[0])
            found |= {example.id for example in same} - {kept.id}
    return found


_LEAKED = re.compile(
    r"\b(?:the|this|in|as|like|to|of)\s+"
    r"(?:(?:previous|first|second|third|fourth|last|other|above|given|provided|earlier)\s+)"
    r"(?:\w+\s+)?examples?\b"
    r"|\b(?:an?\s+)?(?:previous|earlier|first|second|third)\s+examples?\b"
    r"|\bexamples?\s+(?:above|given|provided|[0-9])"
    r"|\b(?:previous|earlier)\s+(?:posts|cases)\s+have\b",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\bas an ai\b|\blanguage model\b|^\W*(?:i['’]m\s+|i\s+am\s+)?sorry\b|^\W*(?:my\s+)?apolog"
    r"|\bi(?:\s+am|['’]m)\s+(?:not\s+able|unable)\s+to\b"
    r"|\bplease provide (?:more|further|additional)\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(r'"[^"]*"|“[^“”]*”')
_ENDING = re.compile(r"[.!?…][\"'”’)\]*]*$|[.!?…]?[\"”]\)?$")


def _in_explanation(pattern: re.Pattern[str]) -> Callable[[Sequence[Example]], set[str]]:
    """Rows whose explanation holds the pattern, in its own words and not in a quote."""
    return _each(lambda e: bool(e.explanation and pattern.search(_QUOTED.sub("", e.explanation))))


def _cut_off(example: Example) -> bool:
    return bool(example.explanation) and not _ENDING.search((example.explanation or "").rstrip())


def _contrary(example: Example) -> bool:
    said = verdict(example.explanation, example.question) if example.explanation else None
    return said is not None and said.id != example.label.id


def _ungrounded(example: Example, least: float) -> bool:
    if not example.explanation:
        return False
    quotes = find_quotes(example.explanation, example.post)
    return sum(bool(quote.evidence) for quote in quotes) < least * len(quotes)


_RULES = (
    Rule(
        "broken",
        "The post is empty, has no letter or digit, or is a spreadsheet's error such as #NAME?.",
        Effect.REMOVED,
        _each(_broken),
    ),
    Rule(
        "short",
        f"The post has fewer than {MIN_CHARACTERS} characters.",
        Effect.REMOVED,
        _each(_short),
    ),
    Rule(
        "not-english",
        f"Of {_FEW_WORDS} or more words fewer than {_LEAST_FUNCTION_WORDS:.0%} are English "
        f"function words, or more than {_MOST_OTHER_LETTERS:.0%} of the letters are not ASCII.",
        Effect.REMOVED,
        _each(_not_english),
    ),
    Rule(
        "contradictions",
        "The same set and split has another label for the same post and question; all go.",
        Effect.REMOVED,
        _contradicting,
    ),
    Rule(
        "duplicates",
        "The same set and split has the same label for the same post and question; one stays.",
        Effect.REMOVED,
        _repeated,
    ),
    Rule(
        "leaked-examples",
        "The explanation speaks of the examples in the prompt that it was written to.",
        Effect.LABEL_ONLY,
        _in_explanation(_LEAKED),
    ),
    Rule(
        "refusals",
        "The explanation is a refusal or speaks of its writer as a language model.",
        Effect.LABEL_ONLY,
        _in_explanation(_REFUSAL),
    ),
    Rule(
        "cut-off",
        "The explanation does not end as a sentence does.",
        Effect.LABEL_ONLY,
        _each(_cut_off),
    ),
    Rule(
        "contrary-verdict",
        "The explanation's last sentence plainly says another label (a heuristic).",
        Effect.LABEL_ONLY,
        _each(_contrary),
    ),
)

RULES: Mapping[str, Rule] = {rule.id: rule for rule in rules_but()}
"""All rules by id, in the order in which they work."""
