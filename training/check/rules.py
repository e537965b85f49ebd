"""What can be wrong with an explained row, one rule a fault.

A rule takes all rows and gives the ids of those that have the fault. Rules that need more than the
rows (annotators' labels, a classifier, experts) take it from `Evidence`, which is gathered before.
What a finding means is the recipe's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from training.check.recipe import Action, Thresholds
from training.data import cleaning
from training.data.example import Example
from training.evaluate.faults import MIN_COPIED_WORDS, find_faults, says_twice


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of rows besides themselves.

    Attributes:
        damaged: ids of rows whose text is mended when it is read.
        disagrees: ids of rows whose label is not the annotators'.
        inconsistent: ids of rows whose explanation is read as another label.
        unlike_expert: ids of rows whose explanation is too unlike an expert's on the same post.
    """

    damaged: Collection[str] = ()
    disagrees: Collection[str] = ()
    inconsistent: Collection[str] = ()
    unlike_expert: Collection[str] = ()


Find = Callable[[Sequence[Example], Evidence, Thresholds], set[str]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of fault.

    Attributes:
        id: its name in recipes and reports.
        description: which rows it finds, one sentence.
        find: ids of such rows.
        action: what a finding means where the recipe does not say.
    """

    id: str
    description: str
    find: Find = field(repr=False)
    action: Action


def _known(name: str) -> Find:
    return lambda rows, evidence, _: set(getattr(evidence, name)) & {row.id for row in rows}


def _of_cleaning(name: str) -> Rule:
    """A rule of `data prepare`, which leaves out what it finds."""
    rule = cleaning.RULES[name]
    return Rule(name, rule.description, lambda rows, *_: rule.find(rows), Action.REJECT)


def _quotes(rows: Sequence[Example], _: Evidence, thresholds: Thresholds) -> set[str]:
    *_others, rule = cleaning.rules_but(quotes_found=thresholds.quotes_found)
    return rule.find(rows)


def _each(fault: Callable[[Example, str, Thresholds], bool]) -> Find:
    """A rule on explanations; a row without one has none of its faults."""

    def find(rows: Sequence[Example], _: Evidence, thresholds: Thresholds) -> set[str]:
        return {
            row.id
            for row in rows
            if row.explanation is not None and fault(row, row.explanation, thresholds)
        }

    return find


def _copies(row: Example, text: str, thresholds: Thresholds) -> bool:
    copied = find_faults(text, row.post, "stop").copied
    return copied > thresholds.max_copied and copied * len(text.split()) >= MIN_COPIED_WORDS


def _repeats(row: Example, text: str, thresholds: Thresholds) -> bool:
    share = find_faults(text, row.post, "stop").repeated_4grams
    return share > thresholds.max_repeated_4grams or says_twice(text)


def _length(_: Example, text: str, thresholds: Thresholds) -> bool:
    return not thresholds.min_words <= len(text.split()) <= thresholds.max_words


def _foreign(row: Example, text: str, _: Thresholds) -> bool:
    return find_faults(text, row.post, "stop").not_english


def _clinical(row: Example, text: str, _: Thresholds) -> bool:
    return find_faults(text, row.post, "stop").clinical_words


_OF_ROWS = ("broken", "short", "not-english", "contradictions", "duplicates")
_OF_EXPLANATIONS = ("leaked-examples", "refusals", "cut-off", "contrary-verdict")

RULES: Mapping[str, Rule] = {
    rule.id: rule
    for rule in (
        Rule(
            "text-damaged",
            "Post or explanation holds mojibake or HTML entities; data prepare mends them.",
            _known("damaged"),
            Action.NOTE,
        ),
        *map(_of_cleaning, _OF_ROWS),
        Rule(
            "disagrees",
            "The row's label is not the annotators'.",
            _known("disagrees"),
            Action.REVIEW,
        ),
        Rule(
            "inconsistent",
            "A classifier that learned from other posts reads another label in the explanation.",
            _known("inconsistent"),
            Action.REVIEW,
        ),
        *map(_of_cleaning, _OF_EXPLANATIONS),
        Rule(
            "quotes",
            "Too few of the explanation's quotes stand in the post.",
            _quotes,
            Action.REJECT,
        ),
        Rule(
            "copies-post",
            "Too much of the explanation is one run of the post's words.",
            _each(_copies),
            Action.REVIEW,
        ),
        Rule(
            "repeats",
            "The explanation repeats itself: too many of its 4-grams, or a whole sentence.",
            _each(_repeats),
            Action.REJECT,
        ),
        Rule(
            "length",
            "The explanation has too few or too many words.",
            _each(_length),
            Action.REVIEW,
        ),
        Rule(
            "explanation-not-english",
            "The explanation is not English, or garbled.",
            _each(_foreign),
            Action.REJECT,
        ),
        Rule(
            "clinical-words",
            "The explanation holds words of clinical reports that the post does not.",
            _each(_clinical),
            Action.NOTE,
        ),
        Rule(
            "unlike-expert",
            "The explanation is too unlike an expert's on the same post.",
            _known("unlike_expert"),
            Action.REVIEW,
        ),
    )
}
"""All rules by id, in the order of the report."""
