"""Explanations written by rule: what they quote, what they name, and which rows get one."""

# ruff: noqa: RUF001 - curly apostrophes are part of what is tested

from __future__ import annotations

from dataclasses import replace

import pytest

from imhi.tasks import QUESTIONS, Question
from service.analysis.evidence import find_quotes
from tests.training.data.folders import BELONGING, CAMS, STRESS, example
from training.data.cleaning import Effect, clean, rules_but
from training.data.example import Example, Origin, Span, Split
from training.data.written import MAX_QUOTE_WORDS, explanation, write_explanations
from training.data.written_wording import ABSENT, CAUSES, PRESENT, WORDS

POST = (
    "I can’t sleep, my boss shouts at me. Nobody calls any more; I feel empty and I pray. "
    "Yesterday I read all day."
)


def bare(question: Question, label: str, *marks: str, post: str = POST) -> Example:
    """An annotators' row; `marks` are what they marked in the post."""
    spans = tuple(Span(post.index(mark), post.index(mark) + len(mark)) for mark in marks)
    row = example(post, question, label, explanation=None)
    return replace(row, origin=Origin.ANNOTATION, evidence=spans)


def quotes(text: str | None) -> list[str]:
    assert text is not None
    found = find_quotes(text, POST)
    assert all(quote.evidence for quote in found)
    return [text[quote.start : quote.end] for quote in found]


def test_the_annotators_words_are_quoted_and_the_label_named() -> None:
    text = explanation(bare(CAMS, "jobs_and_career", "my boss shouts at me."))
    assert quotes(text) == ["my boss shouts at me"]
    assert "jobs and career" in text
    text = explanation(bare(BELONGING, "yes", "Nobody calls any more"))
    assert quotes(text) == ["Nobody calls any more"]
    assert "thwarted belongingness" in text


def test_the_two_longest_marks_are_quoted_in_the_order_of_the_post() -> None:
    text = explanation(bare(CAMS, "alienation", "I feel empty", "calls", "Nobody calls any more"))
    assert quotes(text) == ["I feel empty", "Nobody calls any more"]


def test_a_quote_has_straight_apostrophes_and_an_end() -> None:
    text = explanation(bare(CAMS, "medication", "I can’t sleep"))
    assert quotes(text) == ["I can't sleep"]
    long = " ".join(f"word{number}" for number in range(40))
    text = explanation(bare(CAMS, "relationship", long, post=long))
    assert text is not None
    assert f'"{" ".join(long.split()[:MAX_QUOTE_WORDS])}"' in text


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("wellness.vocational", "boss"),
        ("wellness.physical", "sleep"),
        ("wellness.social", "Nobody"),
        ("wellness.emotional", "empty"),
        ("wellness.spiritual", "pray"),
        ("wellness.intellectual", "read"),
    ],
)
def test_a_dimension_without_marks_is_quoted_around_its_own_word(question: str, word: str) -> None:
    text = explanation(bare(QUESTIONS[question], "yes"))
    [quote] = quotes(text)
    assert word in quote
    assert name_of(question) in (text or "")
    assert explanation(bare(QUESTIONS[question], "yes", post="Nothing to see in here.")) is None


@pytest.mark.parametrize("question", [*ABSENT, "depression_cause"])
def test_what_is_absent_is_said_without_a_quote(question: str) -> None:
    label = "none" if question == "depression_cause" else "no"
    text = explanation(bare(QUESTIONS[question], label))
    assert quotes(text) == []
    named = ("cause", "reason") if question == "depression_cause" else (name_of(question),)
    assert any(name in (text or "") for name in named)


def name_of(question: str) -> str:
    return question.rpartition(".")[2].replace("_", " ")


def test_there_is_nothing_to_write_without_marks_that_can_be_found() -> None:
    assert explanation(bare(CAMS, "alienation")) is None
    assert explanation(bare(CAMS, "alienation", "; ")) is None
    quoted = 'She said "go" to me.'
    assert explanation(bare(CAMS, "alienation", 'said "go"', post=quoted)) is None
    assert explanation(bare(STRESS, "yes")) is None


def test_every_label_of_the_raw_sets_has_its_words() -> None:
    asked = {q.id: q for q in QUESTIONS.values() if q.task in ("wellness", "interpersonal_risk")}
    assert set(PRESENT) == set(ABSENT) == set(asked)
    assert set(WORDS) == {one for one in asked if one.startswith("wellness")}
    assert set(CAUSES) == {label.id for label in CAMS.labels} - {"none"}


def test_the_rules_for_explanations_find_nothing_in_them() -> None:
    rows = [
        bare(QUESTIONS[question], label, *marks)
        for question in PRESENT
        for label, marks in (("yes", ("I feel empty",)), ("no", ()))
    ]
    rows += [bare(CAMS, label, "I can’t sleep") for label in CAUSES]
    rows = [replace(row, row=number) for number in range(40) for row in rows]
    written = [replace(row, explanation=explanation(row)) for row in rows]
    assert len({row.explanation for row in written}) > 100  # the wording varies
    _, findings = clean(
        written, rules=[rule for rule in rules_but() if rule.effect is Effect.LABEL_ONLY]
    )
    assert {finding.rule.id: len(finding.found) for finding in findings} == dict.fromkeys(
        (finding.rule.id for finding in findings), 0
    )


def test_only_annotators_train_rows_get_one() -> None:
    row = bare(BELONGING, "no")
    kept = [
        replace(row, split=Split.VAL),
        replace(row, origin=Origin.REFERENCE),
        replace(row, explanation="Their own."),
    ]
    result, written = write_explanations([row, *kept])
    assert list(result[1:]) == kept
    assert result[0] == replace(row, explanation=explanation(row))
    assert written == {"dreaddit": 1}  # the set of the row that these tests make
